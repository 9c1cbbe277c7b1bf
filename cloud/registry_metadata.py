"""What people say about gateways and links: where they stand, and what a link can carry (pure).

One item of the registry a gateway holds what an import last said of it, as JSON. A link is named by its
id, or by where it leads: an import of a map knows the two ends of a link, not what its gateway calls it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from cloud import keys
from cloud.keys import Item

_FORMAT = 1
MAX_ITEM = 380_000
"""Bytes of an item: DynamoDB takes 400 KB (service quotas)."""


@dataclass(frozen=True, slots=True)
class LinkMetadata:
    """What an import says of a link; empty and 0 is what it does not say."""

    medium: str = ""
    capacity_kbps: int = 0
    """Nominal capacity, kbit/s."""

    def over(self, other: LinkMetadata) -> LinkMetadata:
        """This, with what it leaves open from the other."""
        return LinkMetadata(self.medium or other.medium, self.capacity_kbps or other.capacity_kbps)


@dataclass(frozen=True, slots=True)
class Metadata:
    """What an import says of a gateway and of the links that begin at it."""

    site: str = ""
    region: str = ""
    latitude: float | None = None
    """Degrees north, WGS 84."""
    longitude: float | None = None
    """Degrees east, WGS 84."""
    links: Mapping[str, LinkMetadata] = field(default_factory=dict)
    """By link id."""
    peers: Mapping[str, LinkMetadata] = field(default_factory=dict)
    """By the peer that a link leads to."""

    def of(self, link: str, peer: str) -> LinkMetadata | None:
        """What is said of a link: under its id, and what that leaves open under its peer."""
        by_id, by_peer = self.links.get(link), self.peers.get(peer) if peer else None
        if by_id and by_peer:
            return by_id.over(by_peer)
        return by_id or by_peer


NOTHING_SAID = Metadata()


def over(before: Metadata, after: Metadata) -> Metadata:
    """What was said before with what is said now over it; what is not said now stays."""
    place = {
        name: getattr(after, name)
        for name in ("site", "region", "latitude", "longitude")
        if getattr(after, name) not in ("", None)
    }
    return replace(
        before, **place, links=_over(before.links, after.links), peers=_over(before.peers, after.peers)
    )


def _over(before: Mapping[str, LinkMetadata], after: Mapping[str, LinkMetadata]) -> dict[str, LinkMetadata]:
    merged = dict(before)
    for name, said in after.items():
        merged[name] = said.over(merged.get(name, LinkMetadata()))
    return merged


def pack(gateway: str, metadata: Metadata) -> Item:
    """The registry's item of a gateway's metadata."""
    given = {"v": _FORMAT, **asdict(metadata)}
    for name in ("links", "peers"):
        given[name] = {each: _brief(said) for each, said in sorted(given[name].items())}
    text = json.dumps(given, separators=(",", ":"), ensure_ascii=False)
    return {keys.PARTITION: {"S": gateway}, keys.SORT: {"S": keys.METADATA}, keys.SAID: {"S": text}}


def _brief(said: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if value}


def parse(item: Item) -> Metadata:
    """The metadata in an item; raises ValueError when this version cannot read it."""
    try:
        given = json.loads(item[keys.SAID]["S"])
        if given.pop("v") != _FORMAT:
            raise ValueError("it is of another format")
        for name in ("links", "peers"):
            given[name] = {each: LinkMetadata(**said) for each, said in given[name].items()}
        return Metadata(**given)
    except (KeyError, TypeError, AttributeError) as exc:
        raise ValueError(f"metadata cannot be read: {exc!r}") from exc
