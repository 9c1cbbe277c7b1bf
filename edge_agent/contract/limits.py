"""The limits of the contract, checked on either side of the wire."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
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

_WHOLE = 1 << 63
_LIMITS = {kind.name: tuple(column.maximum for column in kind.columns) for kind in KINDS.values()}


def check(batch: Batch) -> None:
    """Raise ContractError unless the batch keeps every limit of the contract."""
    for position, reading in enumerate(batch.readings):
        _check_reading(reading, position)
    check_frame(batch)


def check_frame(batch: Batch) -> None:
    """All but the readings' own columns, which the packed form cannot hold out of range."""
    require(
        0 < len(batch.readings) <= MAX_READINGS, f"{len(batch.readings)} readings, not 1 to {MAX_READINGS}"
    )
    check_head(batch.gateway, batch.epoch, batch.first_sequence, batch.sealed_ms, batch.links)
    for link in {reading.link for reading in batch.readings}:
        check_link(link)
    check_span(batch.first_ms, batch.last_ms)


def check_head(gateway: str, epoch: int, first_sequence: int, sealed_ms: int, links: Sequence[Link]) -> None:
    """What a batch says before its readings."""
    if not GATEWAY_PATTERN.fullmatch(gateway):
        raise ContractError(f"gateway {gateway!r} is not a valid name")
    _check_number("epoch", epoch)
    _check_number("first_sequence", first_sequence)
    _check_number("sealed_ms", sealed_ms)
    require(len({link.id for link in links}) == len(links), "a link is defined twice")
    for link in links:
        check_link(link.id)
    for text in chain.from_iterable(map(link_texts, links)):
        packed_text(text)


def _check_number(name: str, number: int) -> None:
    if not 0 <= number < _WHOLE:
        raise ContractError(f"{name} is not a 63-bit unsigned integer")


def check_span(first_ms: int, last_ms: int) -> None:
    """The times of the earliest and the latest reading."""
    require(last_ms < _WHOLE, "at_ms is not a 63-bit unsigned integer")
    require(last_ms - first_ms <= MAX_SPAN_MS, "the batch spans more than an hour")


@lru_cache(maxsize=4096)
def check_link(link: str) -> None:
    """A link's id; asked for each link of each batch."""
    require(bool(LINK_PATTERN.fullmatch(link)), f"link {link!r} is not a valid id")


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
