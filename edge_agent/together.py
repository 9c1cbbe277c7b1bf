"""Coroutines that live and end together."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


async def attended(main: Coroutine[Any, Any, T], workers: Sequence[Coroutine[Any, Any, None]]) -> T:
    """The result of ``main`` while the workers run beside it; the failure of any ends all."""
    leader = asyncio.ensure_future(main)
    tasks = [leader, *map(asyncio.ensure_future, workers)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        return leader.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
