"""The whole way out: a spool, an uplink and a publisher against a real broker that fails as brokers do."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import Any

import pytest

from edge_agent.config import UplinkSettings
from edge_agent.contract import Link, decode
from edge_agent.publisher import CLOSE_S, Publisher
from edge_agent.spool import MemoryDisk, Spool
from edge_agent.uplink import Uplink
from tests.edge_agent.mqtt_rig import TOPIC, WITHIN_S, mqtt
from tests.edge_agent.relay import Relay
from tests.edge_agent.uplink_rig import NOW_MS, Echo, fill, run_until

BRISK = UplinkSettings(flush_s=0.5, max_in_flight=4, backoff_max_s=1)


def link_up(spool: Spool, publisher: Publisher, settings: UplinkSettings = BRISK, seed: int = 1) -> Uplink:
    return Uplink(spool, publisher, TOPIC, settings, wall_ms=lambda: NOW_MS, rng=random.Random(seed))


def test_after_a_lost_answer_a_kill_and_another_config_the_same_bytes_come_under_the_same_key(
    kind: str, broker: Any, relay: Relay, observer: Any, echo: Echo, eventually_async: Any
) -> None:
    disk = MemoryDisk()

    async def first_life() -> None:
        spool = Spool(disk, "gw-1", [], 1 << 20, len(TOPIC), batch_readings=10)
        publisher = mqtt(kind, broker, port=relay.port, timeout_s=30.0)
        await publisher.connect()
        relay.is_deaf = True
        fill(spool, [echo(number) for number in range(25)])
        running = asyncio.create_task(link_up(spool, publisher).run())
        await eventually_async(lambda: len(observer.received) == 3)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert spool.stats().held == 25, "nothing was acknowledged"
        await publisher.close()

    async def second_life() -> Spool:
        relay.cut()
        relay.is_deaf = False
        links = [Link("north", target="192.0.2.1"), Link("south")]
        spool = Spool(disk.after_kill(), "gw-1", links, 1 << 20, len(TOPIC), batch_readings=60)
        fill(spool, [echo(number) for number in range(25, 30)])
        publisher = mqtt(kind, broker, port=relay.port)
        link = link_up(spool, publisher, replace(BRISK, order="oldest-first", max_in_flight=1))
        await run_until(link, lambda: spool.stats().held == 0, eventually_async)
        await publisher.close()
        return spool

    asyncio.run(first_life())
    spool = asyncio.run(second_life())
    assert spool.stats().acked == 30
    arrived = [payload for _, payload in observer.wait_for(7)]
    by_key: dict[tuple[int, int], set[bytes]] = {}
    for payload in arrived:
        batch = decode(payload)
        by_key.setdefault((batch.epoch, batch.first_sequence), set()).add(payload)
    assert sorted(first for _, first in by_key) == [0, 10, 20, 25]
    assert all(len(each) == 1 for each in by_key.values()), "a key stands for one content for ever"
    spool.close()


def test_an_outage_of_the_broker_costs_nothing(
    kind: str, broker: Any, observer: Any, echo: Echo, eventually_async: Any
) -> None:
    spool = Spool(MemoryDisk(), "gw-1", [], 1 << 20, len(TOPIC), batch_readings=10)
    publisher = mqtt(kind, broker, timeout_s=5.0)
    link = link_up(spool, publisher)

    async def work() -> None:
        running = asyncio.create_task(link.run())
        fill(spool, [echo(number) for number in range(10)])
        await eventually_async(lambda: spool.stats().acked == 10)
        broker.kill()
        fill(spool, [echo(number) for number in range(10, 40)])
        await eventually_async(lambda: link.counts().state == "unreachable")
        broker.start()
        await eventually_async(lambda: spool.stats().acked == 40)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await publisher.close()

    asyncio.run(work())
    assert link.counts().connects >= 2 and link.counts().failed >= 1
    spool.close()


def test_two_gateways_of_one_name_slow_down_instead_of_fighting(
    kind: str, broker: Any, echo: Echo, eventually_async: Any
) -> None:
    """Each takes the name from the other; both deliver all the same, ever more seldom."""
    identity = broker.authority.issue("gw-1")

    async def work() -> int:
        spools, publishers, links = [], [], []
        for seed in (1, 2):
            spools.append(Spool(MemoryDisk(), "gw-1", [], 1 << 20, len(TOPIC), batch_readings=10))
            publishers.append(mqtt(kind, broker, identity, timeout_s=5.0))
            settings = UplinkSettings(flush_s=0.05, backoff_max_s=600)
            links.append(link_up(spools[-1], publishers[-1], settings, seed))
        tasks = [asyncio.create_task(each.run()) for each in links]
        loop = asyncio.get_running_loop()
        ends_s = loop.time() + 6
        number = 0
        while loop.time() < ends_s:
            for spool in spools:
                fill(spool, [echo(number)])
            number += 1
            await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(each.close() for each in publishers))
        assert all(each.stats().acked > 0 for each in spools)
        return sum(each.counts().connects for each in links)

    connects = asyncio.run(work())
    # At 20 batches a second from each, a war would make some 100 connections.
    assert 2 <= connects <= 14


@pytest.mark.parametrize("silence", ["from the start", "after the connection"])
def test_stopping_takes_at_most_the_time_given_however_silent_the_broker_is(
    kind: str, broker: Any, relay: Relay, echo: Echo, silence: str
) -> None:
    spool = Spool(MemoryDisk(), "gw-1", [], 1 << 20, len(TOPIC))
    publisher = mqtt(kind, broker, port=relay.port, timeout_s=10 * WITHIN_S)
    link = link_up(spool, publisher)

    async def work() -> None:
        if silence == "after the connection":
            await publisher.connect()
        relay.is_deaf = True
        fill(spool, [echo(0)])
        async with asyncio.timeout(WITHIN_S):
            assert not await link.stop(CLOSE_S + 1.0)

    asyncio.run(work())
    assert spool.stats().held == 1
    spool.close()


def test_a_batch_that_the_broker_finds_too_large_is_given_up_and_the_rest_arrives(
    kind: str, authority: Any, broker: Any, echo: Echo, eventually_async: Any, tmp_path: Any
) -> None:
    folder = tmp_path / "narrow"
    folder.mkdir()
    narrow = type(broker)(authority, folder, "max_packet_size 400\n")
    narrow.start()
    spool = Spool(MemoryDisk(), "gw-1", [], 1 << 20, len(TOPIC), batch_readings=60)
    fill(spool, [echo(number) for number in range(60)])
    spool.seal(NOW_MS)
    (large,) = spool.pending(1)
    assert len(large.payload) > 400
    publisher = mqtt(kind, narrow, timeout_s=5.0)
    link = link_up(spool, publisher, UplinkSettings(flush_s=0.2, backoff_max_s=0.3))

    async def work() -> None:
        running = asyncio.create_task(link.run())
        number = 60
        async with asyncio.timeout(25):
            while not link.counts().refused:
                fill(spool, [echo(number)])
                number += 1
                await asyncio.sleep(0.1)
        await eventually_async(lambda: spool.stats().acked >= number - 60)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await publisher.close()

    asyncio.run(work())
    narrow.kill()
    assert link.counts().refused == 1
    spool.close()
