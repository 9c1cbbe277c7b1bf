"""A broker in memory behind the Publisher port: for tests and dry runs, held to the same tests as MQTT."""

from __future__ import annotations

from collections.abc import Callable

from edge_agent.publisher import (
    CONNECTION_BYTES,
    MAX_COMMAND,
    PublishError,
    PublishRefused,
    Traffic,
    wire_bytes,
)


class MemoryPublisher:
    """Keeps what was published; can be unreachable or refuse topics, as a broker can."""

    def __init__(
        self,
        allows: Callable[[str], bool] = lambda topic: True,
        *,
        will: tuple[str, bytes] | None = None,
        commands: Callable[[bytes], None] | None = None,
    ) -> None:
        """``allows`` says which topics the broker takes; ``commands`` gets what ``command`` is given."""
        self._allows = allows
        self._will = will
        self._commands = commands
        self._is_up = True
        self._is_connected = False
        self._traffic = Traffic()
        self.received: list[tuple[str, bytes]] = []
        """(topic, payload) in order of arrival, repeats included."""
        self.wills: list[tuple[str, bytes]] = []
        """Last wills that were published, because a connection ended without a word."""

    @property
    def is_up(self) -> bool:
        """Whether the broker runs; setting it False ends the connection."""
        return self._is_up

    @is_up.setter
    def is_up(self, value: bool) -> None:
        self._is_up = value
        if not value:
            self._is_connected = False

    @property
    def is_connected(self) -> bool:
        """Whether the broker has a connection; setting it False cuts it, and the last will is published."""
        return self._is_connected

    @is_connected.setter
    def is_connected(self, value: bool) -> None:
        if self._is_connected and not value and self._will:
            self.wills.append(self._will)
        self._is_connected = value

    async def connect(self) -> None:
        """Connect to the broker in memory; raises PublishError while it is down."""
        if not self.is_up:
            raise PublishError("memory: the broker is down")
        if not self._is_connected:
            self._traffic += Traffic(CONNECTION_BYTES // 2, CONNECTION_BYTES // 2)
        self._is_connected = True

    async def publish(self, topic: str, payload: bytes) -> None:
        """Keep the payload; raises PublishRefused or PublishError as a broker's answer would."""
        if not (self.is_up and self._is_connected):
            raise PublishError("memory: not connected")
        self._traffic += Traffic(wire_bytes(topic, payload), 0)
        if not self._allows(topic):
            raise PublishRefused(f"memory: {topic}: Not authorized")
        self.received.append((topic, payload))

    async def close(self) -> None:
        """Disconnect; the last will is forgotten."""
        self._is_connected = False

    def traffic(self) -> Traffic:
        """What it would have cost, by estimate."""
        return self._traffic

    def command(self, payload: bytes) -> None:
        """Let the broker send a command; one that is longer than MAX_COMMAND is dropped."""
        if self._commands is not None and self._is_connected and len(payload) <= MAX_COMMAND:
            self._commands(payload)
