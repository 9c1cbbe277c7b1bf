"""A change of a link's state, as it waits in the latest item until an event has told of it (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cloud import keys
from cloud.link_state import State
from cloud.varint import varint, varints
from edge_agent.contract import ContractError

_FORMAT = 1
MAX_WAITING = 100
"""Changes of a gateway that wait at most; the oldest give way, counted. 100 take 3 KB at most."""


@dataclass(frozen=True, slots=True)
class Change:
    """A link has changed its state, by a reading that its gateway sealed."""

    gateway: str
    link: str
    before: State
    after: State
    at_ms: int
    """Time of the reading."""
    epoch: int
    sequence: int
    """Number of the reading: with gateway and epoch the identity of the change."""

    @property
    def id(self) -> str:
        """The same for the same change, whenever and however often it is found."""
        return keys.change_id(self.gateway, self.epoch, self.sequence)


def pack_all(changes: Sequence[Change]) -> bytes:
    """Changes of one gateway as bytes, nothing for none."""
    if not changes:
        return b""
    parts = [bytes((_FORMAT,))]
    for each in changes:
        name = each.link.encode()
        numbers = (len(name), *name, each.before, each.after, each.at_ms, each.epoch, each.sequence)
        parts += map(varint, numbers)
    return b"".join(parts)


def unpack_all(gateway: str, data: bytes) -> tuple[Change, ...]:
    """The changes in bytes; raises ContractError when this version cannot read them."""
    if not data:
        return ()
    if data[0] != _FORMAT:
        raise ContractError(f"its changes have format {data[0]}")
    numbers, found = varints(data[1:]), []
    try:
        for length in numbers:
            link = bytes(next(numbers) for _ in range(length)).decode()
            before, after, at_ms, epoch, sequence = (next(numbers) for _ in range(5))
            if at_ms > keys.MAX_MS:
                raise ContractError("its changes are damaged")
            found.append(Change(gateway, link, State(before), State(after), at_ms, epoch, sequence))
    except (ValueError, RuntimeError) as exc:
        raise ContractError("its changes are damaged") from exc
    return tuple(found)
