"""Columns that hold a text or a code, in words; for people, so the ingest function does not carry it."""

from __future__ import annotations

from ipaddress import IPv6Address

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
