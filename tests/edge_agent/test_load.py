"""Latency under load: echoes sorted by what the interface carried meanwhile, kept within bounds."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from edge_agent.contract import Outcome
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.load import LoadProbe, Traffic, read_traffic
from edge_agent.probes.load_bins import SAMPLE, Bin, bin_of
from edge_agent.probes.load_settings import LoadSettings
from edge_agent.probes.probe import ProbeError
from tests.edge_agent.columns import named

LINK = ProbedLink("uplink", interface="eth7")
MS = 1_000_000
Values = dict[str, int | None]


class Scripted:
    """A link whose traffic and echoes are given round by round; each round lasts a second."""

    def __init__(self, speed_kbps: int | None = None, reference_kbps: int = 0) -> None:
        self._now = 50.0
        self._received = self._sent = 1_000_000
        self._speed_kbps = speed_kbps
        settings = LoadSettings(reference_kbps=reference_kbps)
        self.probe = LoadProbe(settings, random.Random(1), lambda _: self.traffic(), lambda: self._now)

    def traffic(self) -> Traffic | None:
        return Traffic(self._received, self._sent, self._speed_kbps)

    def round(self, rx_kbps: int, tx_kbps: int, *trips_ms: float | None, seconds: float = 1) -> None:
        self.probe.began(LINK)
        self._now += seconds
        self._received += int(rx_kbps * 125 * seconds)
        self._sent += int(tx_kbps * 125 * seconds)
        self.probe.ended(LINK, [None if trip is None else int(trip * MS) for trip in trips_ms])

    def report(self) -> Values:
        return named(asyncio.run(self.probe(LINK)))


def figures(values: Values, name: str) -> list[int | None]:
    return [values[f"{name}_{each}"] for each in ("echoes", "p50_us", "p95_us", "kbps")]


def test_echoes_are_sorted_by_the_busier_direction() -> None:
    link = Scripted(speed_kbps=10_000)
    link.round(100, 0, 20, 22)
    link.round(0, 999, 24)
    link.round(3_000, 1_000, 30)
    link.round(200, 8_000, 90, None, 110)
    values = link.report()
    assert values["reference_kbps"] == 10_000
    assert figures(values, "idle") == [3, 22_000, None, 550]
    assert figures(values, "loaded") == [1, 30_000, None, 3_000]
    assert figures(values, "busy") == [2, 100_000, None, 8_000]


@pytest.mark.parametrize(
    ("rate", "name"),
    [(0, "idle"), (999, "idle"), (1_000, "loaded"), (5_999, "loaded"), (6_000, "busy"), (20_000, "busy")],
)
def test_the_bins_begin_at_a_tenth_and_at_six_tenths(rate: float, name: str) -> None:
    assert bin_of(rate, 10_000) == name


def test_a_report_begins_anew_and_keeps_what_the_link_has_shown_it_can_do() -> None:
    link = Scripted()
    link.round(8_000, 0, 50)
    assert figures(link.report(), "busy") == [1, 50_000, None, 8_000]
    link.round(100, 0, 20)
    values = link.report()
    assert values["reference_kbps"] == 8_000
    assert figures(values, "idle") == [1, 20_000, None, 100]
    assert figures(values, "busy") == [0, None, None, None]


def test_a_given_reference_goes_before_the_negotiated_speed() -> None:
    link = Scripted(speed_kbps=1_000_000, reference_kbps=2_000)
    link.round(1_900, 0, 80)
    assert link.report()["reference_kbps"] == 2_000
    link = Scripted(speed_kbps=1_000_000)
    link.round(1_900, 0, 80)
    assert figures(link.report(), "idle")[0] == 1


def test_a_link_that_never_carried_anything_has_nothing_to_compare_with() -> None:
    link = Scripted()
    link.round(900, 0, 20)
    assert set(link.report().values()) == {None}


def test_a_round_without_answers_counts_no_echo() -> None:
    link = Scripted(speed_kbps=1_000)
    link.round(0, 0, None, None)
    assert figures(link.report(), "idle") == [0, None, None, None]


def test_p95_needs_twenty_echoes_of_one_load() -> None:
    link = Scripted(speed_kbps=1_000)
    link.round(0, 0, *range(1, 20))
    assert link.report()["idle_p95_us"] is None
    link.round(0, 0, *range(1, 21))
    assert link.report()["idle_p95_us"] == 19_000


def test_rounds_that_tell_nothing_of_a_rate_are_left_out() -> None:
    link = Scripted(speed_kbps=1_000)
    link.round(0, 0, 20, seconds=0.001)
    link.round(0, 0)  # the echoes could not be measured
    link.round(-500, 0, 20)  # the counters went down: the interface was made anew
    link.probe.ended(LINK, [MS])  # of a round that nobody saw begin
    with pytest.raises(ProbeError, match="no round of echoes on eth7"):
        link.report()


def test_a_round_that_was_cut_short_is_forgotten() -> None:
    link = Scripted(speed_kbps=1_000)
    link.probe.began(LINK)
    link.round(0, 0, 20)
    assert figures(link.report(), "idle")[0] == 1


@pytest.mark.parametrize(
    ("link", "outcome", "said"),
    [
        (LINK, Outcome.FAILED, "uplink is not echoed"),
        (ProbedLink("uplink"), Outcome.NO_INTERFACE, "names no interface"),
    ],
)
def test_a_link_that_cannot_be_followed_is_told(link: ProbedLink, outcome: Outcome, said: str) -> None:
    with pytest.raises(ProbeError, match=said) as caught:
        asyncio.run(LoadProbe(LoadSettings())(link))
    assert caught.value.outcome is outcome


def test_an_interface_that_is_gone_ends_the_round_without_a_trace() -> None:
    seen: list[Traffic | None] = [Traffic(0, 0, None), None]
    probe = LoadProbe(LoadSettings(), read=lambda _: seen.pop(0))
    probe.began(LINK)
    probe.ended(LINK, [MS])
    with pytest.raises(ProbeError, match="no round"):
        asyncio.run(probe(LINK))


def test_a_bin_keeps_an_even_sample_of_many_echoes() -> None:
    rng, made = random.Random(3), Bin()
    for batch in range(100):
        made.add(range(batch * 1000 * 1000, (batch + 1) * 1000 * 1000, 1000), 1, 1, rng)
    assert (made.echoes, len(made.trips_ns)) == (100_000, SAMPLE)
    p50, p95 = made.columns("x")["x_p50_us"], made.columns("x")["x_p95_us"]
    assert p50 == pytest.approx(50_000, rel=0.1) and p95 == pytest.approx(95_000, rel=0.05)


def test_an_interface_is_read_from_sysfs(tmp_path: Path) -> None:
    statistics = tmp_path / "eth0" / "statistics"
    statistics.mkdir(parents=True)
    (statistics / "rx_bytes").write_text("12\n")
    assert read_traffic("eth0", tmp_path) is None
    (statistics / "tx_bytes").write_text("34\n")
    assert read_traffic("eth0", tmp_path) == Traffic(12, 34, None)
    for said, speed in (("-1\n", None), ("100\n", 100_000), ("4294967295", None)):
        (tmp_path / "eth0" / "speed").write_text(said)
        assert read_traffic("eth0", tmp_path) == Traffic(12, 34, speed)


def test_a_setting_out_of_range_is_named() -> None:
    with pytest.raises(ValueError, match=r"probe\.load: reference_kbps is"):
        LoadSettings(reference_kbps=-1)
