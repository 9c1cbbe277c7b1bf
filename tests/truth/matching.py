"""The truth of echoes, from the wire's log alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from tests.truth.passage import Key, Passage

_ECHO_REQUEST = (8, 128)
_ECHO_REPLY = (0, 129)


def requests(log: Sequence[Passage], identifier: int | None = None) -> list[Passage]:
    """The echo requests that left near, in their order; of one identifier, or of all."""
    return [each for each in log if _is(each, "out", _ECHO_REQUEST, identifier)]


def replies(log: Sequence[Passage], identifier: int | None = None) -> list[Passage]:
    """The echo replies that left far, in their order; of one identifier, or of all."""
    return [each for each in log if _is(each, "back", _ECHO_REPLY, identifier)]


def answers(log: Sequence[Passage], identifier: int | None = None) -> Iterator[Key]:
    """For each intact copy of a reply that came to near, which reply it was."""
    for reply in replies(log, identifier):
        if reply.fate != "corrupted":
            yield from [reply.key] * len(reply.written_ns)


def round_trips_ns(log: Sequence[Passage], identifier: int | None = None) -> list[int | None]:
    """For each echo request, how long until the wire brought its first intact reply; None for never."""
    came: dict[object, int] = {}
    for reply in replies(log, identifier):
        if reply.fate != "corrupted" and reply.written_ns:
            at_ns = min(reply.written_ns)
            came[_number(reply.key)] = min(at_ns, came.get(_number(reply.key), at_ns))
    sent = requests(log, identifier)
    trips = [(came.get(_number(each.key)), each.read_ns) for each in sent]
    return [None if at_ns is None else at_ns - read_ns for at_ns, read_ns in trips]


def identifiers(log: Sequence[Passage]) -> list[int]:
    """The identifiers of the echo requests, by their first use: one tool after the other."""
    return list(dict.fromkeys(each.key.numbers[1] for each in requests(log)))


def fates(passages: Iterable[Passage], *names: str) -> int:
    """How many frames met one of these fates."""
    return sum(each.fate in names for each in passages)


def _is(passage: Passage, direction: str, types: tuple[int, int], identifier: int | None) -> bool:
    if passage.direction != direction or passage.key.protocol != "icmp":
        return False
    kind, whose, _ = passage.key.numbers
    return kind in types and identifier in (None, whose)


def _number(key: Key) -> object:
    """Identifier, sequence and payload, which a reply shares with its request."""
    return key.numbers[1:], key.payload
