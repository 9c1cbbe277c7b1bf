"""Who is linked with whom: a sparse mesh over sites in the plane that is connected in both directions."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

Place = tuple[float, float]
"""East and north, km."""


def mesh(places: Sequence[Place], links: int) -> list[list[int]]:
    """The peers of each place, exactly ``links`` each; a peer twice is two parallel links.

    A tour of all places is the backbone (one way when there is one link each), mutual links to the
    nearest fill it up, and parallel ones take what is left, as a second medium to a peer would.
    """
    count = len(places)
    if count < 2:
        return [[] for _ in places]
    peers = _backbone(places, links)
    for one, other in _nearest_pairs(places, links):
        if len(peers[one]) < links and len(peers[other]) < links and other not in peers[one]:
            peers[one].append(other)
            peers[other].append(one)
    for own in peers:
        have = len(own)
        own.extend(own[index % have] for index in range(links - have))
    return peers


def _backbone(places: Sequence[Place], links: int) -> list[list[int]]:
    tour = _tour(places)
    peers: list[list[int]] = [[] for _ in places]
    for before, after in zip(tour, [*tour[1:], tour[0]], strict=True):
        peers[before].append(after)
        if links > 1 and before not in peers[after] and len(tour) > 2:
            peers[after].append(before)
    return peers


def _tour(places: Sequence[Place]) -> list[int]:
    """Strip by strip, there and back: short enough for a backbone, and quick."""
    width = _side(places) / max(1, round(math.sqrt(len(places) / 2)))
    strips: dict[int, list[int]] = defaultdict(list)
    for index, (east, _) in enumerate(places):
        strips[int(east / width)].append(index)
    tour: list[int] = []
    for turn, strip in enumerate(sorted(strips)):
        tour += sorted(strips[strip], key=lambda index: places[index][1], reverse=turn % 2 == 1)
    return tour


def _nearest_pairs(places: Sequence[Place], links: int) -> list[tuple[int, int]]:
    """Pairs of places near each other, nearest first; only neighbouring cells of a grid are looked at."""
    width = max(1.0, _side(places) * math.sqrt((links + 2) / len(places)))
    cells: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, (east, north) in enumerate(places):
        cells[int(east / width), int(north / width)].append(index)
    pairs = [
        (math.dist(places[one], places[other]), one, other)
        for (column, row), members in cells.items()
        for right in (-1, 0, 1)
        for up in (-1, 0, 1)
        for one in members
        for other in cells.get((column + right, row + up), ())
        if one < other
    ]
    return [(one, other) for _, one, other in sorted(pairs)]


def _side(places: Sequence[Place]) -> float:
    return max(max(place) for place in places) + 1.0
