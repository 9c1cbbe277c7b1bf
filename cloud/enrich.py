"""The latest state that live batches make, with what the registry knows about their links (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cloud import latest
from cloud.decode import Arrival
from cloud.registry import Entry
from cloud.validate import is_live


def live(arrivals: Iterable[Arrival]) -> dict[str, list[Arrival]]:
    """Arrivals that tell of the present, by gateway; backlog never replaces the latest state."""
    found: dict[str, list[Arrival]] = {}
    for arrival in filter(is_live, arrivals):
        found.setdefault(arrival.batch.gateway, []).append(arrival)
    return found


def enrich(arrivals: Mapping[str, list[Arrival]], entries: Mapping[str, Entry]) -> list[latest.Update]:
    """One update for each gateway, its links named by peer and medium, the gateway by site."""
    return [
        latest.update(batches, entries[gateway].links, entries[gateway].site)
        for gateway, batches in arrivals.items()
    ]
