"""From the configuration to what the scheduler runs: a series for each probe of each link."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from edge_agent.config import GATEWAY_LINK, Config
from edge_agent.probes import PROBES, Probe, Settings
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.echo import EchoProbe
from edge_agent.probes.load import LoadProbe
from edge_agent.probes.on_path import OnPath
from edge_agent.schedule import Series

HOST = ProbedLink(GATEWAY_LINK)
"""What the probes of the gateway itself are recorded under."""
ROUTED = frozenset({"echo", "connect", "http", "dns", "stamp", "capacity", "bulk", "path"})
"""Probes that send to the link's target, by whatever way routing takes."""


def make_series(config: Config) -> list[Series]:
    """Every series of the configuration; one probe serves all links that use it."""
    wanted = [(HOST, name) for name in config.gateway.probes]
    wanted += [(link.probed, name) for link in config.links for name in link.probes]
    return series_of(wanted, config.probes)


def series_of(wanted: Sequence[tuple[ProbedLink, str]], settings: Mapping[str, Settings]) -> list[Series]:
    """A series for each link and name of a probe, from the settings by name."""
    probes = _make_probes({name for _, name in wanted}, settings)
    return [_series(link, name, probes[name], settings[name]) for link, name in wanted]


def _series(link: ProbedLink, name: str, probe: Probe, cadence: Settings) -> Series:
    return Series(link, name, probe, cadence.period_s, cadence.timeout_s, cadence.jitter, cadence.adaptive)


def _make_probes(names: set[str], settings: Mapping[str, Settings]) -> Mapping[str, Probe]:
    probes = {name: PROBES[name](settings[name]) for name in sorted(names)}
    load, echo = probes.get("load"), probes.get("echo")
    if isinstance(load, LoadProbe) and isinstance(echo, EchoProbe):
        # It learns the round trips from the echoes that the link sends anyway.
        echo.observe(load)
    return {
        name: OnPath(probe, settings[name].timeout_s) if name in ROUTED else probe
        for name, probe in probes.items()
    }


def close_probes(series: Iterable[Series]) -> None:
    """Release what the probes hold, on the event loop that they ran on."""
    for probe in {id(each.probe): each.probe for each in series}.values():
        probe.close()
