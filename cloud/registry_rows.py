"""What single rows of a file say of gateways and their links, and whether they agree (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cloud.keys import text
from cloud.registry import NAME_LENGTH
from cloud.registry_metadata import LinkMetadata, Metadata
from edge_agent.contract import GATEWAY_PATTERN, LINK_PATTERN

COLUMNS = (
    "gateway", "site", "region", "latitude", "longitude", "link", "peer", "medium", "capacity_kbps",
)  # fmt: skip
"""Of a CSV file; ``gateway`` must be there, ``capacity_mbps`` may stand for ``capacity_kbps``."""
MBPS = "capacity_mbps"
OF_PLACE, OF_LINK = COLUMNS[1:5], (*COLUMNS[7:], MBPS)
MOST_KBPS = 1 << 32
_What = tuple[str, ...]
"""("site",), ("region",), ("coordinates",), ("link" or "peer", its name) and, after these, what of it."""


class FileError(ValueError):
    """The file cannot be imported; a message for each thing that is wrong, each with its line."""

    def __init__(self, messages: list[str]) -> None:
        super().__init__("\n".join(messages))
        self.messages = messages


@dataclass(frozen=True, slots=True)
class _Fact:
    value: Any
    line: int
    implied: bool
    """Not said itself: it holds until something else is said."""


@dataclass(slots=True)
class Said:
    """What the rows of a file say."""

    wrong: list[str] = field(default_factory=list)
    _facts: dict[str, dict[_What, _Fact]] = field(default_factory=dict)
    """By gateway."""

    def take(self, line: int, given: Mapping[str, str], implied: bool = False) -> None:
        """Take in what one row says; what is wrong with it is noted with its line."""
        try:
            gateway = _name(given, "gateway", GATEWAY_PATTERN)
            known = self._facts.setdefault(gateway, {})
            for what, value in _facts(_metadata(gateway, given)):
                fact, before = _Fact(value, line, implied), known.get(what)
                if before is None or before.implied:
                    known[what] = fact
                elif not implied and before.value != value:
                    raise ValueError(_contradiction(gateway, what, fact, before))
        except ValueError as exc:
            self.wrong.append(f"line {line}: {exc}")

    def result(self) -> dict[str, Metadata]:
        """All of it, by gateway; raises FileError when anything was wrong."""
        if self.wrong:
            raise FileError(list(dict.fromkeys(self.wrong)))
        return {gateway: _together(facts) for gateway, facts in self._facts.items()}


def _facts(said: Metadata) -> Iterator[tuple[_What, Any]]:
    for name in ("site", "region"):
        if value := getattr(said, name):
            yield (name,), value
    if said.latitude is not None:
        yield ("coordinates",), (said.latitude, said.longitude)
    for kind, links in (("link", said.links), ("peer", said.peers)):
        for name, link in links.items():
            yield (kind, name), ""
            if link.medium:
                yield (kind, name, "medium"), link.medium
            if link.capacity_kbps:
                yield (kind, name, "capacity_kbps"), link.capacity_kbps


def _together(facts: Mapping[_What, _Fact]) -> Metadata:
    place: dict[str, Any] = {}
    links: dict[str, dict[str, dict[str, Any]]] = {"link": {}, "peer": {}}
    for what, fact in facts.items():
        if what == ("coordinates",):
            place["latitude"], place["longitude"] = fact.value
        elif len(what) == 1:
            place[what[0]] = fact.value
        else:
            link = links[what[0]].setdefault(what[1], {})
            link.update(dict.fromkeys(what[2:], fact.value))
    by_id, by_peer = (
        {name: LinkMetadata(**said) for name, said in each.items()} for each in (links["link"], links["peer"])
    )
    return Metadata(**place, links=by_id, peers=by_peer)


def _contradiction(gateway: str, what: _What, fact: _Fact, before: _Fact) -> str:
    """Both of what is said, with the line of the other."""
    whose = " ".join((gateway, *what[:2])) if len(what) == 3 else gateway
    now, then = (str(each.value).strip("()") for each in (fact, before))
    return f"{what[-1]} of {whose} is {now}, but {then} in line {before.line}"


def _metadata(gateway: str, given: Mapping[str, str]) -> Metadata:
    latitude, longitude = _degrees(given, "latitude", 90), _degrees(given, "longitude", 180)
    if (latitude is None) != (longitude is None):
        raise ValueError("latitude and longitude are given together or not at all")
    said = LinkMetadata(_text(given, "medium"), _capacity(given))
    links, peers, peer = {}, {}, _text(given, "peer")
    if given.get("link"):  # where it leads its gateway says itself
        links[_name(given, "link", LINK_PATTERN)] = said
    elif peer:
        peers[peer] = said
    elif said != LinkMetadata():
        raise ValueError(f"medium or capacity of {gateway}, but no link and no peer that has it")
    return Metadata(_text(given, "site"), _text(given, "region"), latitude, longitude, links, peers)


def _text(given: Mapping[str, str], name: str) -> str:
    value = given.get(name, "")
    if len(value) > NAME_LENGTH or text(value, NAME_LENGTH) != value or not value.isprintable():
        raise ValueError(f"{name} {value[:20]!r} is longer than {NAME_LENGTH} or not printable")
    return value


def _name(given: Mapping[str, str], name: str, pattern: Any) -> str:
    value = given.get(name, "")
    if not value:
        raise ValueError(f"no {name} is given")
    if not pattern.fullmatch(value):
        raise ValueError(f"{value[:70]!r} cannot be a {name}'s name")
    return value


def _number(given: Mapping[str, str], name: str) -> float | None:
    value = given.get(name, "")
    try:
        if not value.isascii() or "_" in value:  # which Python takes
            raise ValueError
        return float(value) if value else None
    except ValueError:
        hint = ": decimals follow a point" if "," in value else ""
        raise ValueError(f"{name} {value[:20]!r} is no number{hint}") from None


def _degrees(given: Mapping[str, str], name: str, limit: int) -> float | None:
    value = _number(given, name)
    if value is not None and not -limit <= value <= limit:
        raise ValueError(f"{name} {given[name][:20]} is not within -{limit} and {limit} degrees")
    return value


def _capacity(given: Mapping[str, str]) -> int:
    if given.get("capacity_kbps") and given.get(MBPS):
        raise ValueError("both capacity_kbps and capacity_mbps are given")
    name, factor = (MBPS, 1000) if given.get(MBPS) else ("capacity_kbps", 1)
    value = _number(given, name)
    if value is not None and not 1 <= value * factor <= MOST_KBPS:
        raise ValueError(f"{name} {given[name][:20]} is not within 1 kbit/s and {MOST_KBPS} kbit/s")
    return 0 if value is None else round(value * factor)
