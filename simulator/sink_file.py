"""Batches into files: a folder of packed batches, or one file of JSON lines."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

from edge_agent.contract import Reading, decode, encode_json
from edge_agent.sealing import Sealed
from simulator.sealer import Sealer, epoch_of
from simulator.target import SimulatorError
from simulator.world import Gateway, World

JSON_LINES = ".jsonl"


class FileSink:
    """Writes ``<gateway>-<first sequence>.batch`` into a folder, or JSON lines into a file named *.jsonl."""

    def __init__(self, output: Path, world: World, start_ms: int, now_ms: Callable[[], int]) -> None:
        self._output = output
        self._now_ms = now_ms
        self._sealers = {
            gateway.name: Sealer(gateway, epoch_of(world.seed, gateway.name, start_ms))
            for gateway in world.gateways
        }
        self._lines: TextIO | None = None
        self._written = 0

    async def open(self) -> None:
        """Make the folder or file; raises SimulatorError when there is something in its place already."""
        try:
            if self._output.suffix == JSON_LINES:
                self._output.parent.mkdir(parents=True, exist_ok=True)
                self._lines = self._output.open("x", encoding="utf-8")
                return
            self._output.mkdir(parents=True, exist_ok=True)
            if any(self._output.iterdir()):
                raise SimulatorError(f"{self._output} is not empty: name another folder", 2)
        except OSError as exc:
            raise self._unwritable(exc) from exc

    def accept(self, gateway: Gateway, readings: Sequence[Reading]) -> None:
        """Keep the readings for the next flush."""
        self._sealers[gateway.name].add(readings)

    async def flush(self) -> None:
        """Write all that waits."""
        for name, sealer in self._sealers.items():
            for batch in sealer.seal(self._now_ms()):
                self._write(name, batch)
                self._written += batch.count

    async def finish(self, within_s: float) -> None:
        """Write the rest; a file is there at once."""
        await self.flush()

    async def close(self) -> None:
        """Have the disk take the file of JSON lines."""
        if self._lines is not None:
            try:
                with self._lines:
                    self._lines.flush()
                    os.fsync(self._lines.fileno())
            except OSError as exc:
                raise self._unwritable(exc) from exc

    @property
    def acknowledged(self) -> int:
        """Readings written."""
        return self._written

    @property
    def connected(self) -> int:
        """None has a connection."""
        return 0

    def _write(self, name: str, batch: Sealed) -> None:
        try:
            if self._lines is not None:
                self._lines.write(encode_json(decode(batch.payload)).decode() + "\n")
            else:
                (self._output / f"{name}-{batch.first_sequence:010d}.batch").write_bytes(batch.payload)
        except OSError as exc:
            raise self._unwritable(exc) from exc

    def _unwritable(self, exc: OSError) -> SimulatorError:
        return SimulatorError(f"{self._output}: {exc.strerror}", 2 if isinstance(exc, FileExistsError) else 1)
