"""Records that will never be stored as readings: why, where they were, and their quarantine items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from cloud import keys
from cloud.keys import Item

KEPT_BYTES = 131_072
"""Bytes that the quarantine keeps: a payload as long as AWS IoT takes; more is cut, and said to be."""
REASON_LENGTH = 300
NAME_LENGTH = 128
WHOLE = "envelope"
"""The rule by which the record itself is kept; by any other, the payload inside its envelope."""


class Rejected(Exception):
    """A record breaks a rule; ``code`` is the rule's name, fit for logs, the message may quote content."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class QuarantineError(Exception):
    """A quarantine item cannot be read; the message says which."""


class Position(NamedTuple):
    """Where a record is in the stream."""

    shard: str
    sequence: str
    arrived_ms: int
    """When the stream took it, ms since 1970; the same for every retry."""


@dataclass(frozen=True, slots=True)
class Poison:
    """A record to quarantine."""

    position: Position
    code: str
    reason: str
    thing: str
    """Who sent it according to the rule, "" when not known."""
    at_ms: int
    payload: bytes
    client: str | None = None
    """MQTT client id in its envelope, None when there is none."""
    direct: bool = False
    """Put into the stream past the rule."""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A record in quarantine, as read back."""

    at_ms: int
    code: str
    reason: str
    thing: str
    shard: str
    sequence: str
    size: int
    """Bytes it had."""
    truncated: bool
    payload: bytes
    client: str | None = None
    direct: bool = False

    @property
    def sort(self) -> str:
        """Its sort key: its full name."""
        return keys.quarantine_sort(self.at_ms, self.shard, self.sequence)

    @property
    def id(self) -> str:
        """Its short name, unique in all but a few of a million cases: day and CRC-32 of the sort key."""
        return f"{keys.day(self.at_ms)}-{keys.quarantine_number(self.sort):08x}"


def reject(
    rejected: Rejected,
    position: Position,
    thing: str,
    at_ms: int,
    payload: bytes,
    client: str | None = None,
    direct: bool = False,
) -> Poison:
    """The poison that a rejected record becomes, its texts bounded."""
    reason = keys.text(" ".join(str(rejected).split()), REASON_LENGTH)
    name = None if client is None else keys.text(client, NAME_LENGTH)
    return Poison(
        position, rejected.code, reason, keys.text(thing, NAME_LENGTH), at_ms, payload, name, direct
    )


def pack(poison: Poison, retention_days: int) -> Item:
    """The quarantine item; its key depends on the record alone, so a retry overwrites it with itself."""
    position, size = poison.position, len(poison.payload)
    partition, sort = keys.quarantine_place(poison.at_ms, position.shard, position.sequence)
    item: Item = {
        keys.PARTITION: {"S": partition},
        keys.SORT: {"S": sort},
        "code": {"S": poison.code},
        "reason": {"S": poison.reason},
        "thing": {"S": poison.thing},
        "position": {"S": f"{position.shard} {position.sequence}"},
        "size": {"N": str(size)},
        "payload": {"B": poison.payload[:KEPT_BYTES]},
        keys.EXPIRES: {"N": str((poison.at_ms + retention_days * keys.DAY_MS) // 1000)},
    }
    if poison.client is not None:
        item["client"] = {"S": poison.client}
    if poison.direct:
        item["direct"] = {"BOOL": True}
    if size > KEPT_BYTES:
        item["truncated"] = {"BOOL": True}
    return item


def parse(item: Item) -> Quarantined:
    """The record in a quarantine item, of any projection with its sort key; raises QuarantineError."""
    try:
        at_ms, shard, sequence = keys.parse_quarantine_sort(item[keys.SORT]["S"])

        def text(name: str) -> str:
            return str(item.get(name, {}).get("S", ""))

        return Quarantined(
            at_ms,
            text("code"),
            text("reason"),
            text("thing"),
            shard,
            sequence,
            int(item.get("size", {}).get("N", 0)),
            bool(item.get("truncated", {}).get("BOOL", False)),
            bytes(item.get("payload", {}).get("B", b"")),
            text("client") if "client" in item else None,
            bool(item.get("direct", {}).get("BOOL", False)),
        )
    except (ValueError, TypeError, KeyError, AttributeError) as exc:
        raise QuarantineError(f"a quarantine item cannot be read: {item.get(keys.SORT)!r}") from exc
