"""From the scheduler to the spool: readings are kept in memory until they are committed together."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path

from edge_agent.contract import ContractError, Reading, describe_reading
from edge_agent.pulse import Beat, no_beat
from edge_agent.spool import Spool, SpoolError

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
        """Close the file."""
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
        self._waiting: deque[Reading] = deque()
        self._turn = asyncio.Lock()
        self._trouble = ""
        self.lost = 0
        """Readings that memory had no room for while the spool failed."""

    def add(self, reading: Reading) -> None:
        """Take a reading; it is durable after the next commit."""
        self._waiting.append(reading)
        self._trim()

    @property
    def waiting(self) -> int:
        """Readings that are in memory only."""
        return len(self._waiting)

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
            if not readings:
                return True
            self._waiting.clear()
            loop = asyncio.get_running_loop()
            try:
                await loop.run_in_executor(self._executor, self._store, readings)
            except SpoolError as exc:
                self._waiting.extendleft(reversed(readings))
                self._trim()
                self._note(str(exc))
                return False
            self._note("")
            return True

    def _store(self, readings: list[Reading]) -> None:
        try:
            self._spool.append(readings)
        except ContractError as exc:
            if len(readings) == 1:
                log.error("a reading of %s is dropped: %s", readings[0].link, exc)
                return
            for reading in readings:
                self._store([reading])
            return
        self._record(readings)

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

    def _note(self, trouble: str) -> None:
        if trouble and not self._trouble:
            log.error("the spool takes no readings: %s; up to %d wait in memory", trouble, self._max_waiting)
        elif self._trouble and not trouble:
            log.warning("the spool takes readings again; %d were lost meanwhile", self.lost)
            self.lost = 0
        self._trouble = trouble
