"""Series: each probe of each link as the configuration says, on its path, closed once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edge_agent.config import Config
from edge_agent.config_load import load
from edge_agent.contract import Outcome
from edge_agent.probes import SETTINGS, ProbeError
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.on_path import OnPath
from edge_agent.schedule import Series
from edge_agent.series import ROUTED, close_probes, make_series, series_of
from tests.edge_agent.netns import needs_netns, run_in_netns

BASE = """
[gateway]
name = "gw-1"
probes = ["host"]
[mqtt]
endpoint = "localhost"
rule = "demo"
ca = "ca"
certificate = "certificate"
key = "key"
[probe.echo]
period_s = 20
timeout_s = 3
jitter = 0.2
adaptive = true
[[link]]
id = "north"
interface = "lo"
target = "127.0.0.1"
source = "127.0.0.2"
mark = 7
probes = ["echo", "load", "interface"]
[[link]]
id = "south"
target = "127.0.0.2"
probes = ["echo"]
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "agent.toml"
    path.write_text(BASE)
    return load(path, {}, with_files=False)


def named(series: list[Series]) -> dict[tuple[str, str], Series]:
    return {(each.link.id, each.name): each for each in series}


def test_every_probe_of_every_link_and_of_the_gateway_is_a_series(config: Config) -> None:
    assert list(named(make_series(config))) == [
        ("host", "host"),
        ("north", "echo"),
        ("north", "load"),
        ("north", "interface"),
        ("south", "echo"),
    ]


def test_a_series_has_the_cadence_of_its_probe_and_the_binding_of_its_link(config: Config) -> None:
    north = named(make_series(config))["north", "echo"]
    assert (north.period_s, north.timeout_s, north.jitter, north.adaptive) == (20, 3, 0.2, True)
    assert (north.link.device, north.link.source, north.link.mark) == ("lo", "127.0.0.2", 7)


def test_links_share_a_probe_which_is_kept_on_their_path_when_it_sends(config: Config) -> None:
    series = named(make_series(config))
    assert series["north", "echo"].probe is series["south", "echo"].probe
    on_path = {name for (_, name), each in series.items() if isinstance(each.probe, OnPath)}
    assert on_path == {"echo"}
    assert {each.probe.kind for each in series.values()} == {"echo", "host", "interface", "load"}


def test_every_probe_that_sends_is_kept_on_its_path() -> None:
    series = series_of(
        [(ProbedLink("a", target="127.0.0.1"), name) for name in SETTINGS],
        {name: settings() for name, settings in SETTINGS.items()},
    )
    assert {each.name for each in series if isinstance(each.probe, OnPath)} == ROUTED & SETTINGS.keys()
    close_probes(series)


def test_a_probe_of_a_link_off_its_next_hop_does_not_measure() -> None:
    link = ProbedLink("a", target="127.0.0.1", next_hop="192.0.2.1", interface="lo")
    (series,) = series_of([(link, "connect")], {"connect": SETTINGS["connect"]()})

    async def measure() -> object:
        return await series.probe(link)

    with pytest.raises(ProbeError) as caught:
        asyncio.run(measure())
    assert caught.value.outcome is Outcome.OFF_PATH
    close_probes([series, series])


@needs_netns
def test_load_is_told_of_the_echoes_of_its_link() -> None:
    said = run_in_netns("""
        from edge_agent.probes import SETTINGS
        from edge_agent.series import close_probes, series_of
        link = ProbedLink("a", target="127.0.0.1", interface="lo")
        load_settings = SETTINGS["load"](reference_kbps=10**6)
        settings = {"echo": EchoSettings(count=3, spacing_ms=20), "load": load_settings}
        async def main():
            echo, load = series_of([(link, "echo"), (link, "load")], settings)
            for _ in range(2):
                await echo.probe(link)
            measured = await load.probe(link)
            print(sum(measured.values[column] or 0 for column in (1, 5, 9)))
            close_probes([echo, load])
        asyncio.run(main())
    """)
    assert said.strip() == "6"
