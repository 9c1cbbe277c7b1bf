"""What the latest readings of a link come to: how busy it is, and how a call over it would sound (pure)."""

from __future__ import annotations

from cloud import mos
from cloud.ranking import LinkRow
from edge_agent.contract import Outcome, Reading

_SPOKEN = ("echo", "stamp")
"""Kinds whose median time is that of a round trip, without any server's work in it."""


def rate_kbps(row: LinkRow) -> int | None:
    """Rate of the busier direction, kbit/s, over the last round of the interface; None when not measured."""
    reading = next((each for each in row.readings if each.kind == "interface"), None)
    return None if reading is None else _rate_kbps(reading)


def _rate_kbps(reading: Reading) -> int | None:
    period_ms, received, sent = reading["period_ms"], reading["rx_bytes"], reading["tx_bytes"]
    if reading.outcome is not Outcome.MEASURED or not period_ms or received is None or sent is None:
        return None
    return max(received, sent) * 8 // period_ms


def utilisation(row: LinkRow) -> float | None:
    """Measured rate as a part of the nominal capacity; None when either is not known."""
    rate = rate_kbps(row)
    return rate / row.capacity_kbps if rate is not None and row.capacity_kbps else None


def estimated_mos(row: LinkRow) -> float | None:
    """Mean opinion score, 1 to 4.5, of the batch last received (cloud/mos.py says what is assumed)."""
    if row.speaker.reading.kind not in _SPOKEN or row.p50_us is None:
        return None
    return mos.estimate(row.p50_us, row.speaker.lost, row.speaker.sent)
