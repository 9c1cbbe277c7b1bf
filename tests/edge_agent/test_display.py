"""Readings of every kind in words: units, counts apart, and no figure for what was not measured."""

from __future__ import annotations

import pytest

from edge_agent.contract import KINDS, Flag, Outcome, Reading, not_measured, row
from edge_agent.display import report, summary, verdict


def reading(kind: str, flags: Flag = Flag.CLOCK_SYNCED, /, **columns: int) -> Reading:
    return Reading("north", kind, 0, row(kind, **columns), flags)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_said_with_nulls_alone_and_with_the_largest_values(kind: str) -> None:
    largest = {column.name: column.maximum for column in KINDS[kind].columns}
    bound = {name: 1 for name in ("full_duplex", "mains") if name in largest}
    for given in (reading(kind), reading(kind, **(largest | bound))):
        assert summary(given)
        assert len(report("x", given)) >= 3
        assert "None" not in "\n".join([summary(given), *report("x", given)])


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_not_measured_has_no_figures(kind: str) -> None:
    off = not_measured("north", kind, 0, Outcome.OFF_PATH)
    assert (summary(off), verdict(off)) == ("not measured", "off path")
    assert report("x", off) == ["x: not measured: off path"]


@pytest.mark.parametrize(
    ("given", "word"),
    [
        (reading("stamp", sent=10, received=9), "degraded"),
        (reading("stamp", sent=10, received=0), "down"),
        (reading("http", sent=1, answered=1, status=204), "ok"),
        (reading("http", sent=1, answered=1, status=503), "degraded"),
        (reading("http", sent=1, answered=0, timed_out=1), "down"),
        (reading("dns", sent=3, answered=3, rcode=0), "ok"),
        (reading("dns", sent=3, answered=3, rcode=3), "degraded"),
        (reading("capacity", capacity_kbps=10, trust=0), "ok"),
        (reading("capacity", capacity_kbps=10, trust=2), "degraded"),
        (reading("capacity", sent=200, received=0), "down"),
        (reading("bulk", goodput_kbps=10), "ok"),
        (reading("path", hop=1, hops=3), "ok"),
        (reading("path", hop=1), "degraded"),
        (reading("host"), "ok"),
        (reading("neighbour"), "ok"),
        (reading("state", up=1), "ok"),
        (reading("state", up=0), "down"),
        (reading("gap", reason=1), "degraded"),
        (reading("agent"), "ok"),
    ],
)
def test_one_word_says_whether_it_is_well(given: Reading, word: str) -> None:
    assert verdict(given) == word


def test_stamp_says_both_directions_apart() -> None:
    known = reading(
        "stamp",
        Flag(7),
        sent=10,
        received=8,
        lost_out=2,
        lost_back=0,
        rtt_min_us=20_000,
        out_min_us=12_000,
        out_p50_us=12_500,
        out_max_us=13_000,
        one_way_error_us=300,
        ipdv_out_mean_us=100,
    )
    lines = report("stamp x", known)
    assert "out: 2 lost, delay min/p50/max = 12.000/12.500/13.000 ms, ipdv 0.100 ms" in lines
    assert "back: 0 lost" in lines
    assert "one-way delay is good to +/- 0.300 ms" in lines
    unknown = report("stamp x", reading("stamp", sent=10, received=0))
    assert "one-way delay not known: it needs synchronised clocks at both ends" in unknown
    assert "out: loss not known" in unknown


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (
            {"capacity_kbps": 9_900, "low_kbps": 9_700, "high_kbps": 10_100, "lower_bound": 0, "trust": 0},
            "9.9 Mbit/s (9.7 Mbit/s to 10.1 Mbit/s)",
        ),
        ({"capacity_kbps": 900_000, "lower_bound": 1}, "at least 900 Mbit/s: the sender was the limit"),
        (
            {"capacity_kbps": 9_900, "low_kbps": 5_000, "high_kbps": 15_000, "trust": 1},
            "9.9 Mbit/s (5 Mbit/s to 15 Mbit/s); time-slotted or aggregating link",
        ),
        (
            {"sent": 200},
            "no estimate: the far end did not tell what arrived: it is busy, or its answers were lost",
        ),
    ],
)
def test_a_capacity_comes_with_its_bar_and_its_doubt(columns: dict[str, int], line: str) -> None:
    assert summary(reading("capacity", **columns)) == line


def test_a_token_bucket_is_told() -> None:
    given = reading(
        "capacity", sent=200, received=200, capacity_kbps=5_000, burst_bytes=64_000, peak_kbps=50_000
    )
    assert "token bucket: 64 kB pass at 50 Mbit/s before the rate above holds" in report("x", given)


def test_a_path_is_a_line_for_each_hop() -> None:
    answered = {"address_high": 0, "address_low": 0xFFFF_0A00_0001, "rtt_min_us": 900}
    hops = [
        reading("path", hop=1, hops=2, sent=3, answered=3, changed=1, **answered),
        reading("path", hop=2, hops=2, sent=3, answered=0, changed=1),
    ]
    assert report("path x", *hops) == [
        "--- path x ---",
        "HOP  ADDRESS   ANSWERED  RTT MIN MS",
        "1    10.0.0.1  3/3       0.900",
        "2    *         0/3       -",
        "hops to the target: 2",
        "the path is not that of the round before",
        "clock synchronised",
    ]


