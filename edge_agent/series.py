"""From the configuration to what the scheduler runs: a series for each probe of each link."""

from __future__ import annotations

from collections.abc import Iterable

from edge_agent.config import Config
from edge_agent.probes import PROBES
from edge_agent.schedule import Series


def make_series(config: Config) -> list[Series]:
    """Every series of the configuration; one probe serves all links that use it."""
    names = {name for link in config.links for name in link.probes}
    probes = {name: PROBES[name](config.probes[name]) for name in names}
    return [
        Series(link.link, name, probes[name], config.probes[name].period_s, config.probes[name].timeout_s)
        for link in config.links
        for name in link.probes
    ]


def close_probes(series: Iterable[Series]) -> None:
    """Release what the probes hold, on the event loop that they ran on."""
    for probe in {id(each.probe): each.probe for each in series}.values():
        probe.close()
