"""`edge-agent status`: what the agent writes of itself comes back, and a technician reads what is wrong."""

from __future__ import annotations

import io
import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from edge_agent.clock import ManualClock
from edge_agent.complaints import complaints
from edge_agent.contract import KINDS, Flag, Outcome, Reading, not_measured, row
from edge_agent.display import Palette
from edge_agent.health import agent_reading
from edge_agent.status import (
    Delivery,
    Held,
    Meter,
    Problem,
    Seen,
    Status,
    StatusError,
    place,
    read,
    write,
)
from edge_agent.status_command import is_alive, newest, places, presence
from edge_agent.status_view import view

ECHO = Reading("north", "echo", 5, row("echo", sent=5, received=5, rtt_min_us=900), Flag.CLOCK_SYNCED)
DOWN = Reading("north", "state", 5, row("state", up=0, was_up=1))
STATUS = Status(
    gateway="gw-1",
    pid=4242,
    boot="boot",
    since_boot_s=1000.0,
    uptime_s=7300.0,
    written_ms=1_795_300_000_000,
    clock_error_us=1250,
    delivery=Delivery("delivering", 7_200.0, "", 12, 11, 0, 1, 2, 0),
    spool=Held(
        "/var/lib/edge-agent/spool",
        True,
        "",
        2,
        3,
        4,
        1_234,
        13 << 20,
        64 << 20,
        7_260.0,
        20_000,
        18_766,
        {"full": 60, "memory": 0},
    ),
    meters=(Meter("wwan0", 120_000, 950_000, 21_000_000, 30_000_000, 518_400.0),),
    seen=(Seen(ECHO, 3.0), Seen(DOWN, 61.0)),
    problems=(Problem("the broker is out of reach", "check the way out"),),
)
PLAIN = Palette(io.StringIO(), {})


def shown(status: Status = STATUS) -> str:
    return "\n".join(view(status, "running for 2 h", True, PLAIN))


def test_a_status_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    write(path, STATUS)
    assert read(path) == STATUS
    write(path, replace(STATUS, is_stopped=True))
    assert read(path).is_stopped
    assert [each.name for each in tmp_path.iterdir()] == ["status.json"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_reading_of_any_kind_comes_back(kind: str, tmp_path: Path) -> None:
    largest = {column.name: column.maximum for column in KINDS[kind].columns}
    seen = (Seen(Reading("a", kind, 1, row(kind, **largest), Flag(7)), 1.0),)
    seen += (Seen(not_measured("b", kind, 2, Outcome.OVER_BUDGET), 2.0),)
    write(tmp_path / "status", replace(STATUS, seen=seen))
    assert read(tmp_path / "status").seen == seen


def test_everybody_may_read_it_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write(tmp_path / "status.json", STATUS)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "status.json").stat().st_mode) == 0o644


def test_a_write_that_fails_leaves_the_former_status(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    write(path, STATUS)
    (tmp_path / ".status.json.new").mkdir()  # in the way
    with pytest.raises(OSError):
        write(path, replace(STATUS, gateway="other"))
    assert read(path) == STATUS


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "{}", '{"version": 1}', '{"version": 99}', "[" * 100_000, '"\\ud800"', "\xff"],
)
def test_what_is_no_status_is_refused_with_one_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(StatusError, match=r"status\.json"):
        read(path)


def test_a_field_that_is_missing_or_too_many_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    write(path, STATUS)
    whole = json.loads(path.read_text())
    for change in ({"spool": {"nonsense": 1}}, {"seen": [{"kind": "smell"}]}, {"delivery": 5}):
        path.write_text(json.dumps(whole | change))
        with pytest.raises(StatusError):
            read(path)


def test_it_lies_where_systemd_says_else_beside_the_spool() -> None:
    spool = Path("/data/spool")
    assert place({"RUNTIME_DIRECTORY": "/run/edge-agent"}, spool) == Path("/run/edge-agent/status.json")
    assert place({"RUNTIME_DIRECTORY": "/run/a:/run/b"}, spool) == Path("/run/a/status.json")
    assert place({}, spool) == Path("/data/spool.status.json")
    assert Path("/run/edge-agent/status.json") in places({}, None)


