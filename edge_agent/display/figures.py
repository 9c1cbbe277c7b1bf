"""Stored integers as figures with their units; "-" is what was not measured."""

from __future__ import annotations

from collections.abc import Iterable

from edge_agent.contract import Reading

NOTHING = "-"


def ms(micros: int | None) -> str:
    """µs as ms."""
    return NOTHING if micros is None else f"{micros / 1000:.3f}"


def count(value: int | None) -> str:
    """A number as it is."""
    return NOTHING if value is None else str(value)


def rate(kbps: int | None) -> str:
    """kbit/s in Mbit/s, three digits."""
    return "not known" if kbps is None else f"{kbps / 1000:.3g} Mbit/s" if kbps < 10**6 else _giga(kbps)


def _giga(kbps: int) -> str:
    return f"{kbps / 1e6:.3g} Gbit/s"


def size(octets: int | None) -> str:
    """Bytes in kB (1,000 B)."""
    return NOTHING if octets is None else f"{octets / 1000:.4g} kB"


def memory(kibibytes: int | None) -> str:
    """KiB in MiB or GiB."""
    if kibibytes is None:
        return NOTHING
    return f"{kibibytes / 1024:.0f} MiB" if kibibytes < 1 << 21 else f"{kibibytes / (1 << 20):.1f} GiB"


def percent(permille: int | None) -> str:
    """Thousandths as per cent."""
    return NOTHING if permille is None else f"{permille / 10:.1f} %"


def times(reading: Reading, prefix: str, parts: Iterable[str] = ("min", "p50", "max")) -> str:
    """Times of a distribution, ms, joined by slashes."""
    return "/".join(ms(reading[f"{prefix}_{each}_us"]) for each in parts)


def lost(reading: Reading) -> str:
    """Of what has had its time to be answered: what is in flight or came late is not lost."""
    decided = (reading["sent"] or 0) - (reading["in_flight"] or 0)
    missing = max(decided - (reading["received"] or 0) - (reading["late"] or 0), 0)
    return f"{100 * missing / decided:.3g} % lost" if decided > 0 else "loss not known"


def oddities(reading: Reading) -> list[str]:
    """What came that should not have, and what may still come."""
    words = {
        "late": "late",
        "duplicate": "duplicate",
        "corrupt": "corrupt",
        "foreign": "foreign",
        "in_flight": "still in flight",
    }
    return [f"{reading[column]} {word}" for column, word in words.items() if reading[column]]
