"""The port between the uplink and a broker: what a publisher promises, and how it fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class PublishError(Exception):
    """It is not known to have arrived; the message names the endpoint and the cause. Try again."""


class PublishRefused(PublishError):
    """The broker answered that it does not take this (not authorised, too large, ...): reason code >= 128."""

    def __init__(self, message: str, temporary: bool = False) -> None:
        """``temporary``: the reason is not the message but the moment, as a quota is."""
        super().__init__(message)
        self.temporary = temporary


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes on the wire: IP and TCP headers, TLS, acknowledgements, keep-alives and repeats included."""

    sent: int = 0
    received: int = 0

    @property
    def both(self) -> int:
        """What a data plan is charged for."""
        return self.sent + self.received

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(self.sent + other.sent, self.received + other.received)


class Publisher(Protocol):
    """A way to a broker, at least once."""

    @property
    def is_connected(self) -> bool:
        """Whether ``connect`` would cost nothing, as far as is known."""
        ...

    async def connect(self) -> None:
        """Be connected when this returns, at once when already; raises PublishError within its timeout."""
        ...

    async def publish(self, topic: str, payload: bytes) -> None:
        """Return when the broker has it (PUBACK); raises PublishRefused or PublishError."""
        ...

    async def close(self) -> None:
        """Disconnect and leave nothing behind, within CLOSE_S."""
        ...

    def traffic(self) -> Traffic:
        """What all connections have cost since the publisher was made."""
        ...


CLOSE_S = 1.0
"""The longest that a publisher takes to close, s: a broker that is silent must not hold up the exit."""
MAX_COMMAND = 1024
"""Bytes of the longest command that is looked at."""
REFUSED_FOR_NOW = frozenset({0x80, 0x83, 0x88, 0x89, 0x97})
"""Reason codes that say nothing of the message: unspecified, implementation specific, server unavailable,
server busy, quota exceeded (MQTT 5.0, 2.4)."""


def wire_bytes(topic: str, payload: bytes) -> int:
    """About what a publish and its acknowledgement cost on the wire, both directions, over IPv4, in bytes."""
    message = len(payload) + len(topic.encode()) + _PUBLISH_HEADER
    segments = -(-message // _SEGMENT)
    return message + segments * (_TLS_RECORD + _IP_TCP) + _PUBACK + _TLS_RECORD + 2 * _IP_TCP


CONNECTION_BYTES = 5_500
"""About what a connection costs until the first publish, in bytes, both directions: TCP, TLS with AWS's
chain of certificates and the gateway's own, CONNECT and SUBSCRIBE."""
_PUBLISH_HEADER = 8
_PUBACK = 4
_TLS_RECORD = 22
_IP_TCP = 52
_SEGMENT = 1_400
