"""Connections that are open, by where they come from: bounded for each source and for all."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class Guests:
    """The tasks that serve connections, in the order in which they came."""

    def __init__(self, most: int, most_of_one: int) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._tasks: dict[asyncio.Task[None], str] = {}

    def has_room(self, source: str) -> bool:
        """Whether one more of that source is within the bounds."""
        return len(self._tasks) < self._most and Counter(self._tasks.values())[source] < self._most_of_one

    @contextmanager
    def host(self, source: str) -> Iterator[None]:
        """Count the running task as one of that source's; where there is no room, the oldest ends for it."""
        task = asyncio.current_task()
        assert task is not None
        if not self.has_room(source):
            own = [each for each, whose in self._tasks.items() if whose == source]
            oldest = own[0] if len(own) >= self._most_of_one else next(iter(self._tasks))
            oldest.cancel()
            del self._tasks[oldest]
        self._tasks[task] = source
        try:
            yield
        finally:
            self._tasks.pop(task, None)

    def dismiss(self) -> None:
        """End them all."""
        for task in self._tasks:
            task.cancel()
