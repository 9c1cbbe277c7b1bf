"""From the scheduler to the spool: readings are kept in memory until they are committed together."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import suppress
from pathlib import Path

from edge_agent.contract import ContractError, Loss, Reading, describe_reading
from edge_agent.pulse import Beat, no_beat
from edge_agent.spool import Spool, SpoolError
from edge_agent.taken import Taken

MAX_WAITING = 10_000
"""Readings kept in memory while the spool fails, some 5 MB."""

log = logging.getLogger(__name__)


class Recorder:
    """Appends what the spool has accepted to a file, a JSON line for each reading: the truth for an audit."""

    def __init__(self, path: Path, gateway: str) -> None:
        """Open the file for appending; raises OSError."""
        self._file = path.open("a", encoding="utf-8")
        self._gateway = gateway

    def write(self, readings: Sequence[Reading]) -> None:
        """Write and flush the lines; raises OSError."""
        for reading in readings:
            line = {"gateway": self._gateway, **describe_reading(reading)}
            self._file.write(json.dumps(line, separators=(",", ":")) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file; what a full disk does not take of it was told when it was written."""
        with suppress(OSError):
            self._file.close()


class Intake:
    """The scheduler's sink: commits every ``commit_s``; holds on to readings while the spool fails."""

    def __init__(
        self,
        spool: Spool,
        commit_s: float,
        executor: Executor,
        *,
        recorder: Recorder | None = None,
        max_waiting: int = MAX_WAITING,
        beat: Beat = no_beat,
    ) -> None:
        self._spool = spool
        self._commit_s = commit_s
        self._executor = executor
        self._recorder = recorder
        self._max_waiting = max_waiting
        self._beat = beat
        self._waiting: deque[Taken] = deque()
        self._turn = asyncio.Lock()
        self._trouble = ""
        self._lost_before = 0
        self._untold: Counter[Loss] = Counter()
        """Readings lost here that the spool has not been told of yet."""
        self.lost = 0
        """Readings that memory had no room for, or that broke the contract, since the start."""

    def add(self, taken: Taken) -> None:
        """Take a reading; it is durable after the next commit."""
        self._waiting.append(taken)
        self._trim()

    @property
    def waiting(self) -> int:
        """Readings that are in memory only."""
        return len(self._waiting)

    @property
    def trouble(self) -> str:
        """Why the spool takes nothing now; empty while it does."""
        return self._trouble

    def drain(self) -> list[Taken]:
        """What is in memory only; it is the caller's then."""
        drained = list(self._waiting)
        self._waiting.clear()
        return drained

    async def run(self) -> None:
        """Commit every ``commit_s`` until cancelled."""
        while True:
            await asyncio.sleep(self._commit_s)
            await self.commit()
            self._beat()

    async def commit(self) -> bool:
        """Give the spool all that waits; whether it took it. A cancelled commit is still carried out."""
        return await asyncio.shield(asyncio.ensure_future(self._commit()))

    async def _commit(self) -> bool:
        async with self._turn:
            readings = list(self._waiting)
            if not readings and not self._untold:
                return True
            self._waiting.clear()
            loop = asyncio.get_running_loop()
            try:
                await loop.run_in_executor(self._executor, self._store_all, readings)
            except SpoolError as exc:
                self._waiting.extendleft(reversed(readings))
                self._trim()
                self._note(str(exc))
                return False
            self._note("")
            return True

    def _store_all(self, readings: list[Taken]) -> None:
        """Store the readings, each of which leaves the list when it is stored; then tell of those lost."""
        if readings:
            try:
                self._store(readings)
            except ContractError:
                while readings:
                    self._store_one(readings[0])
                    del readings[0]
        readings.clear()
        for reason in list(self._untold):
            count = self._untold[reason]
            self._spool.lost(count, reason)
            self._untold[reason] -= count
            if not self._untold[reason]:
                del self._untold[reason]

    def _store_one(self, taken: Taken) -> None:
        try:
            self._store([taken])
        except ContractError as exc:
            log.error("a reading of %s is dropped: %s", taken.reading.link, exc)
            self.lost += 1
            self._untold[Loss.IMPOSSIBLE] += 1

    def _store(self, readings: list[Taken]) -> None:
        self._spool.append(readings)
        self._record([taken.reading for taken in readings])

    def _record(self, readings: list[Reading]) -> None:
        if self._recorder is None:
            return
        try:
            self._recorder.write(readings)
        except OSError as exc:
            log.error("the record ends here: %s", exc)
            self._recorder = None

    def _trim(self) -> None:
        while len(self._waiting) > self._max_waiting:
            self._waiting.popleft()
            self.lost += 1
            self._untold[Loss.MEMORY] += 1

    def _note(self, trouble: str) -> None:
        if trouble and not self._trouble:
            self._lost_before = self.lost
            log.error("the spool takes no readings: %s; up to %d wait in memory", trouble, self._max_waiting)
        elif self._trouble and not trouble:
            log.warning(
                "the spool takes readings again; %d were lost meanwhile", self.lost - self._lost_before
            )
        self._trouble = trouble
