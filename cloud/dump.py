"""Bytes of others as people can read them: JSON indented, anything else in hexadecimal (pure)."""

from __future__ import annotations

import json
from collections.abc import Iterator

from edge_agent.contract import ContractError, decode, encode_json

ROW = 16


def as_json(payload: bytes) -> str | None:
    """The payload as indented JSON when it is JSON or a packed batch; None for anything else."""
    try:
        return _indented(payload)
    except ValueError:
        pass
    try:
        return _indented(encode_json(decode(payload)))
    except ContractError:
        return None


def _indented(text: bytes) -> str | None:
    try:
        return json.dumps(json.loads(text), indent=2)
    except RecursionError:
        return None


def hexadecimal(payload: bytes) -> Iterator[str]:
    """Lines of offset, 16 bytes and the ASCII among them, as hexdump -C prints them."""
    for at in range(0, len(payload), ROW):
        row = payload[at : at + ROW]
        halves = row[: ROW // 2].hex(" "), row[ROW // 2 :].hex(" ")
        characters = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        yield f"{at:08x}  {halves[0]:<23}  {halves[1]:<23}  |{characters}|"
