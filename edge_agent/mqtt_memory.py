"""A broker in memory behind the Publisher port: for tests and dry runs, held to the same tests as MQTT."""

from __future__ import annotations

from collections.abc import Callable

from edge_agent.uplink import PublishError, PublishRefused


class MemoryPublisher:
    """Keeps what was published; can be unreachable or refuse topics, as a broker can."""

    def __init__(self, allows: Callable[[str], bool] = lambda topic: True) -> None:
        """``allows`` says which topics the broker takes."""
        self._allows = allows
        self.is_up = True
        """Whether the broker runs; setting it False ends the connection."""
        self.is_connected = False
        self.received: list[tuple[str, bytes]] = []
        """(topic, payload) in order of arrival, repeats included."""

    async def connect(self) -> None:
        """Connect to the broker in memory; raises PublishError while it is down."""
        if not self.is_up:
            self.is_connected = False
            raise PublishError("memory: the broker is down")
        self.is_connected = True

    async def publish(self, topic: str, payload: bytes) -> None:
        """Keep the payload; raises PublishRefused or PublishError as a broker's answer would."""
        if not (self.is_up and self.is_connected):
            self.is_connected = False
            raise PublishError("memory: not connected")
        if not self._allows(topic):
            raise PublishRefused(f"memory: {topic}: Not authorized")
        self.received.append((topic, payload))

    async def close(self) -> None:
        """Disconnect."""
        self.is_connected = False
