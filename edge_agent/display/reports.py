"""A reading of any kind on one line, and a round's readings at length."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from edge_agent.contract import Flag, Outcome, Reading
from edge_agent.display import gateway, round_trips, surroundings, throughput
from edge_agent.display.verdicts import verdict

_LINES: Mapping[str, Callable[[Reading], str]] = {
    "echo": round_trips.echo_line,
    "connect": round_trips.connect_line,
    "interface": surroundings.interface_line,
    "http": round_trips.http_line,
    "dns": round_trips.dns_line,
    "stamp": round_trips.echo_line,
    "capacity": throughput.capacity_line,
    "bulk": throughput.bulk_line,
    "load": throughput.load_line,
    "path": surroundings.path_line,
    "neighbour": surroundings.neighbour_line,
    "host": surroundings.host_line,
    "gap": gateway.gap_line,
    "state": gateway.state_line,
    "agent": gateway.agent_line,
}
_REPORTS: Mapping[str, Callable[[Reading], list[str]]] = {
    "echo": round_trips.echo_report,
    "connect": round_trips.connect_report,
    "interface": surroundings.interface_report,
    "http": round_trips.http_report,
    "dns": round_trips.dns_report,
    "stamp": round_trips.stamp_report,
    "capacity": throughput.capacity_report,
    "bulk": throughput.bulk_report,
    "load": throughput.load_report,
    "host": surroundings.host_report,
    "gap": gateway.gap_report,
    "state": gateway.state_report,
    "agent": gateway.agent_report,
}
_TABLES: Mapping[str, Callable[[Sequence[Reading]], list[str]]] = {
    "path": surroundings.path_report,
    "neighbour": surroundings.neighbour_report,
}
"""Kinds of which a round has several readings."""
_STAMPED = ("echo", "stamp")


def summary(reading: Reading) -> str:
    """A reading on one line."""
    if reading.outcome is not Outcome.MEASURED:
        return "not measured"
    return _LINES[reading.kind](reading)


def report(name: str, *readings: Reading) -> list[str]:
    """The readings of one round at length, as ping ends."""
    first = readings[0]
    if first.outcome is not Outcome.MEASURED:
        return [f"{name}: not measured: {verdict(first)}"]
    several = _TABLES.get(first.kind)
    lines = several(readings) if several else _REPORTS[first.kind](first)
    return [f"--- {name} ---", *lines, *_warnings(first), _provenance(first)]


def _warnings(reading: Reading) -> list[str]:
    lines = []
    if Flag.PATH_CHANGED in reading.flags and reading.kind != "path":
        lines.append("the path changed during the round or since the one before")
    if Flag.CLOCK_STEPPED in reading.flags:
        lines.append(_step(reading))
    return lines


def _step(reading: Reading) -> str:
    """Whose clock it was, as far as one can tell."""
    if reading.kind != "stamp":
        return "the clock was set during the round"
    if reading["received"] and reading["rtt_min_us"] is None:
        return "the reflector's times cannot be: it does not tell the time, or its clock was set meanwhile"
    return "the clock of this machine or of the reflector was set during the round"


def _provenance(reading: Reading) -> str:
    if Flag.SIMULATED in reading.flags:
        return "simulated, not measured"
    clock = f"clock {'synchronised' if Flag.CLOCK_SYNCED in reading.flags else 'not synchronised'}"
    if reading.kind not in _STAMPED or reading["rtt_min_us"] is None:
        return clock
    sent = "kernel" if Flag.KERNEL_SENT in reading.flags else "user space"
    received = "kernel" if Flag.KERNEL_RECEIVED in reading.flags else "user space"
    return f"timestamps: sending {sent}, receiving {received}; {clock}"