# --- whether it runs ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "since_boot_s", "boot", "alive", "code", "words"),
    [
        (STATUS, 1005, "boot", True, None, "running for 2 h (process 4242)"),
        (STATUS, 1005, "boot", False, 69, "not running: it ended without a word, 5 s ago or less"),
        (
            STATUS,
            1300,
            "boot",
            True,
            1,
            "hangs, or its disk takes no status: process 4242 is there and has said nothing for 5 min",
        ),
        (STATUS, 1005, "later", False, 69, "not running: the machine was started anew since"),
        (replace(STATUS, is_stopped=True), 8200, "boot", True, 69, "not running: stopped 2 h ago"),
    ],
)
def test_a_status_is_only_believed_while_its_agent_is_there(
    status: Status, since_boot_s: float, boot: str, alive: bool, code: int | None, words: str
) -> None:
    clock = ManualClock(boot_id=boot, since_boot_s=since_boot_s)
    found = presence(status, clock, lambda pid: alive)
    assert found[0] == code
    assert found[1].startswith(words)


def test_a_process_that_is_gone_or_something_else_is_no_agent() -> None:
    assert not is_alive(2**22 + 1)
    assert not is_alive(1)


def test_of_two_agents_the_one_with_the_configured_spool_is_shown(tmp_path: Path) -> None:
    mine, other = tmp_path / "a", tmp_path / "b"
    write(mine, STATUS)
    write(other, replace(STATUS, gateway="other", spool=Held("/elsewhere"), written_ms=1 << 42))
    paths = [mine, other, tmp_path / "none"]
    found = newest(paths, Path("/var/lib/edge-agent/spool"))
    assert found is not None and found.gateway == "gw-1"
    newer = newest(paths, None)
    assert newer is not None and newer.gateway == "other"
    assert newest(paths, tmp_path) is None


# --- what is shown --------------------------------------------------------------------------------


def test_all_that_a_technician_asks_is_there() -> None:
    lines = shown().splitlines()
    assert lines[:6] == [
        "gw-1: running for 2 h",
        "clock     synchronised, good to 1.2 ms",
        "delivery  delivering for 2 h; 11 batches acknowledged, 1 attempts failed, 2 connections",
        "spool     /var/lib/edge-agent/spool: 13.0 of 64 MiB (20 %), 1,234 readings wait, the oldest for 2 h",
        "readings  20,000 taken, 18,766 acknowledged, 60 dropped (60 full)",
        "budget    wwan0: 21.0 of 30.0 MB this month, 0.95 MB today, 0.12 MB this hour; lasts for 6 d",
    ]
    assert lines[7:9] == [
        "LINK   STATE  PROBE  VERDICT  AGE  LAST READING",
        "north  down   echo   ok       3 s  5/5 replies, rtt 0.900/-/- ms (min/p50/max)",
    ]
    assert lines[-3:] == [
        "what is wrong, and what to do",
        "- the broker is out of reach",
        "  check the way out",
    ]


def test_a_month_that_is_spent_is_not_said_to_last() -> None:
    (meter,) = STATUS.meters
    spent = replace(STATUS, meters=(replace(meter, lasts_s=0),))
    assert shown(spent).splitlines()[5].endswith("0.12 MB this hour; spent but for alarms")


def test_an_agent_that_has_nothing_yet_says_so() -> None:
    fresh = replace(STATUS, clock_error_us=None, delivery=Delivery(), spool=Held("/spool"), meters=())
    lines = shown(replace(fresh, seen=(), problems=())).splitlines()
    assert "clock     not synchronised" in lines
    assert "spool     /spool: not open; 0 readings wait in memory" in lines
    assert "budget    nothing is metered" in lines
    assert lines[-3:] == ["nothing was measured yet", "", "nothing is wrong"]


