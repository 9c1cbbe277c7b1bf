"""What a run tells while it goes on: a bar on a terminal, a line now and then elsewhere, a status file."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from simulator.target import SimulatorError

PLAIN_EVERY_S = 10.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Readings and gateways of one moment; the form of the status file."""

    generated: int
    accepted: int
    acknowledged: int
    gateways: int
    connected: int


class Reporter:
    """Shows snapshots and keeps the last one in a file, replaced in one step."""

    def __init__(
        self,
        console: Console,
        status: Path | None,
        expected: int | None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``expected`` is how many readings the whole run generates, None when it has no end."""
        self._console = console
        self._status = status
        self._monotonic = monotonic
        self._began_s = self._said_s = monotonic()
        self._before: tuple[float, Snapshot] | None = None
        self._bar: Progress | None = None
        if console.is_terminal:
            columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
            self._bar = Progress(*columns, console=console)
            self._task = self._bar.add_task("connecting", total=expected)

    def __enter__(self) -> Reporter:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    async def run(self, now: Callable[[], Snapshot]) -> None:
        """Show the figures each second until cancelled."""
        while True:
            self.show(now())
            await asyncio.sleep(1)

    def show(self, now: Snapshot) -> None:
        """Show the figures of now with their rates since the last time; raises SimulatorError."""
        text = self._text(now)
        if self._bar is not None:
            self._bar.update(self._task, completed=now.acknowledged, description=text)
        elif self._monotonic() - self._said_s >= PLAIN_EVERY_S:
            self._said_s = self._monotonic()
            self._console.print(f"{self._said_s - self._began_s:5.0f} s  {text}", highlight=False)
        if self._status is not None:
            write_status(self._status, now)

    def _text(self, now: Snapshot) -> str:
        at_s = self._monotonic()
        before_s, before = self._before or (self._began_s, Snapshot(0, 0, 0, 0, 0))
        self._before = (at_s, now)
        span_s = max(at_s - before_s, 1e-9)
        made, known = now.generated - before.generated, now.acknowledged - before.acknowledged
        return (
            f"generated {now.generated:,} ({made / span_s:,.0f}/s)  "
            f"acknowledged {now.acknowledged:,} ({known / span_s:,.0f}/s)"
        )


def write_status(path: Path, now: Snapshot) -> None:
    """Replace the status file, so that a reader never sees half of it; raises SimulatorError."""
    draft = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(asdict(now)) + "\n")
        draft.replace(path)
    except OSError as exc:
        raise SimulatorError(f"{path}: {exc.strerror}") from exc


def summary(now: Snapshot, seconds: float, truth: Path | None, as_json: bool, console: Console) -> None:
    """Print what the run came to."""
    if as_json:
        print(json.dumps({**asdict(now), "seconds": round(seconds, 3), "truth": truth and str(truth)}))
        return
    table = Table("gateways", "generated", "accepted", "acknowledged", "seconds", "readings/s")
    figures = (now.gateways, now.generated, now.accepted, now.acknowledged)
    rate = now.acknowledged / seconds if seconds else 0.0
    table.add_row(*(f"{figure:,}" for figure in figures), f"{seconds:,.1f}", f"{rate:,.0f}")
    console.print(table)
    if truth is not None:
        console.print(f"what was generated: {truth}", highlight=False, soft_wrap=True)
