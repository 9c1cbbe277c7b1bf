"""`edge-agent status`: what a technician reads, what is wrong, and the reading of it."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from edge_agent.complaints import complaints
from edge_agent.contract import Outcome, Reading, not_measured, row
from edge_agent.display import Palette
from edge_agent.health import agent_reading
from edge_agent.status import Delivery, Held, Seen, Status
from edge_agent.status_view import view
from tests.edge_agent.status_rig import STATUS

PLAIN = Palette(io.StringIO(), {})


def shown(status: Status = STATUS) -> str:
    return "\n".join(view(status, "running for 2 h", True, PLAIN))


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
