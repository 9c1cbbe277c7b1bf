"""How the cell of a column is written, from a reading; "–" is what was not measured."""

from __future__ import annotations

from collections.abc import Callable

from cloud import display
from cloud.health import tally
from edge_agent.contract import Reading
from edge_agent.contract.texts import DROPS, PROTOCOLS

Cell = Callable[[Reading], str]


def loss(reading: Reading) -> str:
    """Share of round trips lost, per cent."""
    counted = tally(reading)
    return display.percent(counted.lost, counted.sent) if counted else display.NOTHING


def scaled(name: str, scale: float = 1, digits: int = 0) -> Cell:
    """A stored integer times a factor."""
    return lambda reading: display.scaled(reading[name], scale, digits)


def milliseconds(name: str) -> Cell:
    """µs as ms."""
    return lambda reading: display.milliseconds(reading[name])


def traffic(name: str) -> Cell:
    """Mbit/s over the period of an interface reading."""

    def cell(reading: Reading) -> str:
        octets, period_ms = reading[name], reading["period_ms"]
        if octets is None or not period_ms:
            return display.NOTHING
        return f"{octets * 8 / period_ms / 1000:,.3f}"

    return cell


def added(first: str, second: str) -> Cell:
    """The sum of two columns, where both are known."""

    def cell(reading: Reading) -> str:
        values = reading[first], reading[second]
        return display.NOTHING if None in values else f"{sum(value or 0 for value in values):,}"

    return cell


def mbps(name: str) -> Cell:
    """kbit/s as Mbit/s, three decimals below 10."""

    def cell(reading: Reading) -> str:
        kbps = reading[name]
        return display.scaled(kbps, 1e-3, 3 if (kbps or 0) < 10_000 else 1)

    return cell


def decoded(decode: Callable[[Reading], str]) -> Cell:
    """What others call themselves, made safe to print."""
    return lambda reading: display.clean(decode(reading))


def duration(name: str) -> Cell:
    """Seconds in their largest unit."""

    def cell(reading: Reading) -> str:
        seconds = reading[name]
        return display.NOTHING if seconds is None else display.age(seconds * 1000)

    return cell


def dropped(reading: Reading) -> str:
    """Readings that were given up, for whatever reason."""
    told = [reading[name] for name in DROPS]
    return display.NOTHING if all(each is None for each in told) else f"{sum(each or 0 for each in told):,}"


def protocol(reading: Reading) -> str:
    """How a neighbour was found."""
    code = reading["protocol"]
    return display.NOTHING if code is None else PROTOCOLS.get(code, str(code))


def celsius(reading: Reading) -> str:
    """0.01 K as °C."""
    heat = reading["temperature_ck"]
    return display.NOTHING if heat is None else f"{heat / 100 - 273.15:.1f}"


def round_trip() -> tuple[tuple[str, Cell], ...]:
    """The columns of a round trip."""
    return (
        ("min ms", milliseconds("rtt_min_us")),
        ("p50 ms", milliseconds("rtt_p50_us")),
        ("p95 ms", milliseconds("rtt_p95_us")),
        ("max ms", milliseconds("rtt_max_us")),
        ("stddev ms", milliseconds("rtt_stddev_us")),
    )


def state(reading: Reading) -> str:
    """Whether an interface or a link is up."""
    return {None: display.NOTHING, 0: "down"}.get(reading["up"], "up")
