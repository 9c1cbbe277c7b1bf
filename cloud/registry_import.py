"""Brings what a file says of gateways and links into the registry: what differs is written, nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from cloud import keys, queries, registry_metadata
from cloud.registry import Entry, parse
from cloud.registry_metadata import MAX_ITEM, NOTHING_SAID, LinkMetadata, Metadata, over
from cloud.target import Target, TargetError, failures

_ATTEMPTS = 10
"""At one gateway, against others that import at the same time."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What an import changes of one gateway."""

    gateway: str
    before: Metadata
    after: Metadata
    said: Metadata
    """By the file."""
    replaced: bool = False
    """Whether what the file does not say is dropped."""

    def lines(self) -> Iterator[tuple[str, str, str]]:
        """What, before and after, for people; nothing is an empty text."""
        for name in ("site", "region"):
            if getattr(self.before, name) != getattr(self.after, name):
                yield name, getattr(self.before, name), getattr(self.after, name)
        if _coordinates(self.before) != _coordinates(self.after):
            yield "coordinates", _coordinates(self.before), _coordinates(self.after)
        for what, before, after in (
            ("link", self.before.links, self.after.links),
            ("to", self.before.peers, self.after.peers),
        ):
            for name in sorted({*before, *after}):
                if before.get(name) != after.get(name):
                    yield f"{what} {name}", _link(before.get(name)), _link(after.get(name))


def _coordinates(given: Metadata) -> str:
    known = given.latitude is not None and given.longitude is not None
    return f"{given.latitude:.6f}, {given.longitude:.6f}" if known else ""


def _link(given: LinkMetadata | None) -> str:
    if given is None:
        return ""
    capacity = f"{given.capacity_kbps:,} kbit/s" if given.capacity_kbps else ""
    return ", ".join(filter(None, (given.medium, capacity))) or "named"


def entries(target: Target) -> dict[str, Entry]:
    """Everything in the registry, by gateway."""
    items: dict[str, list[keys.Item]] = {}
    for item in queries.pages(target, "scan", TableName=target.output("RegistryTable"), ConsistentRead=True):
        items.setdefault(item[keys.PARTITION]["S"], []).append(item)
    return {gateway: parse(given) for gateway, given in sorted(items.items())}


def differences(
    known: Mapping[str, Entry], said: Mapping[str, Metadata], replaced: bool = False
) -> list[Difference]:
    """What the file would change; ``replaced`` drops what it does not say of the gateways that it names."""
    found = []
    for gateway, given in sorted(said.items()):
        before = known[gateway].metadata if gateway in known else NOTHING_SAID
        found.append(_difference(gateway, before, given, replaced))
    return [each for each in found if each.after != each.before]


def _difference(gateway: str, before: Metadata, said: Metadata, replaced: bool) -> Difference:
    after = over(NOTHING_SAID if replaced else before, said)
    return Difference(gateway, before, after, said, replaced)


def check(found: Sequence[Difference]) -> None:
    """Raise TargetError for what would not fit into an item."""
    for each in found:
        size = len(registry_metadata.pack(each.gateway, each.after)[keys.SAID]["S"].encode())
        if size > MAX_ITEM:
            raise TargetError(f"{each.gateway}: its links take {size:,} B in the registry, not {MAX_ITEM:,}")


def write(target: Target, difference: Difference) -> Difference | None:
    """Write what is now said of one gateway; returns what was changed, None when others had done it.

    What somebody else wrote since it was read is read again, and the file's words go over that.
    """
    for _ in range(_ATTEMPTS):
        if difference.after == difference.before:
            return None
        if _put(target, difference):
            return difference
        now = _metadata(target, difference.gateway)
        difference = _difference(difference.gateway, now, difference.said, difference.replaced)
        check([difference])
    raise TargetError(f"{difference.gateway}: others import all the time; do it again")


def _put(target: Target, difference: Difference) -> bool:
    """Replace what was said before; whether it was still that."""
    item = registry_metadata.pack(difference.gateway, difference.after)
    request: dict[str, Any] = {"TableName": target.output("RegistryTable"), "Item": item}
    before = registry_metadata.pack(difference.gateway, difference.before)[keys.SAID]
    request["ConditionExpression"] = "said = :before"
    request["ExpressionAttributeValues"] = {":before": before}
    if difference.before == NOTHING_SAID:
        # Never said, or forgotten again.
        request["ConditionExpression"] += " OR attribute_not_exists(said)"
    client = cast(Any, target.dynamodb())
    with failures(target):
        try:
            client.put_item(**request)
        except client.exceptions.ConditionalCheckFailedException:
            return False
    return True


def _metadata(target: Target, gateway: str) -> Metadata:
    """What is said of a gateway now; raises TargetError when a newer linkview said it."""
    key = {keys.PARTITION: {"S": gateway}, keys.SORT: {"S": keys.METADATA}}
    client = cast(Any, target.dynamodb())
    with failures(target):
        answer = client.get_item(TableName=target.output("RegistryTable"), Key=key, ConsistentRead=True)
    try:
        return registry_metadata.parse(answer["Item"]) if "Item" in answer else NOTHING_SAID
    except ValueError as exc:
        raise TargetError(f"{gateway}: {exc}: is there a newer linkview?") from exc
