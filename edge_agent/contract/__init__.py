"""The wire contract: links, readings and sealed batches, packed for the wire or written as JSON.

This package is the only code that both halves share, so it imports the standard library alone.

A packed batch is ``version (1 B) | CRC-32 of the body (4 B) | raw DEFLATE of the body (RFC 1951)``.
The body is big-endian:

    gateway            text (1 B length, UTF-8)
    epoch, first sequence, sealed at (ms), base time (ms)       4 x 8 B
    link count (1 B), then each link: 1 B "defined", id text and, when defined,
        peer, interface, next hop, VLAN, target, medium text and metered (1 B)
    series count (1 B), then each series: kind code (1 B), link index (1 B)
    reading count (2 B)
    columns over all readings, in sequence order:
        series index (1 B), step from the reading before (4 B, ms, modulo 2^32, the first from
        the base time), flags (1 B), outcome (1 B)
    then for each kind present, by code: kind code, column count, and its columns

A column is stored as byte planes (all first bytes, then all second bytes, ...), which halves what
DEFLATE leaves of noisy integers. A value v is stored as v + 1, so that 0 means null; a column that
is "over" another is stored as the difference to it, modulo the column's range. Columns are only
ever appended to a kind; a missing one reads as null.
"""

from __future__ import annotations

from edge_agent.contract.column import Column, Kind
from edge_agent.contract.forms import decode, unseal
from edge_agent.contract.json_form import describe, describe_reading, encode_json
from edge_agent.contract.kinds import KINDS
from edge_agent.contract.kinds_gateway import Loss
from edge_agent.contract.limits import check
from edge_agent.contract.model import (
    GATEWAY_PATTERN,
    LINK_PATTERN,
    MAX_BODY,
    MAX_READINGS,
    MAX_SPAN_MS,
    METERING_UNIT,
    VERSION,
    Batch,
    ContractError,
    Flag,
    Link,
    Outcome,
    Reading,
    Values,
    not_measured,
    row,
)
from edge_agent.contract.pack import encode
from edge_agent.contract.sealed import Sealed, Series

__all__ = [
    "GATEWAY_PATTERN",
    "KINDS",
    "LINK_PATTERN",
    "MAX_BODY",
    "MAX_READINGS",
    "MAX_SPAN_MS",
    "METERING_UNIT",
    "VERSION",
    "Batch",
    "Column",
    "ContractError",
    "Flag",
    "Kind",
    "Link",
    "Loss",
    "Outcome",
    "Reading",
    "Sealed",
    "Series",
    "Values",
    "check",
    "decode",
    "describe",
    "describe_reading",
    "encode",
    "encode_json",
    "not_measured",
    "row",
    "unseal",
]
