"""Readings in words and aligned columns, for people at a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TextIO

from edge_agent.contract import Flag, Outcome, Reading

BOLD, GREEN, YELLOW, RED = "1", "32", "33", "31"


class Palette:
    """Colours for a terminal, and none for anything else or when NO_COLOR is set (no-color.org)."""

    def __init__(self, stream: TextIO, environment: Mapping[str, str]) -> None:
        self._is_on = stream.isatty() and not environment.get("NO_COLOR")

    def paint(self, text: str, colour: str) -> str:
        """The text in an SGR colour."""
        return f"\033[{colour}m{text}\033[0m" if self._is_on else text


def table(rows: Iterable[Sequence[str]], header: Sequence[str], palette: Palette) -> list[str]:
    """Lines with aligned columns under a header; the last column is not padded."""
    cells = [list(header), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
    return [palette.paint(lines[0], BOLD), *lines[1:]]


def verdict(reading: Reading) -> str:
    """One word for a reading: ok, degraded, down, or the reason why it was not measured."""
    if reading.outcome is not Outcome.MEASURED:
        return reading.outcome.name.lower().replace("_", " ")
    if reading.kind == "interface":
        return "ok" if reading["up"] else "down"
    sent, answered = reading["sent"] or 0, _answered(reading)
    if answered == 0:
        return "down"
    return "ok" if answered >= sent else "degraded"


def colour_of(word: str) -> str:
    """The colour of a verdict."""
    return {"ok": GREEN, "degraded": YELLOW}.get(word, RED)


def summary(reading: Reading) -> str:
    """A reading on one line."""
    if reading.outcome is not Outcome.MEASURED:
        return "not measured"
    if reading.kind == "echo":
        return f"{_replies(reading)}, rtt {_times(reading, 'rtt')} ms (min/p50/max)"
    if reading.kind == "connect":
        counts = f"{reading['connected']}/{reading['sent']} connected"
        return f"{counts}, {_times(reading, 'connect')} ms (min/p50/max)"
    return f"{_port(reading)}, {_traffic(reading)}"


def report(name: str, reading: Reading) -> list[str]:
    """A reading at length, as ping ends."""
    if reading.outcome is not Outcome.MEASURED:
        return [f"{name}: not measured: {verdict(reading)}"]
    lines = {"echo": _echo_report, "connect": _connect_report}.get(reading.kind, _interface_report)(reading)
    return [f"--- {name} ---", *lines, _provenance(reading)]


def _echo_report(reading: Reading) -> list[str]:
    counts = [
        f"{reading[column]} {word}"
        for column, word in (
            ("late", "late"),
            ("duplicate", "duplicate"),
            ("corrupt", "corrupt"),
            ("in_flight", "still in flight"),
        )
        if reading[column]
    ]
    lines = [
        ", ".join([f"{reading['sent']} sent, {reading['received']} received, {_loss(reading)}", *counts])
    ]
    if reading["rtt_min_us"] is not None:
        figures = "/".join(_ms(reading[f"rtt_{each}_us"]) for each in ("min", "p50", "mean", "max", "stddev"))
        lines.append(f"rtt min/p50/mean/max/stddev = {figures} ms")
        more = {"p95": "rtt_p95_us", "mean delay variation (ipdv)": "ipdv_mean_us"}
        known = [
            f"{name} {_ms(reading[column])} ms"
            for name, column in more.items()
            if reading[column] is not None
        ]
        lines.extend([", ".join(known)] if known else [])
    return lines


def _connect_report(reading: Reading) -> list[str]:
    counts = (
        f"{reading['sent']} tried, {reading['connected']} connected, {reading['refused']} refused, "
        f"{reading['timed_out']} without answer"
    )
    if reading["connect_min_us"] is None:
        return [counts]
    figures = "/".join(_ms(reading[f"connect_{each}_us"]) for each in ("min", "p50", "mean", "max"))
    return [counts, f"connect min/p50/mean/max = {figures} ms"]


def _interface_report(reading: Reading) -> list[str]:
    columns = ("packets", "errors", "dropped")
    return [
        _port(reading),
        _traffic(reading),
        *(
            f"{way}: " + ", ".join(f"{_count(reading[f'{way}_{column}'])} {column}" for column in columns)
            for way in ("rx", "tx")
        ),
    ]


def _provenance(reading: Reading) -> str:
    if Flag.SIMULATED in reading.flags:
        return "simulated, not measured"
    clock = f"clock {'synchronised' if Flag.CLOCK_SYNCED in reading.flags else 'not synchronised'}"
    if reading.kind != "echo" or reading["rtt_min_us"] is None:
        return clock
    sent = "kernel" if Flag.KERNEL_SENT in reading.flags else "user space"
    received = "kernel" if Flag.KERNEL_RECEIVED in reading.flags else "user space"
    return f"timestamps: sending {sent}, receiving {received}; {clock}"


def _answered(reading: Reading) -> int:
    return reading["received" if reading.kind == "echo" else "connected"] or 0


def _replies(reading: Reading) -> str:
    return f"{reading['received']}/{reading['sent']} replies"


def _loss(reading: Reading) -> str:
    """Of what has had its time to be answered: what is in flight or came late is not lost."""
    decided = (reading["sent"] or 0) - (reading["in_flight"] or 0)
    late = (reading["late"] or 0) if reading.kind == "echo" else 0
    lost = max(decided - (reading["received"] or 0) - late, 0)
    return f"{100 * lost / decided:.3g} % lost" if decided > 0 else "loss not known"


def _times(reading: Reading, prefix: str) -> str:
    return "/".join(_ms(reading[f"{prefix}_{each}_us"]) for each in ("min", "p50", "max"))


def _ms(micros: int | None) -> str:
    return "-" if micros is None else f"{micros / 1000:.3f}"


def _count(value: int | None) -> str:
    return "-" if value is None else str(value)


def _port(reading: Reading) -> str:
    if reading["up"] is None:
        return "gone"
    speed = reading["speed_kbps"]
    rate = "speed not reported" if speed is None else f"{speed / 1000:g} Mbit/s"
    duplex = {None: "", 0: " half duplex", 1: " full duplex"}[reading["full_duplex"]]
    return f"{'up' if reading['up'] else 'down'}, {rate}{duplex}, MTU {_count(reading['mtu'])} B"


def _traffic(reading: Reading) -> str:
    period = reading["period_ms"]
    if not period or reading["rx_bytes"] is None or reading["tx_bytes"] is None:
        return "counters from the next round on"
    received, sent = (8 * (reading[f"{way}_bytes"] or 0) / period / 1000 for way in ("rx", "tx"))
    return f"receiving {received:.3g} Mbit/s, sending {sent:.3g} Mbit/s"
