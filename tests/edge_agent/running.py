"""An agent in a process of its own, and what it says it has measured and delivered."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_agent.contract import decode, describe_reading
from edge_agent.spool import FolderDisk, Spool

ROOT = Path(__file__).parents[2]
Start = Callable[..., "Running"]
Run = Callable[..., subprocess.CompletedProcess[str]]


class Running:
    """An agent in a process of its own."""

    def __init__(self, config: Path, record: Path | None, environment: dict[str, str]) -> None:
        arguments = ["--record", str(record)] if record else []
        self._log = config.with_name(f"{config.name}.log")
        with self._log.open("a") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "edge_agent", "run", "--config", str(config), *arguments],
                env={**os.environ, **environment},
                stdout=out,
                stderr=out,
            )

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit status after the signal."""
        self.send(number)
        return self.process.wait(30)

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def last_words(self) -> list[str]:
        """What it has said, but for the state of this machine's clock."""
        return [line for line in self.log.splitlines() if "the clock is not synchronised" not in line]


def recorded(path: Path) -> list[dict[str, Any]]:
    """The lines of a record; the last may be cut short by a kill."""
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


def sent(payloads: list[tuple[str, bytes]]) -> list[bytes]:
    """The batches, each once however often it was sent; not the will, which a busy machine sends too."""
    return [*dict.fromkeys(payload for topic, payload in payloads if topic.endswith("/m"))]


def delivered(payloads: list[tuple[str, bytes]]) -> list[dict[str, Any]]:
    """Every reading of the batches."""
    batches = [decode(payload) for payload in sent(payloads)]
    return [
        {"gateway": batch.gateway, **describe_reading(reading)}
        for batch in sorted(batches, key=lambda batch: (batch.epoch, batch.first_sequence))
        for reading in batch.readings
    ]


def held(config: Path) -> int:
    spool = Spool(FolderDisk(config.with_name("spool")), "gw-1", [], 1 << 26, 40)
    try:
        return spool.stats().held
    finally:
        spool.close()


def timeless(readings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without what settling the time of a reading may change; gaps and health are the agent's own."""
    changed = ("at_ms", "flags")
    return [
        {name: value for name, value in each.items() if name not in changed}
        for each in readings
        if each["kind"] != "gap"
    ]
