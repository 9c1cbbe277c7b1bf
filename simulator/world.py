"""A simulated network: named sites, gateways and directed links, all a function of seed and time."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from edge_agent.contract import Flag, Link, Reading
from edge_agent.probes.simulated import LinkModel
from simulator.mesh import mesh
from simulator.scenarios import SPACING_KM, Medium, choose_medium, shape, site_names, speed_kbps

STAGGER_MS = 900
"""The rounds of a gateway's links begin within so long before the round's end."""
_FLAGS = Flag.SIMULATED | Flag.CLOCK_SYNCED
_NO_WIFI = (None, None, None)
_PACKET_BYTES = 620
"""Mean size of a packet on the simulated links."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where a gateway stands."""

    name: str
    east_km: float
    north_km: float


@dataclass(frozen=True, slots=True)
class WorldLink:
    """A directed link with the model of its behaviour."""

    link: Link
    model: LinkModel
    speed_kbps: int
    lead_ms: int
    """How long before the end of the gateway's round this link's begins."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """One virtual gateway and its own links."""

    name: str
    site: Site
    links: tuple[WorldLink, ...]
    seed: int

    @property
    def definitions(self) -> tuple[Link, ...]:
        """The links as the wire contract defines them."""
        return tuple(each.link for each in self.links)

    def readings(self, at_ms: int, period_ms: int | None) -> list[Reading]:
        """One round that ends at this time: an echo reading of each link, and the first one's interface.

        ``period_ms`` is the time since the round before, None for the first.
        """
        readings = [
            Reading(
                each.link.id, "echo", at_ms - each.lead_ms, each.model.values(at_ms - each.lead_ms), _FLAGS
            )
            for each in self.links
        ]
        first = self.links[0]
        values = _interface(first, self.seed, at_ms - first.lead_ms, period_ms)
        readings.append(Reading(first.link.id, "interface", at_ms - first.lead_ms, values, _FLAGS))
        return readings


@dataclass(frozen=True, slots=True)
class World:
    """All gateways of a simulated network."""

    seed: int
    gateways: tuple[Gateway, ...]


def build(seed: int, gateways: int, links: int, prefix: str = "gw") -> World:
    """The world of a seed: so many gateways, named prefix-0001 and up, with so many links each."""
    rng = random.Random(f"world/{seed}")
    side = SPACING_KM * math.sqrt(gateways)
    places = [(side * rng.random(), side * rng.random()) for _ in range(gateways)]
    sites = [Site(name, *place) for name, place in zip(site_names(gateways, rng), places, strict=True)]
    names = [f"{prefix}-{number:04d}" for number in range(1, gateways + 1)]
    made = []
    for name, site, place, chosen in zip(names, sites, places, mesh(places, links), strict=True):
        peers = [(names[peer], math.dist(place, places[peer])) for peer in chosen]
        made.append(Gateway(name, site, _links(seed, name, site, peers or _exchanges(links)), seed))
    return World(seed, tuple(made))


def _exchanges(count: int) -> list[tuple[str, float]]:
    """The peers of a gateway that is alone: exchanges beyond the simulated world."""
    return [(f"pop-{number}", 20.0 * number) for number in range(1, count + 1)]


def _links(seed: int, gateway: str, site: Site, peers: Sequence[tuple[str, float]]) -> tuple[WorldLink, ...]:
    """The links of a gateway to its peers, each with its distance in km."""
    ports: Counter[str] = Counter()
    parallels: Counter[str] = Counter()
    made = []
    for peer, distance_km in peers:
        parallels[peer] += 1
        made.append(_link(seed, gateway, site.name, peer, distance_km, parallels[peer], ports))
    return tuple(made)


def _link(
    seed: int, gateway: str, site: str, peer: str, distance_km: float, parallel: int, ports: Counter[str]
) -> WorldLink:
    # Both directions of a path draw the same medium and speed; what the model adds is each one's own.
    path = random.Random(f"path/{seed}/{min(gateway, peer)}/{max(gateway, peer)}/{parallel}")
    medium: Medium = choose_medium(distance_km, path)
    speed = speed_kbps(medium, path)
    ports[medium.name] += 1
    port = f"{medium.name}{ports[medium.name]}"
    link = Link(
        f"{site}:{port}",
        peer,
        interface=port,
        target=f"{peer}.example",
        medium=medium.name,
        metered=medium.metered,
    )
    model = LinkModel(seed, f"{gateway}/{link.id}")
    shape(model, medium, distance_km, path)
    own = random.Random(f"link/{seed}/{gateway}/{link.id}")
    return WorldLink(link, model, speed, own.randrange(STAGGER_MS))


def _interface(each: WorldLink, seed: int, at_ms: int, period_ms: int | None) -> tuple[int | None, ...]:
    """The columns of an interface reading: traffic follows the link's load; none while it is out."""
    if each.model.is_out(at_ms):
        return (0, None, None, 1500, period_ms, *((None if period_ms is None else 0,) * 8), *_NO_WIFI)
    fixed = (1, each.speed_kbps, 1, 1500, period_ms)
    if period_ms is None:
        return (*fixed, *(None,) * 8, *_NO_WIFI)
    rng = random.Random(f"traffic/{seed}/{each.link.id}/{at_ms}")
    full = each.speed_kbps * period_ms / 8 * (0.05 + 0.6 * each.model.load(at_ms))
    received, sent = (int(full * part * rng.uniform(0.6, 1.4)) for part in (1.0, 0.2))
    packets = received // _PACKET_BYTES, sent // _PACKET_BYTES
    errors = int(packets[0] * each.model.loss * 0.1 * rng.random())
    counters = received, sent, *packets, errors, 0, 0, int(packets[1] * 0.0005 * rng.random())
    return (*fixed, *counters, *_NO_WIFI)
