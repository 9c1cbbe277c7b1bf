"""Time that passes only when nothing else is left to do: an hour of an agent's life in milliseconds."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec, TypeVar

from tests.chaos.power_cut_disk import LifeEnded

P = ParamSpec("P")
T = TypeVar("T")


class Stuck(Exception):
    """Nothing would ever happen again."""


class _Idle(selectors.DefaultSelector):
    """Instead of waiting, moves the time on."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stuck("every task waits for another")
        if timeout > 0:
            self.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop of one thread, without input, whose clock jumps to the next timer."""

    def __init__(self) -> None:
        self._idle = _Idle()
        super().__init__(self._idle)

    def time(self) -> float:
        """Seconds since it was made."""
        return self._idle.now

    def pause(self, seconds: float) -> None:
        """Nothing runs for so long: a stopped process, or a machine asleep."""
        self._idle.now += seconds

    def _write_to_self(self) -> None:
        """There is no other thread to wake it from."""


class Inline(Executor):
    """Runs each call at once, in the caller's thread."""

    def submit(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """The call, done."""
        future: Future[T] = Future()
        try:
            future.set_result(call(*args, **kwargs))
        except (Exception, LifeEnded) as exc:
            future.set_exception(exc)
        return future


def run_virtually(make: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    """Run the coroutine on a loop of its own; raises Stuck when it can never end."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(make(loop))
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.close()
