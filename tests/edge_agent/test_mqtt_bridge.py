"""What the MQTT adapters wait for: whoever waits can be cancelled whenever the answer comes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from edge_agent.mqtt_bridge import Bridge


async def connected(bridge: Bridge) -> None:
    await bridge.until_open(60)


async def acknowledged(bridge: Bridge) -> None:
    bridge.opened()
    await asyncio.sleep(0)
    await bridge.until_acknowledged(1, "topic", 10, 60)


ANSWERS: dict[Callable[[Bridge], Awaitable[None]], Callable[[Bridge], None]] = {
    connected: Bridge.opened,
    acknowledged: lambda bridge: bridge.acknowledged(1),
}


@pytest.mark.parametrize("turns", range(8))
@pytest.mark.parametrize("wait", ANSWERS)
def test_a_cancellation_that_meets_the_answer_is_not_lost(
    wait: Callable[[Bridge], Awaitable[None]], turns: int
) -> None:
    """Whatever turn of the event loop it comes in: else an uplink that is stopped would go on for ever."""

    async def main() -> None:
        bridge = Bridge("broker:8883")

        async def work() -> None:
            await wait(bridge)
            await asyncio.Event().wait()

        task = asyncio.create_task(work())
        for _ in range(3):
            await asyncio.sleep(0)
        ANSWERS[wait](bridge)
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        for _ in range(20):
            await asyncio.sleep(0)
        assert task.cancelled()

    asyncio.run(main())
