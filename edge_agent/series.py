"""From the configuration to what the scheduler runs: a series for each probe of each link."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, cast

from edge_agent.budget import Spend
from edge_agent.config import GATEWAY_LINK, Config
from edge_agent.probes import Probe, Settings, probe_class
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.on_path import OnPath
from edge_agent.probes.resolve import Resolver
from edge_agent.profile import Profile
from edge_agent.schedule import Series

if TYPE_CHECKING:
    from edge_agent.probes.echo import EchoProbe
    from edge_agent.probes.load import LoadProbe

HOST = ProbedLink(GATEWAY_LINK)
"""What the probes of the gateway itself are recorded under."""
ROUTED = frozenset({"echo", "connect", "http", "dns", "stamp", "capacity", "bulk", "path"})
"""Probes that send to the link's target, by whatever way routing takes."""
ASKS_ITSELF = frozenset({"http"})
"""Those of which the look-up of the target's name is a part."""
METERED_REMEMBERED_S = 3600.0
"""How long a name's address is used where a question for it costs."""


def make_series(config: Config, spend: Spend | None = None) -> list[Series]:
    """Every series of the configuration, in its order; one probe serves all links of a profile that use it.

    ``spend`` is asked before each round that may pass a metered interface.
    """
    profile = Profile(config)
    wanted = [(HOST, name, profile.is_gateway_metered) for name in config.gateway.probes]
    wanted += [
        (link.probed, name, link.id in profile.metered_links) for link in config.links for name in link.probes
    ]
    made: dict[tuple[str, str], Series] = {}
    for is_metered in (False, True):
        settings = profile.settings(is_metered)
        resolver = _resolver(is_metered, spend is not None and profile.is_anything_metered)
        names = {name for _, name, metered in wanted if metered is is_metered}
        probes = _make_probes(names, settings, resolver)
        if spend is not None and resolver is not None and profile.is_anything_metered:
            probes = _budgeted(probes, settings, spend, profile, resolver)
        for link, name, metered in wanted:
            if metered is is_metered:
                made[link.id, name] = _series(link, name, probes[name], settings[name])
    return [made[link.id, name] for link, name, _ in wanted]


def _resolver(is_metered: bool, is_budgeted: bool) -> Resolver | None:
    """One resolver for all probes of a profile, where it matters how often a name is asked for."""
    if is_metered:
        return Resolver(remembered_s=METERED_REMEMBERED_S)
    return Resolver() if is_budgeted else None


def series_of(wanted: Sequence[tuple[ProbedLink, str]], settings: Mapping[str, Settings]) -> list[Series]:
    """A series for each link and name of a probe, from the settings by name."""
    probes = _make_probes({name for _, name in wanted}, settings)
    return [_series(link, name, probes[name], settings[name]) for link, name in wanted]


def _series(link: ProbedLink, name: str, probe: Probe, cadence: Settings) -> Series:
    return Series(link, name, probe, cadence.period_s, cadence.timeout_s, cadence.jitter, cadence.adaptive)


def _make_probes(
    names: set[str], settings: Mapping[str, Settings], resolver: Resolver | None = None
) -> dict[str, Probe]:
    """The probes by name; ``resolver`` is one for all of them, else each has its own."""
    probes = {name: _make_probe(name, settings[name], resolver) for name in sorted(names)}
    if {"load", "echo"} <= names:
        # It learns the round trips from the echoes that the link sends anyway.
        cast("EchoProbe", probes["echo"]).observe(cast("LoadProbe", probes["load"]))
    return {
        name: OnPath(probe, settings[name].timeout_s, resolver) if name in ROUTED else probe
        for name, probe in probes.items()
    }


def _make_probe(name: str, settings: Settings, resolver: Resolver | None) -> Probe:
    if resolver is None or name not in ROUTED - ASKS_ITSELF:
        return probe_class(name)(settings)
    return probe_class(name)(settings, resolver=resolver)


def _budgeted(
    probes: Mapping[str, Probe],
    settings: Mapping[str, Settings],
    spend: Spend,
    profile: Profile,
    resolver: Resolver,
) -> dict[str, Probe]:
    """The probes that send, each asking the budget first."""
    from edge_agent.budget.budgeted import Budgeted  # only where something is metered
    from edge_agent.budget.meters import Meters

    meters = Meters(profile)
    return {
        name: Budgeted(probe, settings[name], spend, meters, resolver)
        if settings[name].round_bytes(0)
        else probe
        for name, probe in probes.items()
    }


def close_probes(series: Iterable[Series]) -> None:
    """Release what the probes hold, on the event loop that they ran on."""
    for probe in {id(each.probe): each.probe for each in series}.values():
        probe.close()
