"""The only writer of latest states, and what tells of their changes.

Each state is read, brought up to date and put back if nobody else replaced it meanwhile: one write unit a
batch, and half a read unit. The first reading is eventually consistent: a stale one fails the condition
and is done again consistently.

A change of a link's state is put into the item in the same write, as waiting; then the event bus is told,
then the mark is removed. So a change is told at least once, whatever ends in between, and once as long as
nothing does: a replay finds the mark (and tells) or finds nothing to do. When the bus does not answer, the
mark waits for the next batch of its gateway, or when none comes for the rollup pass
(cloud/rollup_telling.py); readings do not wait for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from cloud import enrich, keys, latest, link_change
from cloud.decode import Arrival
from cloud.dynamo import ConditionError, Patience, RefusedError, TransientError, attempt
from cloud.enrich import Progress
from cloud.keys import Item
from cloud.latest_image import Image
from cloud.latest_telling import Bus, Taken, Teller
from cloud.link_change import MAX_WAITING, Change
from cloud.registry import Registry
from edge_agent.contract import ContractError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

KEYS_IN_READ = 100
"""BatchGetItem takes so many (DynamoDB API reference)."""
WORKERS = 8
"""Conditional writes cannot be batched; so many run at once, below botocore's 10 connections."""
IMAGES_KEPT = 2_048
"""States kept between invocations: some 20 MB of gateways with ten links."""
OVER = "no time is left"


class _Found(NamedTuple):
    """A latest item as it was read."""

    item: Item | None
    consistent: bool


