"""Columns that hold a text or a code, in words; for people, so the ingest function does not carry it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from ipaddress import IPv6Address

from edge_agent.contract.kinds_gateway import Loss
from edge_agent.contract.model import Reading

PROTOCOLS = {1: "ARP", 2: "ND", 3: "LLDP"}
"""How a neighbour was found, by the code in the column."""
TRUSTS = {
    0: "trusted",
    1: "time-slotted or aggregating link",
    2: "segments disagree",
    3: "too few packets",
    4: "receiver's stamps too coarse",
}
"""How far a capacity may be believed, by the code in the column."""
LOSSES: Mapping[int, str] = {
    Loss.FULL: "the spool was full",
    Loss.THINNED: "thinned out, because the spool was full",
    Loss.DAMAGED: "damaged on the disk",
    Loss.MEMORY: "the disk took nothing until memory was full",
    Loss.REFUSED: "the broker refused them",
    Loss.IMPOSSIBLE: "they broke the contract, a fault of the agent",
}
"""Why readings are missing, by the code in the column."""
DROPS = {
    "dropped_full": "full",
    "dropped_thinned": "thinned out",
    "dropped_damaged": "damaged",
    "dropped_memory": "memory full",
    "dropped_refused": "refused",
}
"""The columns of kind agent that count what was given up, with a word for each."""
_UNITS_S = (("d", 86_400), ("h", 3_600), ("min", 60))
_THROTTLES = ("under-voltage", "frequency capped", "throttled", "temperature limit")
_OCCURRED = 16
"""The bit of a Raspberry Pi's flags from which on they say "has occurred since it was started"."""


def address_of(reading: Reading) -> str:
    """The IP address in a reading of a path or of a neighbour, or nothing."""
    high, low = reading["address_high"], reading["address_low"]
    if high is None or low is None:
        return ""
    address = IPv6Address(high << 64 | low)
    return str(address.ipv4_mapped or address)


def mac_of(reading: Reading) -> str:
    """The hardware address of a neighbour, or nothing."""
    mac = reading["mac"]
    return "" if mac is None else mac.to_bytes(8, "big")[2:].hex(":")


def text_of(reading: Reading, name: str) -> str:
    """The text that a reading holds in the columns name_1, name_2, ...; what cannot be shown is "?"."""
    pieces = [reading[f"{name}_{piece}"] for piece in range(1, 5)]
    raw = b"".join(piece.to_bytes(8, "big") for piece in pieces if piece is not None).rstrip(b"\0")
    return "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in raw)


def throttles_of(reading: Reading) -> list[str]:
    """What holds a Raspberry Pi back, now or since its start."""
    flags = reading["throttled"] or 0
    now = [word for bit, word in enumerate(_THROTTLES) if flags >> bit & 1]
    before = [
        f"{word} since the start"
        for bit, word in enumerate(_THROTTLES)
        if flags >> (bit + _OCCURRED) & 1 and word not in now
    ]
    return now + before


def moment_text(at_ms: int) -> str:
    """A time to the second, UTC; "an impossible time" for one that no calendar has."""
    try:
        return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%SZ}"
    except (OverflowError, ValueError, OSError):
        return "an impossible time"


def duration_text(seconds: float) -> str:
    """A duration in its largest unit that is at least 2, rounded down."""
    for unit, size in _UNITS_S:
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(max(seconds, 0))} s"


def gap_of(reading: Reading) -> str:
    """What is missing and why, from a reading of kind gap."""
    count, reason = reading["count"], reading["reason"]
    lost = "readings lost" if count is None else f"{count:,} {'reading' if count == 1 else 'readings'} lost"
    why = "reason not told" if reason is None else LOSSES.get(reason, f"reason {reason}")
    epoch = "" if reading["epoch"] is None else f"epoch {reading['epoch']:016x}"
    return ", ".join(
        filter(None, (f"{lost}: {why}", epoch, _period(reading["from_ms"], reading["until_ms"])))
    )


def _period(from_ms: int | None, until_ms: int | None) -> str:
    begin, end = (each if each is None else moment_text(each) for each in (from_ms, until_ms))
    if begin is None or end is None or begin == end:
        return begin or end or ""
    return f"{begin} to {end[11:] if begin[:10] == end[:10] else end}"


def before_of(reading: Reading) -> str:
    """What a link was before it changed, and for how long, from a reading of kind state."""
    if reading["was_up"] is None:
        return "not known before"
    was = "up" if reading["was_up"] else "down"
    return (
        f"was {was}" if reading["lasted_s"] is None else f"was {was} for {duration_text(reading['lasted_s'])}"
    )