# --- what is wrong --------------------------------------------------------------------------------


def complained(
    delivery: Delivery = STATUS.delivery,
    spool: Held = STATUS.spool,
    seen: tuple[Seen, ...] = STATUS.seen,
    *,
    clock_synced: bool = True,
    dropped_now: int = 0,
    stalled: tuple[str, ...] = (),
    refused_reload: str = "",
) -> list[str]:
    found = complaints(
        delivery,
        spool,
        seen,
        clock_synced=clock_synced,
        dropped_now=dropped_now,
        stalled=stalled,
        refused_reload=refused_reload,
    )
    assert all(each.remedy for each in found)
    return [each.what for each in found]


def test_a_healthy_agent_has_nothing_to_complain_of_however_its_links_are() -> None:
    assert complained() == []
    lost = Reading("north", "echo", 5, row("echo", sent=5, received=0))
    overrun = not_measured("north", "http", 5, Outcome.OVERRUN)
    held = not_measured("north", "dns", 5, Outcome.OVER_BUDGET)
    assert complained(seen=(Seen(lost, 1.0), Seen(overrun, 1.0), Seen(held, 1.0))) == []


def test_everything_that_is_wrong_is_named() -> None:
    denied = tuple(Seen(not_measured(f"l{n}", "echo", 5, Outcome.DENIED), 1.0) for n in range(7))
    assert complained(
        Delivery("unreachable", 10_800.0, "gw:8883: no answer"),
        replace(STATUS.spool, trouble="No space left on device", in_memory=30, damaged=512),
        denied,
        clock_synced=False,
        dropped_now=60,
        stalled=("commit",),
        refused_reload="agent.toml:3: unknown key",
    ) == [
        "the spool takes no readings: No space left on device; 30 readings wait in memory",
        "512 bytes of the spool were damaged; what they held is lost, and the cloud is told",
        "60 readings were given up since the agent started",
        "the broker is out of reach for 3 h: gw:8883: no answer",
        "these loops stand still: commit",
        "the configuration on disk is not in effect: agent.toml:3: unknown key",
        "the clock is not synchronised",
        "echo does not measure l0, l1, l2, l3, l4 and 2 more: denied",
    ]


@pytest.mark.parametrize(
    ("state", "what"), [("refused", "the broker refuses"), ("held", "the data budget holds readings back")]
)
def test_a_broker_that_refuses_and_a_budget_that_is_spent_are_told_apart(state: str, what: str) -> None:
    assert complained(Delivery(state)) == [what]


# --- the reading ----------------------------------------------------------------------------------


def test_the_health_of_the_agent_is_a_reading_in_the_units_of_its_columns() -> None:
    reading = agent_reading(STATUS)
    assert (reading.link, reading.kind) == ("host", "agent")
    columns = ("waiting", "oldest_s", "spool_kib", "spool_max_kib", "dropped_full", "dropped_refused")
    assert [reading[name] for name in columns] == [1_236, 7_260, 13 << 10, 64 << 10, 60, None]
    assert (reading["month_kib"], reading["month_limit_kib"], reading["lasts_s"]) == (20_507, 29_296, 518_400)
    assert (reading["clock_error_us"], reading["uptime_s"], reading["connects"]) == (1_250, 7_300, 2)


def test_what_is_not_known_is_null_and_nothing_outgrows_its_column() -> None:
    silent = agent_reading(replace(STATUS, clock_error_us=None, meters=(), spool=Held("/spool")))
    for name in ("clock_error_us", "month_kib", "lasts_s", "oldest_s", "dropped_full"):
        assert silent[name] is None
    huge = agent_reading(replace(STATUS, uptime_s=1e30, spool=replace(STATUS.spool, batches=1 << 70)))
    assert (huge["uptime_s"], huge["batches"]) == ((1 << 32) - 2, (1 << 32) - 2)