def test_neighbours_are_a_line_each_and_silence_is_said() -> None:
    one = reading("neighbour", protocol=1, mac=0x02AB, address_high=0, address_low=0xFFFF_0A00_0002)
    assert report("x", one)[1:3] == [
        "BY   ADDRESS   MAC                NAME  PORT",
        "ARP  10.0.0.2  00:00:00:00:02:ab  -     -",
    ]
    assert report("x", reading("neighbour"))[1] == "nothing was heard"


def test_a_change_under_the_probe_is_said() -> None:
    flags = Flag.CLOCK_SYNCED | Flag.PATH_CHANGED | Flag.CLOCK_STEPPED
    lines = report("x", reading("echo", flags, sent=1, received=1))
    assert "the path changed during the round or since the one before" in lines
    assert "the clock was set during the round" in lines


def test_times_of_a_reflector_that_cannot_be_are_not_laid_to_this_machines_clock() -> None:
    flags = Flag.CLOCK_SYNCED | Flag.CLOCK_STEPPED
    nonsense = report("x", reading("stamp", flags, sent=1, received=1))
    assert any(line.startswith("the reflector's times cannot be") for line in nonsense)
    stepped = report("x", reading("stamp", flags, sent=1, received=1, rtt_min_us=5))
    assert "the clock of this machine or of the reflector was set during the round" in stepped


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({}, "the far end did not tell what arrived"),
        ({"received": 0}, "no packet arrived"),
        ({"received": 3}, "too few packets arrived"),
    ],
)
def test_a_capacity_that_is_not_known_says_why(columns: dict[str, int], reason: str) -> None:
    given = reading("capacity", sent=206, **columns)
    assert summary(given).startswith(f"no estimate: {reason}")
    assert "- arrived" not in "\n".join(report("x", given))


def test_a_load_that_no_echo_met_has_no_figures() -> None:
    columns = {"reference_kbps": 1_000, "idle_echoes": 3, "idle_p50_us": 500, "idle_kbps": 20}
    given = reading("load", **columns, loaded_echoes=0, busy_echoes=0)
    lines = report("x", given)
    assert "idle (below 10 %): 3 echoes, p50 0.500 ms, at 0.02 Mbit/s" in lines
    assert "busy (above 60 %): no echoes" in lines
    assert summary(given) == "median rtt idle 0.500 ms"


def test_an_http_server_that_closes_is_not_one_that_is_silent() -> None:
    assert summary(reading("http", sent=1, answered=0, connect_us=5)) == "closed before an answer came"
    assert summary(reading("http", sent=1, answered=0, connect_us=5, timed_out=1)) == "no answer"


def test_a_disk_that_is_not_there_has_no_figures() -> None:
    assert "disk not known: is there such a folder?" in report("x", reading("host"))


def test_foreign_replies_are_counted_apart() -> None:
    given = reading("echo", sent=5, received=5, foreign=2, in_flight=0)
    assert report("x", given)[1] == "5 sent, 5 received, 0 % lost, 2 foreign"


def test_a_raspberry_pi_that_starves_says_so() -> None:
    given = reading("host", throttled=1 | 1 << 19, supply_mv=4_650, mains=1, temperature_ck=35_815)
    assert "power: on mains, 4.65 V, under-voltage, temperature limit since the start" in report("x", given)
    assert "85.0 °C" in summary(given)


def test_a_gap_is_one_sentence() -> None:
    given = reading("gap", reason=3, epoch=7, first_sequence=12, count=60, from_ms=0, until_ms=90_000_000)
    line = "60 readings lost: damaged on the disk, epoch 0000000000000007"
    assert summary(given) == f"{line}, 1970-01-01 00:00:00Z to 1970-01-02 01:00:00Z"
    assert "from sequence number 12 on, 60 of them" in report("x", given)
    assert "they were never numbered" in report("x", reading("gap", reason=4, count=5))


def test_a_change_of_state_says_after_how_many_rounds_and_what_was_before() -> None:
    given = reading("state", up=0, was_up=1, lasted_s=7_200, rounds=3)
    assert summary(given) == "down after 3 rounds that agree; was up for 2 h"


def test_the_agents_health_names_what_was_dropped_and_the_clock() -> None:
    columns = {"waiting": 345, "oldest_s": 7_260, "dropped_full": 60, "dropped_memory": 2}
    given = reading("agent", **columns, clock_error_us=1_250, month_kib=20_000, month_limit_kib=29_297)
    line = "345 waiting, the oldest for 2 h; dropped: 60 full, 2 memory full; clock good to 1.250 ms"
    assert summary(given) == line
    assert "metered data this month: 20.5 MB of 30.0 MB, lasts to the end of the month" in report("x", given)
    assert "none dropped; clock not synchronised" in summary(reading("agent", waiting=0))
