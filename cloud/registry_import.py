"""Brings what a file says of gateways and links into the registry: what differs is written, nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from cloud import keys, queries, registry_metadata
from cloud.registry import Entry, parse
from cloud.registry_file import over
from cloud.registry_metadata import MAX_ITEM, NOTHING_SAID, LinkMetadata, Metadata
from cloud.target import Target, TargetError, failures


@dataclass(frozen=True, slots=True)
class Difference:
    """What an import changes of one gateway."""

    gateway: str
    before: Metadata
    after: Metadata

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
        after = over(NOTHING_SAID if replaced else before, given)
        if after != before:
            found.append(Difference(gateway, before, after))
    return found


def check(found: Sequence[Difference]) -> None:
    """Raise TargetError for what would not fit into an item."""
    for each in found:
        size = len(registry_metadata.pack(each.gateway, each.after)[keys.SAID]["S"].encode())
        if size > MAX_ITEM:
            raise TargetError(f"{each.gateway}: its links take {size:,} B in the registry, not {MAX_ITEM:,}")


def write(target: Target, difference: Difference) -> None:
    """Write what is now said of one gateway, unless somebody else did since it was read."""
    item = registry_metadata.pack(difference.gateway, difference.after)
    request: dict[str, Any] = {"TableName": target.output("RegistryTable"), "Item": item}
    if difference.before == NOTHING_SAID:
        request["ConditionExpression"] = "attribute_not_exists(said)"
    else:
        before = registry_metadata.pack(difference.gateway, difference.before)[keys.SAID]
        request["ConditionExpression"] = "said = :before"
        request["ExpressionAttributeValues"] = {":before": before}
    client = cast(Any, target.dynamodb())
    with failures(target):
        try:
            client.put_item(**request)
        except client.exceptions.ConditionalCheckFailedException:
            message = f"{difference.gateway}: somebody else imports at the same time; do it again"
            raise TargetError(message) from None
