"""Targets become addresses without holding up a round, or say why not."""

from __future__ import annotations

import asyncio
import socket

import pytest

from edge_agent.contract import Outcome
from edge_agent.probes import ProbeError
from edge_agent.probes.resolve import Endpoint, Resolver

HERE = Endpoint(socket.AF_INET, "127.0.0.1")


def test_a_silent_name_server_is_unresolved_and_asked_by_one_thread_only() -> None:
    asked: list[str] = []

    async def never(name: str) -> Endpoint:
        asked.append(name)
        await asyncio.Event().wait()
        raise AssertionError

    async def twice() -> None:
        resolver = Resolver(never)
        for _ in range(2):
            with pytest.raises(ProbeError, match=r"no answer within 0\.01 s") as caught:
                await resolver.resolve("slow.example", "", 0.01)
            assert caught.value.outcome is Outcome.UNRESOLVED

    asyncio.run(twice())
    assert asked == ["slow.example"]


def test_a_name_is_asked_for_again_after_a_minute_not_before() -> None:
    asked: list[str] = []
    now = [0.0]

    async def answer(name: str) -> Endpoint:
        asked.append(name)
        return HERE

    async def ask() -> None:
        resolver = Resolver(answer, lambda: now[0])
        for now[0] in (0.0, 59.0, 61.0):
            assert await resolver.resolve("host.example", "", 1) == HERE

    asyncio.run(ask())
    assert len(asked) == 2
