"""What a reading comes to, in one word and its colour."""

from __future__ import annotations

from edge_agent.contract import Outcome, Reading

GREEN, YELLOW, RED = "32", "33", "31"
_ANSWERED = {
    "echo": "received",
    "connect": "connected",
    "http": "answered",
    "dns": "answered",
    "stamp": "received",
    "capacity": "capacity_kbps",
    "bulk": "goodput_kbps",
    "path": "hops",
}
"""By kind, the column that says what came back."""
_COUNTED = ("echo", "connect", "http", "dns", "stamp")
"""Kinds whose column is a part of what was sent."""
_HTTP_ERROR = 400


def verdict(reading: Reading) -> str:
    """One word for a reading: ok, degraded, down, or the reason why it was not measured."""
    if reading.outcome is not Outcome.MEASURED:
        return reading.outcome.name.lower().replace("_", " ")
    if reading.kind == "interface":
        return "ok" if reading["up"] else "down"
    if reading.kind == "state":
        return "down" if reading["up"] == 0 else "ok"
    if reading.kind == "gap":
        return "degraded"
    if reading.kind not in _ANSWERED:
        return "ok"
    answered = reading[_ANSWERED[reading.kind]] or 0
    if not answered:
        return "degraded" if reading.kind == "path" else "down"
    return "degraded" if _is_degraded(reading, answered) else "ok"


def _is_degraded(reading: Reading, answered: int) -> bool:
    if reading.kind in ("http", "dns") and _is_refusal(reading):
        return True
    if reading.kind == "capacity":
        return bool(reading["trust"])
    return reading.kind in _COUNTED and answered < (reading["sent"] or 0)


def _is_refusal(reading: Reading) -> bool:
    """Whether the service answered that it does not serve: the link works, the service does not."""
    if reading.kind == "http":
        return (reading["status"] or 0) >= _HTTP_ERROR
    return bool(reading["rcode"])


def colour_of(word: str) -> str:
    """The colour of a verdict."""
    return {"ok": GREEN, "degraded": YELLOW}.get(word, RED)