class LatestStore:
    """The latest states behind one DynamoDB client."""

    def __init__(
        self,
        client: DynamoDBClient,
        table: str,
        registry: Registry,
        bus: Bus,
        keep_ms: int,
        workers: int = WORKERS,
    ) -> None:
        # Requests are built as plain values, so the client's request types do not apply.
        self._client = cast(Any, client)
        self._table = table
        self._registry = registry
        self._teller = Teller(client, table, bus)
        self._keep_ms = keep_ms
        self._workers = workers
        self._images: dict[str, tuple[Image, bytes]] = {}

    def take_in(self, arrivals: Iterable[Arrival], patience: Patience) -> Taken:
        """Bring the states of the arrivals' gateways up to date, and tell of what changed."""
        taken, reasons = Taken(), dict[str, str]()
        waiting: dict[str, Item] = {}
        present = enrich.live(arrivals)
        entries = self._registry.entries(present)
        tries = 0

        def one(gateway: str, found: _Found | None) -> Exception | None:
            try:
                if found is None or not patience.remains():
                    return TransientError(OVER)
                item = self._advance(gateway, found, present[gateway], entries, taken)
                if item and keys.CHANGES in item:
                    waiting[gateway] = item
            except (TransientError, ConditionError, RefusedError) as exc:
                return exc
            return None

        def once(pending: list[str]) -> list[str]:
            nonlocal tries
            found, left = self._read(pending, tries > 0, reasons), []
            tries += 1
            for gateway, error in self._each(pending, lambda name: one(name, found.get(name))):
                if isinstance(error, RefusedError):
                    reason = f"stored, but not as the latest: {error}"
                    taken.outcome.refused.update(dict.fromkeys(map(_sequence, present[gateway]), reason))
                elif error:
                    reasons.setdefault(gateway, str(error))
                    left.append(gateway)
            return left

        for gateway in patience.rounds(list(present), once):
            reason = f"latest state: {reasons.get(gateway, OVER)}"
            taken.outcome.failed.update(dict.fromkeys(map(_sequence, present[gateway]), reason))
        self._teller.tell(waiting.values(), patience, taken)
        return taken

    def _each(
        self, names: Sequence[str], do: Callable[[str], Exception | None]
    ) -> list[tuple[str, Exception | None]]:
        if self._workers == 1 or len(names) == 1:
            return [(name, do(name)) for name in names]
        with ThreadPoolExecutor(self._workers) as pool:
            return list(zip(names, pool.map(do, names), strict=True))

    # --- one state --------------------------------------------------------------------------------

    def _read(self, gateways: Sequence[str], consistent: bool, reasons: dict[str, str]) -> dict[str, _Found]:
        """The items of gateways; of those that were not read, none."""
        found: dict[str, _Found] = {}
        for at in range(0, len(gateways), KEYS_IN_READ):
            names = gateways[at : at + KEYS_IN_READ]
            asked = {"Keys": [{keys.LATEST_KEY: {"S": name}} for name in names], "ConsistentRead": consistent}
            try:
                response = self._read_once(asked)
            except (TransientError, RefusedError) as exc:
                reasons.update(dict.fromkeys(names, str(exc)))
                continue
            unread = response.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", ())
            late = {key[keys.LATEST_KEY]["S"] for key in unread}
            reasons.update(dict.fromkeys(late, "unprocessed keys are left"))
            found.update({name: _Found(None, consistent) for name in names if name not in late})
            for item in response["Responses"].get(self._table, ()):
                found[item[keys.LATEST_KEY]["S"]] = _Found(item, consistent)
        return found

    def _read_once(self, asked: Item) -> Any:
        return attempt(lambda: self._client.batch_get_item(RequestItems={self._table: asked}))

    def _advance(
        self,
        gateway: str,
        found: _Found,
        arrivals: Sequence[Arrival],
        entries: Mapping[str, Any],
        taken: Taken,
    ) -> Item | None:
        """Bring one state up to date; returns its item, None when nobody needs to tell of it.

        Raises ConditionError when it was read too early, or replaced meanwhile.
        """
        entry = entries[gateway]
        progress, before = self._progress(found.item, taken)
        enrich.advance(progress, arrivals, entry, self._keep_ms)
        if not progress.taken:
            if found.item is not None and before and not found.consistent:
                raise ConditionError("changes wait in what may be stale")
            return found.item
        waiting = (*before, *progress.changes)
        if len(waiting) > MAX_WAITING:
            taken.count("ChangesDropped", len(waiting) - MAX_WAITING)
        packed = link_change.pack_all(waiting[-MAX_WAITING:])
        item = latest.pack(gateway, progress.version, progress.image, packed)
        self._put(item, found.item)
        self._keep(gateway, item, progress.image)
        if progress.image.left_out:
            taken.count("LatestLeftOut", progress.image.left_out)
        gone = enrich.forgotten(progress.image, progress.version, entry, self._keep_ms)
        if gone:
            self._registry.forget(gateway, gone)
        return item

    def _progress(self, item: Item | None, taken: Taken) -> tuple[Progress, tuple[Change, ...]]:
        """The state in an item; one that cannot be read is begun anew under its version."""
        if item is None:
            return Progress(), ()
        gateway, version = item[keys.LATEST_KEY]["S"], _version(item)
        try:
            waiting = link_change.unpack_all(gateway, latest.changes(item))
        except ContractError:
            waiting = ()
        kept = self._images.pop(gateway, None)
        if kept and kept[1] == item.get(keys.BYTES, {}).get("B"):
            return Progress(kept[0], version), waiting
        try:
            return Progress(latest.image(item), version), waiting
        except (ContractError, KeyError, ValueError):
            taken.count("LatestUnreadable", 1)
            return Progress(version=version), waiting

    def _keep(self, gateway: str, item: Item, image: Image) -> None:
        """Keep a state as it was just written: mostly the next batch finds it so, and need not read it."""
        if len(self._images) >= IMAGES_KEPT:
            self._images.clear()
        self._images[gateway] = image, item[keys.BYTES]["B"]

    def _put(self, item: Item, before: Item | None) -> None:
        request: dict[str, Any] = {"TableName": self._table, "Item": item}
        if before is None or keys.VERSION not in before:
            request["ConditionExpression"] = "attribute_not_exists(ver)"
        else:
            values = {":ver": before[keys.VERSION]}
            told = "attribute_not_exists(ev)"
            if keys.CHANGES in before:
                # Read too early, it may have been told of meanwhile.
                told, values[":ev"] = "ev = :ev", before[keys.CHANGES]
            request["ConditionExpression"] = f"ver = :ver AND {told}"
            request["ExpressionAttributeValues"] = values
        attempt(lambda: self._client.put_item(**request))


def _version(item: Item) -> str:
    """The version of an item; nothing when it is none, so that any batch is newer."""
    try:
        version = str(item[keys.VERSION]["S"])
        keys.parse_version(version)
    except (KeyError, ValueError):
        return ""
    return version


def _sequence(arrival: Arrival) -> str:
    return arrival.envelope.position.sequence
