"""What must hold across the sections of the configuration: links, their probes, the gateway's own probes."""

from __future__ import annotations

from collections.abc import Sequence

from edge_agent.config import GATEWAY_LINK, GATEWAY_PROBES, LinkSettings
from edge_agent.config_sources import Sources, Table, suggestion
from edge_agent.probes import KIND_OF, PROBES

MAX_LINKS = 5_000
"""What one process measures on the smallest gateways; a batch carries a part of them (edge_agent.sealing)."""
SHOWN_LINKS = 1_500
"""What the latest state of a gateway holds for sure: one DynamoDB item of 400 KB."""
NEEDS = {
    **dict.fromkeys(
        ("echo", "connect", "http", "dns", "stamp", "capacity", "bulk", "path"),
        "target",
    ),
    **dict.fromkeys(("interface", "load", "neighbour"), "interface"),
}
"""What a link must have for a probe to measure it."""
LISTENS_TO = {"load": "echo"}
"""Probes that work with what another probe of the same link measures."""


def check_links(links: Sequence[LinkSettings | None], sources: Sources) -> None:
    """List what is wrong with links, beyond each value alone."""
    first: dict[str, str] = {}
    own = bool(sources.tables["gateway"].keys.get("probes"))
    for link, table in zip(links, sources.links, strict=True):
        if link is None:
            continue
        place = table.keys["id"].place
        if link.id in first:
            sources.problems.append(f"{place}: [[link]] id {link.id!r} is taken by {first[link.id]}")
        if own and link.id == GATEWAY_LINK:
            sources.problems.append(f"{place}: [[link]] id {link.id!r} is taken by [gateway] probes")
        first.setdefault(link.id, place)
        sources.problems.extend(place_of(table, key, problem) for key, problem in _problems(link))
    if len(links) > MAX_LINKS:
        sources.problems.append(f"{sources.links[MAX_LINKS].place}: [[link]] more than {MAX_LINKS:,} links")


def link_warnings(place: str, count: int) -> list[str]:
    """What works with so many links, but not as well as one would think."""
    if not count:
        return [f"{place}: no [[link]]: no link is measured"]
    if count > SHOWN_LINKS:
        return [
            f"{place}: more than {SHOWN_LINKS:,} links: all is stored, but linkview may not list them all"
        ]
    return []


def place_of(table: Table, key: str, message: str) -> str:
    """A problem with a key, after the place where the key was given."""
    given = table.keys.get(key)
    return f"{given.place if given else table.place}: {table.name} {key} {message}"


def _problems(link: LinkSettings) -> list[tuple[str, str]]:
    problems = [("probes", each) for each in _probe_problems(link)]
    if link.vlan and not link.interface:
        problems.append(("vlan", "needs interface, which carries it"))
    return problems


def _probe_problems(link: LinkSettings) -> list[str]:
    problems: list[str] = []
    kinds: dict[str, str] = {}
    for name in link.probes:
        if wrong := _problem(name, link):
            problems.append(wrong)
        if name not in PROBES:
            continue
        kind = KIND_OF[name]
        if kind in kinds:
            problems.append(f"has {kinds[kind]!r} and {name!r}, which give the same readings")
        kinds.setdefault(kind, name)
    return problems


def _problem(name: str, link: LinkSettings) -> str:
    """What is wrong with a probe of a link, or nothing."""
    if name not in PROBES:
        hint = suggestion(name, list(PROBES)) or f"; known are {', '.join(PROBES)}"
        return f"has an unknown probe {name!r}{hint}"
    if name in GATEWAY_PROBES:
        return f"has {name!r}, which measures no link: name it in [gateway] probes"
    if (needed := NEEDS.get(name)) and not getattr(link, needed):
        return f"has {name!r}, which needs {needed}"
    if (other := LISTENS_TO.get(name)) and other not in link.probes:
        return f"has {name!r}, which needs {other!r} beside it"
    return ""
