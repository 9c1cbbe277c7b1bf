"""The columns of a history, by kind of reading: header with its unit, and how a cell is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from cloud import display
from cloud.display import Column
from cloud.health import tally
from edge_agent.contract import KINDS, Flag, Outcome, Reading

Cell = Callable[[Reading], str]
_SPARE = {"stddev ms": 6, "dup": 5, "ipdv ms": 4, "late": 3, "MTU B": 3, "min ms": 2, "p95 ms": 1, "sent": 1}


def columns_of(kind: str) -> list[tuple[Column, Cell]]:
    """The columns of a kind; one without a table of its own shows what is stored."""
    figures = _FIGURES.get(kind) or [(column.name, _scaled(column.name)) for column in KINDS[kind].columns]
    return [
        (Column("time"), lambda reading: display.utc(reading.at_ms)),
        *((Column(header, right=True, spare=_SPARE.get(header, 0)), cell) for header, cell in figures),
        (Column("notes", wraps=True), _notes),
    ]


def _loss(reading: Reading) -> str:
    counted = tally(reading)
    return display.percent(counted.lost, counted.sent) if counted else display.NOTHING


def _scaled(name: str, scale: float = 1, digits: int = 0) -> Cell:
    return lambda reading: display.scaled(reading[name], scale, digits)


def _ms(name: str) -> Cell:
    return lambda reading: display.milliseconds(reading[name])


def _rate(name: str) -> Cell:
    """Mbit/s over the period of an interface reading."""

    def cell(reading: Reading) -> str:
        octets, period_ms = reading[name], reading["period_ms"]
        if octets is None or not period_ms:
            return display.NOTHING
        return f"{octets * 8 / period_ms / 1000:,.3f}"

    return cell


def _sum(first: str, second: str) -> Cell:
    def cell(reading: Reading) -> str:
        values = reading[first], reading[second]
        return display.NOTHING if None in values else f"{sum(value or 0 for value in values):,}"

    return cell


def _up(reading: Reading) -> str:
    return {None: display.NOTHING, 0: "down"}.get(reading["up"], "up")


def _notes(reading: Reading) -> str:
    """What a reader of the figures must know of how they were taken."""
    if reading.outcome is not Outcome.MEASURED:
        return f"not measured: {reading.outcome.name.lower().replace('_', ' ')}"
    notes = []
    kernel = Flag.KERNEL_SENT | Flag.KERNEL_RECEIVED
    if reading.kind == "echo" and reading.flags & kernel != kernel and not reading.flags & Flag.SIMULATED:
        notes.append("user-space stamps")
    if not reading.flags & Flag.CLOCK_SYNCED:
        notes.append("clock not synchronised")
    if reading.flags & Flag.RESTAMPED:
        notes.append("re-stamped")
    if reading.flags & Flag.SIMULATED:
        notes.append("simulated")
    return ", ".join(notes)


_FIGURES: Mapping[str, Sequence[tuple[str, Cell]]] = {
    "echo": (
        ("sent", _scaled("sent")),
        ("received", _scaled("received")),
        ("loss %", _loss),
        ("late", _scaled("late")),
        ("dup", _scaled("duplicate")),
        ("min ms", _ms("rtt_min_us")),
        ("p50 ms", _ms("rtt_p50_us")),
        ("p95 ms", _ms("rtt_p95_us")),
        ("max ms", _ms("rtt_max_us")),
        ("stddev ms", _ms("rtt_stddev_us")),
        ("ipdv ms", _ms("ipdv_mean_us")),
    ),
    "connect": (
        ("sent", _scaled("sent")),
        ("connected", _scaled("connected")),
        ("refused", _scaled("refused")),
        ("timed out", _scaled("timed_out")),
        ("min ms", _ms("connect_min_us")),
        ("p50 ms", _ms("connect_p50_us")),
        ("max ms", _ms("connect_max_us")),
    ),
    "interface": (
        ("state", _up),
        ("speed Mbit/s", _scaled("speed_kbps", 1e-3)),
        ("MTU B", _scaled("mtu")),
        ("in Mbit/s", _rate("rx_bytes")),
        ("out Mbit/s", _rate("tx_bytes")),
        ("errors", _sum("rx_errors", "tx_errors")),
        ("dropped", _sum("rx_dropped", "tx_dropped")),
    ),
}
