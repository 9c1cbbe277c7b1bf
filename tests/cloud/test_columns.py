"""The tables of a history: every kind has one, and what people see is in their units."""

from __future__ import annotations

import pytest

from cloud import display
from cloud.columns import columns_of
from edge_agent.contract import KINDS, Flag, Outcome, Reading, not_measured, row

NOW = 1_795_300_000_000


def cells(reading: Reading) -> dict[str, str]:
    return {column.header: cell(reading) for column, cell in columns_of(reading.kind)}


def reading(kind: str, flags: Flag = Flag.CLOCK_SYNCED, /, **columns: int) -> Reading:
    return Reading("a.b", kind, NOW, row(kind, **columns), flags)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_table_that_bears_nulls_and_the_largest_values(kind: str) -> None:
    largest = {column.name: column.maximum for column in KINDS[kind].columns}
    empty = cells(reading(kind))
    assert set(cells(reading(kind, **largest))) == set(empty)
    assert empty["time"] == "2026-11-21 22:26:40Z"
    assert not any(cell == "None" for cell in empty.values())


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_not_measured_says_why(kind: str) -> None:
    assert cells(not_measured("a.b", kind, NOW, Outcome.OFF_PATH))["notes"] == "not measured: off path"


def test_addresses_and_texts_are_read_from_their_columns() -> None:
    hop = reading("path", hop=1, address_high=0, address_low=0xFFFF_0A00_0001)
    assert cells(hop)["address"] == "10.0.0.1"
    named = int.from_bytes(b"switch-1", "big")
    heard = reading("neighbour", protocol=3, mac=0x020000000001, name_1=named, port_1=0x0970310000000000)
    shown = cells(heard)
    assert (shown["by"], shown["MAC"], shown["name"], shown["port"]) == (
        "LLDP",
        "02:00:00:00:00:01",
        "switch-1",
        "?p1",
    )
    six = reading("path", address_high=0x20010DB8 << 32, address_low=1)
    assert cells(six)["address"] == "2001:db8::1"


def test_a_name_that_a_neighbour_made_up_cannot_style_the_table() -> None:
    evil = reading("neighbour", protocol=3, name_1=int.from_bytes(b"[red]x[/", "big"))
    assert cells(evil)["name"] == r"\[red]x[/"


@pytest.mark.parametrize(
    ("given", "note"),
    [
        (reading("echo", Flag(7) | Flag.PATH_CHANGED), "path changed"),
        (reading("echo", Flag(7) | Flag.CLOCK_STEPPED), "clock stepped"),
        (reading("stamp", Flag.CLOCK_SYNCED), "user-space stamps"),
        (reading("http", Flag.NONE), "clock not synchronised"),
        (
            reading("capacity", capacity_kbps=9, lower_bound=1, trust=0),
            "lower bound: the sender was the limit",
        ),
        (reading("capacity", capacity_kbps=9, lower_bound=0, trust=1), "time-slotted or aggregating link"),
        (reading("neighbour"), "nothing was heard"),
        (reading("host", throttled=1 << 16 | 1 << 2), "throttled, under-voltage since the start"),
    ],
)
def test_notes_say_what_a_reader_must_know(given: Reading, note: str) -> None:
    assert cells(given)["notes"] == note


def test_figures_are_in_the_units_of_their_headers() -> None:
    assert cells(reading("capacity", capacity_kbps=9_512))["Mbit/s"] == "9.512"
    assert cells(reading("host", temperature_ck=32_215, cpu_permille=125))["°C"] == "49.0"
    assert cells(reading("interface", signal_dbm=67))["signal dBm"] == "-67"
    assert cells(reading("stamp", out_p50_us=10_500))["out p50 ms"] == "10.5"
    assert cells(reading("http", status=200))["status"] == "200"


def test_a_gap_says_what_is_missing_why_and_of_when() -> None:
    columns = {"reason": 1, "epoch": 0x1A2B, "first_sequence": 1_200, "count": 60}
    gap = reading("gap", **columns, from_ms=NOW - 3_600_000, until_ms=NOW)
    period = "2026-11-21 21:26:40Z to 22:26:40Z"
    assert cells(gap)["notes"] == f"60 readings lost: the spool was full, epoch 0000000000001a2b, {period}"
    unnumbered = reading("gap", reason=4, count=1, until_ms=NOW)
    why = "the disk took nothing until memory was full"
    assert cells(unnumbered)["notes"] == f"1 reading lost: {why}, 2026-11-21 22:26:40Z"
    assert cells(reading("gap", reason=99))["notes"] == "readings lost: reason 99"


def test_a_link_that_changed_says_what_it_was_before_and_for_how_long() -> None:
    shown = cells(reading("state", up=0, was_up=1, lasted_s=10_800, rounds=3))
    assert (shown["state"], shown["after rounds"], shown["notes"]) == ("down", "3", "was up for 3 h")
    assert cells(reading("state", up=1))["notes"] == "not known before"


def test_the_health_of_an_agent_sums_up_what_it_dropped() -> None:
    shown = cells(reading("agent", dropped_full=100, dropped_refused=11, spool_kib=13_107, oldest_s=7_260))
    assert (shown["dropped"], shown["spool MiB"], shown["oldest"]) == ("111", "12.8", "2 h")
    assert cells(reading("agent"))["dropped"] == display.NOTHING
