"""Readings of what the gateway says of itself: readings lost, changes of state, the agent's health."""

from __future__ import annotations

from edge_agent.contract import Reading
from edge_agent.contract.texts import DROPS, before_of, duration_text, gap_of
from edge_agent.display.figures import NOTHING, count, memory, ms


def gap_line(reading: Reading) -> str:
    """What is missing and why, on one line."""
    return gap_of(reading)


def gap_report(reading: Reading) -> list[str]:
    """What is missing, with the sequence numbers."""
    first, lost = reading["first_sequence"], reading["count"]
    if first is None:
        return [gap_of(reading), "they were never numbered"]
    return [
        gap_of(reading),
        f"from sequence number {first} on" + ("" if lost is None else f", {lost} of them"),
    ]


def state_line(reading: Reading) -> str:
    """The new state of a link on one line."""
    rounds = "" if reading["rounds"] is None else f" after {reading['rounds']} rounds that agree"
    word = {None: "not known", 0: "down"}.get(reading["up"], "up")
    return f"{word}{rounds}; {before_of(reading)}"


def state_report(reading: Reading) -> list[str]:
    """The new state of a link."""
    return [state_line(reading)]


def agent_line(reading: Reading) -> str:
    """The agent's health on one line."""
    oldest = "" if reading["oldest_s"] is None else f", the oldest for {duration_text(reading['oldest_s'])}"
    return f"{count(reading['waiting'])} waiting{oldest}; {_drops(reading)}; {_clock(reading)}"


def agent_report(reading: Reading) -> list[str]:
    """The agent's health at length."""
    words = {"published": "published", "failed": "failed", "refused": "refused", "resent": "sent again"}
    uptime = NOTHING if reading["uptime_s"] is None else duration_text(reading["uptime_s"])
    return [
        f"running for {uptime}; {_clock(reading)}",
        f"spool: {memory(reading['spool_kib'])} of {memory(reading['spool_max_kib'])}, "
        f"{count(reading['batches'])} batches, {count(reading['unsealed'])} readings not in a batch yet",
        agent_line(reading),
        f"readings: {count(reading['accepted'])} accepted, {count(reading['acked'])} acknowledged",
        "batches: " + ", ".join(f"{count(reading[name])} {word}" for name, word in words.items()),
        *_budget(reading),
    ]


def _drops(reading: Reading) -> str:
    told = [f"{reading[name]} {word}" for name, word in DROPS.items() if reading[name]]
    return f"dropped: {', '.join(told)}" if told else "none dropped"


def _clock(reading: Reading) -> str:
    error = reading["clock_error_us"]
    return "clock not synchronised" if error is None else f"clock good to {ms(error)} ms"


def _budget(reading: Reading) -> list[str]:
    if reading["month_kib"] is None:
        return []
    limit = "no limit" if reading["month_limit_kib"] is None else f"of {_mb(reading['month_limit_kib'])}"
    lasts = (
        "to the end of the month"
        if reading["lasts_s"] is None
        else f"for {duration_text(reading['lasts_s'])}"
    )
    return [f"metered data this month: {_mb(reading['month_kib'])} {limit}, lasts {lasts}"]


def _mb(kibibytes: int) -> str:
    return f"{kibibytes * 1.024e-3:.1f} MB"
