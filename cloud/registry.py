"""Gateway and link metadata: kept in the registry table, cached in the process for a bounded time.

A batch may carry the definitions of some links only, batches may arrive in any order and more than
once, and several functions may write at once. So definitions are merged link by link, the newest
sealing wins, and the item is replaced only if nobody else replaced it meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from cloud import chunk, keys, registry_metadata
from cloud.decode import Arrival
from cloud.dynamo import ConditionError, Outcome, Patience, RefusedError, TransientError, attempt
from cloud.keys import Item
from cloud.latest_front import Place, Said
from cloud.registry_metadata import NOTHING_SAID, Metadata
from edge_agent.contract import Link

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

GATEWAYS_CACHED = 10_000
CACHED_S = 900.0
_SORTS = (keys.GATEWAY, keys.LINKS, keys.METADATA)
GATEWAYS_IN_READ = 100 // len(_SORTS)
"""BatchGetItem takes 100 keys (DynamoDB API reference), three for each gateway."""
NAME_LENGTH = 128


@dataclass(frozen=True, slots=True)
class Definition:
    """What a gateway last said of a link, and when it sealed that."""

    link: Link
    version: str


@dataclass(frozen=True, slots=True)
class Entry:
    """What the registry knows about a gateway."""

    definitions: Mapping[str, Definition] = field(default_factory=dict)
    revision: int = 0
    """How often the definitions were replaced; the condition of the next replacement."""
    site: str = ""
    """As its enrolment says."""
    metadata: Metadata = NOTHING_SAID
    """As the last import says."""
    known: bool = True
    """Whether the registry has answered."""
    place: Place = field(init=False)
    """Where it stands."""
    said: Mapping[str, Said] = field(init=False, compare=False, repr=False)
    """What each link is; an import goes before what the gateway says: people correct what a config has
    wrong."""

    def __post_init__(self) -> None:
        given = self.metadata
        place = Place(
            keys.text(given.site or self.site, NAME_LENGTH),
            keys.text(given.region, NAME_LENGTH),
            given.latitude,
            given.longitude,
        )
        object.__setattr__(self, "place", place)
        said = {name: _said(name, each.link, given) for name, each in self.definitions.items()}
        for name in given.links.keys() - said.keys():
            said[name] = _said(name, Link(name), given)
        object.__setattr__(self, "said", said)

    @property
    def links(self) -> dict[str, Link]:
        """Links by id."""
        return {name: definition.link for name, definition in self.definitions.items()}


def _said(name: str, link: Link, metadata: Metadata) -> Said:
    given = metadata.of(name, link.peer)
    medium = (given.medium if given else "") or link.medium
    capacity = given.capacity_kbps if given else 0
    return keys.text(link.peer, NAME_LENGTH), keys.text(medium, NAME_LENGTH), capacity


class Registry:
    """The registry table behind a cache of at most GATEWAYS_CACHED gateways for CACHED_S."""

    def __init__(self, client: DynamoDBClient, table: str, monotonic: Callable[[], float]) -> None:
        self._client = cast(Any, client)
        self._table = table
        self._monotonic = monotonic
        self._cache: dict[str, tuple[float, Entry]] = {}

    def entries(self, gateways: Iterable[str]) -> dict[str, Entry]:
        """What is known of each gateway; asked once, and empty without an answer: readings go first."""
        wanted = dict.fromkeys(gateways)
        missing = [gateway for gateway in wanted if self._cached(gateway) is None]
        for at in range(0, len(missing), GATEWAYS_IN_READ):
            try:
                self._read(missing[at : at + GATEWAYS_IN_READ])
            except (TransientError, RefusedError):
                break
        return {gateway: self._cached(gateway) or Entry(known=False) for gateway in wanted}

    def learn(self, arrivals: Sequence[Arrival], patience: Patience) -> Outcome:
        """Take in the link definitions that batches carry."""
        carriers: dict[str, list[Arrival]] = {}
        for arrival in arrivals:
            if arrival.sealed.links:
                carriers.setdefault(arrival.sealed.gateway, []).append(arrival)
        self.entries(carriers)
        outcome = Outcome()
        reasons: dict[str, str] = {}

        def once(pending: list[str]) -> list[str]:
            left = []
            for gateway in pending:
                try:
                    self._merge(gateway, carriers[gateway])
                except (TransientError, ConditionError) as exc:
                    reasons[gateway] = f"link definitions: {exc}"
                    left.append(gateway)
                except RefusedError as exc:
                    reason = f"stored, but not its link definitions: {exc}"
                    outcome.refused.update(dict.fromkeys(map(_sequence, carriers[gateway]), reason))
            return left

        for gateway in patience.rounds(list(carriers), once):
            reason = reasons.get(gateway, "no time is left")
            outcome.failed.update(dict.fromkeys(map(_sequence, carriers[gateway]), reason))
        return outcome

    def _merge(self, gateway: str, arrivals: Sequence[Arrival]) -> None:
        """Merge and replace; raises ConditionError when somebody else was faster, with nothing cached."""
        entry = self._cached(gateway)
        if entry is None:
            self._read([gateway])
            entry = self._cached(gateway) or Entry()
        self._replace(gateway, entry, merge(entry, arrivals))

    def forget(self, gateway: str, links: Iterable[str]) -> bool:
        """Drop definitions of links that are gone; whether it was done: the next batch tries again."""
        entry = self._cached(gateway)
        if entry is None:
            return False
        gone = set(links)
        kept = {name: each for name, each in entry.definitions.items() if name not in gone}
        try:
            self._replace(gateway, entry, replace(entry, definitions=kept, revision=entry.revision + 1))
        except (TransientError, ConditionError, RefusedError):
            return False
        return True

    def _replace(self, gateway: str, entry: Entry, merged: Entry) -> None:
        """Put other definitions, if nobody else did meanwhile; else raises, with nothing cached."""
        if merged is not entry:
            self._cache.pop(gateway, None)
            request = {
                "TableName": self._table,
                "Item": pack(gateway, merged),
                "ConditionExpression": "attribute_not_exists(rev) OR rev = :before",
                "ExpressionAttributeValues": {":before": {"N": str(entry.revision)}},
            }
            attempt(lambda: self._client.put_item(**request))
            self._keep(gateway, merged)

    def _read(self, gateways: Sequence[str]) -> None:
        """Fetch both items of each gateway into the cache; raises TransientError, RefusedError."""
        keys_asked = [
            {keys.PARTITION: {"S": gateway}, keys.SORT: {"S": sort}}
            for gateway in gateways
            for sort in _SORTS
        ]
        request = {self._table: {"Keys": keys_asked, "ConsistentRead": True}}
        response = attempt(lambda: self._client.batch_get_item(RequestItems=request))
        if response.get("UnprocessedKeys"):
            raise TransientError("unprocessed keys are left")
        items = response["Responses"].get(self._table, ())
        for gateway in gateways:
            self._keep(gateway, parse(item for item in items if item[keys.PARTITION]["S"] == gateway))

    def _cached(self, gateway: str) -> Entry | None:
        since, entry = self._cache.get(gateway, (0.0, None))
        return entry if entry is not None and self._monotonic() - since < CACHED_S else None

    def _keep(self, gateway: str, entry: Entry) -> None:
        self._cache.pop(gateway, None)
        if len(self._cache) >= GATEWAYS_CACHED:
            del self._cache[next(iter(self._cache))]
        self._cache[gateway] = self._monotonic(), entry


def _sequence(arrival: Arrival) -> str:
    return arrival.envelope.position.sequence


def merge(entry: Entry, arrivals: Sequence[Arrival]) -> Entry:
    """The entry with the definitions of batches taken in; the same object when that changes nothing."""
    definitions = dict(entry.definitions)
    for arrival in arrivals:
        version = chunk.version(arrival)
        for link in arrival.sealed.links:
            known = definitions.get(link.id)
            if known is None or known.version < version:
                definitions[link.id] = Definition(link, version)
    if definitions == entry.definitions:
        return entry
    return replace(entry, definitions=definitions, revision=entry.revision + 1)


def pack(gateway: str, entry: Entry) -> Item:
    """The item of a gateway's link definitions: the contract's JSON of each, and its version."""
    described = [
        {**asdict(each.link), "ver": each.version}
        for _, each in sorted(entry.definitions.items(), key=lambda pair: pair[0])
    ]
    return {
        keys.PARTITION: {"S": gateway},
        keys.SORT: {"S": keys.LINKS},
        "rev": {"N": str(entry.revision)},
        "links": {"S": json.dumps(described, separators=(",", ":"))},
    }


def parse(items: Iterable[Item]) -> Entry:
    """What the registry's items of one gateway say."""
    definitions: dict[str, Definition] = {}
    revision, site, metadata = 0, "", NOTHING_SAID
    for item in items:
        if item[keys.SORT]["S"] == keys.LINKS:
            revision = int(item["rev"]["N"])
            for given in json.loads(item["links"]["S"]):
                link = Link(**{name: given[name] for name in Link.__slots__ if name in given})
                definitions[link.id] = Definition(link, given["ver"])
        elif item[keys.SORT]["S"] == keys.GATEWAY:
            site = str(item.get("site", {}).get("S", ""))
        elif item[keys.SORT]["S"] == keys.METADATA:
            with suppress(ValueError):  # of a newer version: readings go first
                metadata = registry_metadata.parse(item)
    return Entry(definitions, revision, site, metadata)
