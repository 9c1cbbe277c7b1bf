"""What the supervisor knows of a part of the local cloud, whatever it is made of."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from infrastructure.local.process import Child
from infrastructure.local.state import PartStatus


class Part(Protocol):
    """Something that runs until it is stopped, or fails."""

    @property
    def pid(self) -> int | None:
        """The process it runs in."""

    def failure(self) -> str:
        """How it failed, in one line; empty while it works."""

    def detail(self) -> str:
        """What is worth knowing while it works."""

    def stop(self) -> None:
        """End it and wait until it has ended."""


@dataclass(frozen=True, slots=True)
class ProcessPart:
    """A part that is a process of its own."""

    child: Child
    port: int
    grace_s: float = 5.0
    """How long it may take to end before it is killed."""

    @property
    def pid(self) -> int:
        """The process id."""
        return self.child.pid

    def failure(self) -> str:
        """How the process ended; empty while it runs."""
        return self.child.failure()

    def detail(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    def stop(self) -> None:
        """End the process."""
        self.child.stop(self.grace_s)


@dataclass(frozen=True, slots=True)
class OwnPart:
    """A part made of threads of this process, or whose processes are kept by an object of this process."""

    failed: Callable[[], str]
    described: Callable[[], str]
    stopped: Callable[[], object]
    process: Callable[[], int] = os.getpid

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process()

    def failure(self) -> str:
        """How it failed; empty while it works."""
        return self.failed()

    def detail(self) -> str:
        """What is worth knowing while it works."""
        return self.described()

    def stop(self) -> None:
        """End it."""
        self.stopped()


def status(part: Part) -> PartStatus:
    """The part as it is now."""
    failure = part.failure()
    if failure:
        return PartStatus(part.pid, "failed", failure)
    return PartStatus(part.pid, "running", part.detail())
