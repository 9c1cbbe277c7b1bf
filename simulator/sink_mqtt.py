"""Batches over MQTT: each virtual gateway with its own certificate, connection, spool and uplink."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge_agent.config import UplinkSettings
from edge_agent.contract import ContractError, Reading
from edge_agent.spool import MemoryDisk, Spool, SpoolError
from edge_agent.taken import Taken
from edge_agent.uplink import Publisher, PublishError, PublishRefused, Traffic, Uplink
from simulator.target import SimulatorError
from simulator.world import Gateway, World

CONNECTING = 50
"""Connections made at a time: more only wait for the same cores to do the handshakes."""
SPOOL_BYTES = 16 << 20
RETRY_S = 1.0


class _Watched:
    """A publisher that remembers whether it is connected."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self.is_connected = False

    async def connect(self) -> None:
        """Connect and remember."""
        self.is_connected = False
        await self._publisher.connect()
        self.is_connected = True

    async def publish(self, topic: str, payload: bytes) -> None:
        """Publish; a refusal says that the connection is well, any other failure that it is not."""
        try:
            await self._publisher.publish(topic, payload)
        except PublishRefused:
            raise
        except PublishError:
            self.is_connected = False
            raise

    async def close(self) -> None:
        """Disconnect."""
        self.is_connected = False
        await self._publisher.close()

    def traffic(self) -> Traffic:
        """What the connection has cost."""
        return self._publisher.traffic()


@dataclass(frozen=True, slots=True)
class _Member:
    gateway: Gateway
    spool: Spool
    publisher: _Watched
    uplink: Uplink


class MqttSink:
    """A spool and an uplink for each gateway, as on a real one; only the disk and the links are not real."""

    def __init__(
        self,
        world: World,
        rule: str,
        publisher: Callable[[str], Publisher],
        flush_s: float,
        *,
        advice: str = "",
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """``publisher`` makes a gateway's publisher from its name; ``rule`` is the IoT rule of the topics.

        ``advice`` is what to do about a certificate that the broker does not take.
        """
        self._advice = advice
        self._members: dict[str, _Member] = {}
        self._tasks: list[asyncio.Task[None]] = []
        settings = UplinkSettings(flush_s=flush_s)
        for gateway in world.gateways:
            topic = f"$aws/rules/{rule}/v1/{gateway.name}/m"
            spool = Spool(MemoryDisk(), gateway.name, gateway.definitions, SPOOL_BYTES, len(topic))
            watched = _Watched(publisher(gateway.name))
            rng = random.Random(f"uplink/{world.seed}/{gateway.name}")
            uplink = Uplink(spool, watched, topic, settings, wall_ms=wall_ms, rng=rng)
            self._members[gateway.name] = _Member(gateway, spool, watched, uplink)

    async def open(self) -> None:
        """Connect every gateway and start its uplink; raises SimulatorError for the first that cannot."""
        slots = asyncio.Semaphore(CONNECTING)
        async with asyncio.TaskGroup() as connecting:
            outcomes = [
                connecting.create_task(self._connect(member, slots)) for member in self._members.values()
            ]
        failed = [outcome.result() for outcome in outcomes if outcome.result()]
        if failed:
            others = f" ({len(failed)} of {len(outcomes)} gateways cannot connect)" if failed[1:] else ""
            is_tls = any(word in failed[0] for word in ("TLS", "SSL", "certificate"))
            raise SimulatorError(f"{failed[0]}{others}{self._advice if is_tls else ''}")
        self._tasks = [asyncio.create_task(member.uplink.run()) for member in self._members.values()]

    async def _connect(self, member: _Member, slots: asyncio.Semaphore) -> str:
        async with slots:
            try:
                await member.publisher.connect()
            except PublishError as exc:
                return f"{member.gateway.name}: {exc}"
            return ""

    def accept(self, gateway: Gateway, readings: Sequence[Reading]) -> None:
        """Put the readings into the gateway's spool."""
        try:
            self._members[gateway.name].spool.append([Taken(reading) for reading in readings])
        except (SpoolError, ContractError) as exc:
            raise SimulatorError(f"{gateway.name}: {exc}") from exc

    async def flush(self) -> None:
        """Nothing to do: each uplink has its own pace, with its own phase."""
        for task in self._tasks:
            if task.done() and not task.cancelled() and task.exception():
                raise SimulatorError(f"an uplink has ended: {task.exception()!r}")

    async def finish(self, within_s: float) -> None:
        """Have every uplink seal and publish what is left, again after a failure while there is time."""
        end = time.monotonic() + within_s
        waiting = list(self._members.values())
        while waiting and (left_s := end - time.monotonic()) > 0:
            delivered = await asyncio.gather(*(member.uplink.flush(left_s) for member in waiting))
            waiting = [member for member, done in zip(waiting, delivered, strict=True) if not done]
            if waiting:
                await asyncio.sleep(min(RETRY_S, max(0.0, end - time.monotonic())))

    async def close(self) -> None:
        """End the uplinks, disconnect, drop the spools."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(member.publisher.close() for member in self._members.values()))
        for member in self._members.values():
            member.spool.close()

    @property
    def acknowledged(self) -> int:
        """Readings whose batches the broker has acknowledged."""
        return sum(member.spool.stats().acked for member in self._members.values())

    @property
    def connected(self) -> int:
        """Gateways with a connection."""
        return sum(member.publisher.is_connected for member in self._members.values())
