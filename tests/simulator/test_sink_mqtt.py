"""Over MQTT: one topic and connection a gateway, nothing forgotten while the broker is away."""

from __future__ import annotations

import asyncio

import pytest

from edge_agent.contract import METERING_UNIT, decode
from edge_agent.mqtt_memory import MemoryPublisher
from simulator.sink_mqtt import MqttSink
from simulator.target import SimulatorError
from simulator.world import World, build

START_MS = 1_790_000_000_000


class Brokers:
    """A memory publisher for each gateway."""

    def __init__(self, down: frozenset[str] = frozenset()) -> None:
        self.made: dict[str, MemoryPublisher] = {}
        self._down = down

    def publisher(self, name: str) -> MemoryPublisher:
        made = self.made[name] = MemoryPublisher(lambda topic: f"/{name}/" in topic)
        made.is_up = name not in self._down
        return made

    def received(self) -> list[tuple[str, bytes]]:
        return [each for made in self.made.values() for each in made.received]


def sink_of(brokers: Brokers, world: World, flush_s: float = 3600) -> MqttSink:
    return MqttSink(world, "rule", brokers.publisher, flush_s, advice="; see", wall_ms=lambda: START_MS)


def fill(sink: MqttSink, world: World, rounds: int = 3) -> int:
    count = 0
    for turn in range(rounds):
        for gateway in world.gateways:
            readings = gateway.readings(START_MS + turn * 10_000, None)
            sink.accept(gateway, readings)
            count += len(readings)
    return count


def test_fifty_gateways_publish_each_to_its_own_topic_all_that_they_accepted() -> None:
    world, brokers = build(1, 50, 10), Brokers()
    sink = sink_of(brokers, world)

    async def main() -> tuple[int, int, int]:
        await sink.open()
        accepted = fill(sink, world)
        await sink.finish(30)
        figures = accepted, sink.acknowledged, sink.connected
        await sink.close()
        return figures

    accepted, acknowledged, connected = asyncio.run(main())
    assert (accepted, acknowledged, connected) == (50 * 3 * 11, 50 * 3 * 11, 50)
    seen = 0
    for topic, payload in brokers.received():
        batch = decode(payload)
        assert topic == f"$aws/rules/rule/v1/{batch.gateway}/m"
        assert len(topic) + len(payload) <= METERING_UNIT
        seen += len(batch.readings)
    assert seen == accepted
    assert not any(made.is_connected for made in brokers.made.values())


def test_link_definitions_go_with_the_first_batch() -> None:
    world, brokers = build(1, 1, 3), Brokers()
    sink = sink_of(brokers, world)

    async def main() -> None:
        await sink.open()
        fill(sink, world)
        await sink.finish(30)
        await sink.close()

    asyncio.run(main())
    assert decode(brokers.received()[0][1]).links == world.gateways[0].definitions


def test_uplinks_publish_at_their_own_pace_without_a_finish() -> None:
    world, brokers = build(1, 2, 2), Brokers()
    sink = sink_of(brokers, world, flush_s=0.5)

    async def main() -> int:
        await sink.open()
        accepted = fill(sink, world)
        async with asyncio.timeout(30):
            while sink.acknowledged < accepted:
                await sink.flush()
                await asyncio.sleep(0.02)
        await sink.close()
        return accepted

    assert asyncio.run(main()) == sum(len(decode(payload).readings) for _, payload in brokers.received())


def test_gateways_that_cannot_connect_are_counted_in_one_line() -> None:
    world, brokers = build(1, 5, 2), Brokers(frozenset({"gw-0002", "gw-0004"}))
    sink = sink_of(brokers, world)

    async def main() -> None:
        try:
            await sink.open()
        finally:
            await sink.close()

    with pytest.raises(SimulatorError) as caught:
        asyncio.run(main())
    assert str(caught.value) == "gw-0002: memory: the broker is down (2 of 5 gateways cannot connect)"


def test_a_broker_that_comes_back_gets_what_was_accepted_meanwhile() -> None:
    world, brokers = build(1, 3, 2), Brokers()
    sink = sink_of(brokers, world)

    async def main() -> tuple[int, int, int]:
        await sink.open()
        for made in brokers.made.values():
            made.is_up = False
        accepted = fill(sink, world)
        finishing = asyncio.create_task(sink.finish(30))
        await asyncio.sleep(0.1)
        lost, connected = sink.acknowledged, sink.connected
        for made in brokers.made.values():
            made.is_up = True
        await finishing
        assert sink.acknowledged == accepted
        await sink.close()
        return accepted, lost, connected

    accepted, lost, connected = asyncio.run(main())
    assert (lost, connected) == (0, 0)
    assert sum(len(decode(payload).readings) for _, payload in brokers.received()) == accepted


def test_finishing_is_bounded_when_the_broker_stays_away() -> None:
    world, brokers = build(1, 2, 2), Brokers()
    sink = sink_of(brokers, world)

    async def main() -> int:
        await sink.open()
        for made in brokers.made.values():
            made.is_up = False
        fill(sink, world)
        await sink.finish(0.2)
        acknowledged = sink.acknowledged
        await sink.close()
        return acknowledged

    assert asyncio.run(main()) == 0
