"""Whole numbers in as few bytes as they need: LEB128, seven bits a byte, the lowest first (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def varint(value: int) -> bytes:
    """A number that is not negative, as bytes; raises ValueError for a negative one."""
    if value < 0:
        raise ValueError(f"{value} is negative")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def varints(data: Iterable[int]) -> Iterator[int]:
    """The numbers in bytes; one that is cut short is left out."""
    value = shift = 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield value
            value = shift = 0
