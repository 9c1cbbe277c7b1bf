"""What simulated networks are made of: media with their reach, speed and behaviour, and how sites lie."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass

from edge_agent.probes.simulated import LinkModel


@dataclass(frozen=True, slots=True)
class Medium:
    """A kind of link as it is found in the field; ranges are (best, worst)."""

    name: str
    reach_km: float
    """Farther sites are not joined by it."""
    weight: float
    """How common it is among the media that reach."""
    speed_kbps: tuple[int, int]
    base_ms: tuple[float, float]
    """Round trip without load."""
    jitter: float
    """Mean of what an echo takes longer than the base, as a part of the base."""
    loss: tuple[float, float]
    poor: float
    """Part of its links that are in a bad way: five times the loss, swelling under load, outages."""
    metered: bool = False


MEDIA: Mapping[str, Medium] = {
    medium.name: medium
    for medium in (
        Medium("fibre", 12, 1.0, (1_000_000, 10_000_000), (0.4, 2.5), 0.01, (0, 0.0002), 0.02),
        Medium("radio", 45, 6.0, (20_000, 400_000), (1.5, 12), 0.06, (0.0005, 0.006), 0.15),
        Medium("lte", 60, 2.0, (4_000, 60_000), (28, 75), 0.12, (0.001, 0.01), 0.15, metered=True),
        Medium("vsat", 1e9, 0.7, (1_000, 20_000), (560, 640), 0.01, (0.001, 0.01), 0.1, metered=True),
    )
}

SPACING_KM = 14.0
"""Mean distance of neighbouring sites."""

_PLACES = """acacia amber baobab bamboo cedar copper coral cotton crane dune eagle fig granite heron ibex
    juniper kopje laurel lotus mango marble ochre olive osprey palm pebble quartz reed river rocky saffron
    salt sandy silver spring stone sunny tamarind teak thorn tulip umber valley willow"""
_FEATURES = "bridge clinic college depot farm ford hill junction market mill mission port ridge school well"


def site_names(count: int, rng: random.Random) -> list[str]:
    """So many different names of sites, such as ``baobab-hill``; numbered once the words are used up."""
    pairs = [f"{place}-{feature}" for place in _PLACES.split() for feature in _FEATURES.split()]
    rng.shuffle(pairs)
    rounds = (divmod(index, len(pairs)) for index in range(count))
    return [f"{pairs[index]}-{turn + 1}" if turn else pairs[index] for turn, index in rounds]


def choose_medium(distance_km: float, rng: random.Random) -> Medium:
    """A medium that reaches so far, by how common each is."""
    reaching = [medium for medium in MEDIA.values() if distance_km <= medium.reach_km]
    return rng.choices(reaching, [medium.weight for medium in reaching])[0]


def shape(model: LinkModel, medium: Medium, distance_km: float, rng: random.Random) -> None:
    """Give the model of a link the character of its medium, and of a bad link when it draws one."""
    poor = rng.random() < medium.poor
    # Light in fibre takes 10 µs a kilometre there and back, radio 7.
    model.base_ns = (_between(medium.base_ms, rng) + 0.01 * min(distance_km, 500)) * 1e6
    model.jitter_ns = model.base_ns * medium.jitter
    model.loss = _between(medium.loss, rng) * (5 if poor else 1)
    model.swell = (0.6 if poor else 0.1) * rng.random()
    model.outages_a_day = 0.4 if poor else 0.03


def _between(ends: tuple[float, float], rng: random.Random) -> float:
    return rng.uniform(*ends)


def speed_kbps(medium: Medium, rng: random.Random) -> int:
    """A speed of the medium in two significant digits, low ones more often."""
    low, high = medium.speed_kbps
    speed = low * math.pow(high / low, rng.random() ** 2)
    digits = int("1" + "0" * (len(str(int(speed))) - 2))
    return int(speed / digits) * digits
