"""The limits of the contract, checked on either side of the wire."""

from __future__ import annotations

from itertools import chain

from edge_agent.contract.kinds import KINDS
from edge_agent.contract.model import (
    GATEWAY_PATTERN,
    LINK_PATTERN,
    MAX_READINGS,
    MAX_SPAN_MS,
    Batch,
    ContractError,
    Flag,
    Link,
    Reading,
)

_LIMITS = {kind.name: tuple(column.maximum for column in kind.columns) for kind in KINDS.values()}


def check(batch: Batch) -> None:
    """Raise ContractError unless the batch keeps every limit of the contract."""
    for position, reading in enumerate(batch.readings):
        _check_reading(reading, position)
    check_frame(batch)


def check_frame(batch: Batch) -> None:
    """All but the readings' own columns, which the packed form cannot hold out of range."""
    require(bool(GATEWAY_PATTERN.fullmatch(batch.gateway)), f"gateway {batch.gateway!r} is not a valid name")
    require(
        0 < len(batch.readings) <= MAX_READINGS, f"{len(batch.readings)} readings, not 1 to {MAX_READINGS}"
    )
    for name in ("epoch", "first_sequence", "sealed_ms"):
        require(0 <= getattr(batch, name) < 1 << 63, f"{name} is not a 63-bit unsigned integer")
    defined = {link.id: link for link in batch.links}
    require(len(defined) == len(batch.links), "a link is defined twice")
    for link in {*defined, *(reading.link for reading in batch.readings)}:
        require(bool(LINK_PATTERN.fullmatch(link)), f"link {link!r} is not a valid id")
    for text in chain.from_iterable(map(link_texts, batch.links)):
        packed_text(text)
    require(batch.last_ms < 1 << 63, "at_ms is not a 63-bit unsigned integer")
    require(batch.last_ms - batch.first_ms <= MAX_SPAN_MS, "the batch spans more than an hour")


def _check_reading(reading: Reading, position: int) -> None:
    where = f"reading {position}"
    kind = KINDS.get(reading.kind)
    if kind is None:
        raise ContractError(f"{where}: unknown kind {reading.kind!r}")
    require(0 <= reading.at_ms < 1 << 63, f"{where}: at_ms is not a 63-bit unsigned integer")
    require(0 <= reading.flags < 1 << len(Flag), f"{where}: flags {int(reading.flags):#x} are not all known")
    limits = _LIMITS[kind.name]
    require(len(reading.values) == len(limits), f"{where}: {len(reading.values)} values for {kind.name}")
    for place, (value, limit) in enumerate(zip(reading.values, limits, strict=True)):
        if value is not None and not 0 <= value <= limit:
            raise ContractError(f"{where}: {kind.columns[place].name} {value} is not within 0 to {limit}")


def require(condition: bool, message: str) -> None:
    """Raise ContractError with the message unless the condition holds."""
    if not condition:
        raise ContractError(message)


def link_texts(link: Link) -> tuple[str, ...]:
    """The texts of a link, in the order of the wire."""
    return (link.id, link.peer, link.interface, link.next_hop, link.vlan, link.target, link.medium)


def packed_text(value: str) -> bytes:
    """A text as it is packed; raises ContractError when it is too long or no Unicode."""
    try:
        raw = value.encode()
    except UnicodeEncodeError as error:  # JSON can escape half a surrogate pair, UTF-8 cannot hold one
        raise ContractError(f"{value[:20]!r} is not Unicode text") from error
    require(len(raw) <= 255, f"{value[:20]!r}... is longer than 255 B")
    return bytes([len(raw)]) + raw
