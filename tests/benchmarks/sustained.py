"""What the local cloud stores from its stream, second after second, and whether it falls behind.

Batches of 60 readings of many gateways, sealed beforehand, are put into the stream at an even rate, faster
than the bound. Records that the mapping has not completed are the lag. LINKPULSE_SECONDS and LINKPULSE_RATE
(readings/s) change what is put.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cloud.keys import is_chunk
from cloud.target import Connection as Reached
from cloud.target import Target
from edge_agent.contract import Batch, encode
from infrastructure.local.state import StateFolder, read_connection, read_status
from tests.benchmarks.paired import Row
from tests.benchmarks.process import cpu_s
from tests.cloud.records import fleet_batch

LEAST_A_SECOND = 20_000
RATE, SECONDS = 21_000, 40
GATEWAYS, LINKS, ROUNDS = 400, 10, 6
PARAMETERS = ("--parameter", "AllowDirect=true", "--parameter", "ParallelizationFactor=2")
READINGS = LINKS * ROUNDS
"""Of a batch."""
TICK_S = 0.1
DRAIN_S = 60.0
LAG_GROWS_LESS = 0.02
"""Part of what is put by which the lag may grow: what the window and the status file make uncertain."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A moment of a run."""

    at_s: float
    put: int
    done: int

    @property
    def lag(self) -> int:
        """Records in the stream that the function has not completed."""
        return self.put - self.done


@dataclass(frozen=True, slots=True)
class Run:
    """What came of a run."""

    samples: Sequence[Sample]
    stored: int
    """Readings in the table at its end."""
    cpu: dict[str, float]
    """CPU seconds by part."""

    @property
    def rate(self) -> float:
        """Readings completed a second."""
        return READINGS * self._slope([each.done for each in self._steady])

    @property
    def lag_slope(self) -> float:
        """By how many readings a second the lag grows."""
        return READINGS * self._slope([each.lag for each in self._steady])

    @property
    def _steady(self) -> Sequence[Sample]:
        """The second half of the time in which records were put: all is warm, and the first window over."""
        putting = [each for each in self.samples if each.put < self.samples[-1].put]
        return putting[len(putting) // 2 :]

    def _slope(self, values: Sequence[int]) -> float:
        """Growth a second of a value of the steady samples, least squares."""
        times = [each.at_s for each in self._steady]
        mean_s, mean = sum(times) / len(times), sum(values) / len(values)
        spread = sum((at_s - mean_s) ** 2 for at_s in times)
        return sum((at_s - mean_s) * (each - mean) for at_s, each in zip(times, values, strict=True)) / spread


def rows() -> list[Row]:
    """Readings stored a second, how the lag grows, and the CPU time of it."""
    rate, seconds = (
        int(os.environ.get(name, default))
        for name, default in (("LINKPULSE_RATE", RATE), ("LINKPULSE_SECONDS", SECONDS))
    )
    found = run(rate, seconds)
    cpu_us = 1e6 * sum(found.cpu.values()) / found.stored
    parts = ", ".join(f"{name} {1e6 * each / found.stored:.0f}" for name, each in sorted(found.cpu.items()))
    print(f"sustained: µs of CPU time a reading: {parts}", file=sys.stderr)
    what, cores_us = "local cloud, sustained", 1e6 * (os.cpu_count() or 1) / rate
    return [
        Row(what, "readings/s", found.rate, rate, "readings/s put", least=LEAST_A_SECOND),
        Row(
            "... lag grows by",
            "readings/s",
            found.lag_slope,
            rate,
            "readings/s put",
            most=LAG_GROWS_LESS * rate,
        ),
        Row("... CPU time", "µs a reading", cpu_us, cores_us, "all cores at the rate put"),
    ]


def run(rate: int, seconds: int) -> Run:
    """Put readings at a rate for so long, and wait until all are stored."""
    with tempfile.TemporaryDirectory(prefix="linkpulse-sustained-") as folder:
        state = StateFolder(Path(folder))
        count = rate * seconds // READINGS
        with _local_cloud(state):
            connection = read_connection(state)
            assert connection
            target = Target(connection.stack, Reached(**_fields(connection)), state.path)
            begin_ms = time.time_ns() // 1_000_000 + count // 150 * 1_000
            records = [*_records(count, rate, begin_ms)]
            time.sleep(max(begin_ms / 1000 - time.time(), 0))
            before = _cpu(state)
            samples = _put(target, state, records, rate)
            cpu = {name: each - before.get(name, 0.0) for name, each in _cpu(state).items()}
            stored = _stored(target)
            if stored < count:
                print(
                    f"sustained: {count - stored} of {count} batches were not stored in time", file=sys.stderr
                )
            return Run(samples, READINGS * stored, cpu)


def _fields(connection: Any) -> dict[str, Any]:
    return {name: getattr(connection, name) for name in connection.__slots__}


@contextmanager
def _local_cloud(state: StateFolder) -> Iterator[None]:
    command = [sys.executable, "-m", "infrastructure.local"]
    where = ["--state", str(state.path)]
    up = [*command, "up", *where, *PARAMETERS]
    subprocess.run(up, check=True, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        subprocess.run([*command, "down", *where], check=True, stdout=subprocess.DEVNULL)


def _records(count: int, rate: int, begin_ms: int) -> Iterator[tuple[str, bytes]]:
    """Gateway and data of records, each sealed just before it is put."""
    made = [fleet_batch(f"gw-{number:04d}", 0, LINKS, ROUNDS, number) for number in range(GATEWAYS)]
    for number in range(count):
        at_ms = begin_ms + number * READINGS * 1000 // rate
        sealed = _at(made[number % GATEWAYS], at_ms - 61_000, number // GATEWAYS * READINGS)
        envelope = {
            "b": base64.b64encode(encode(sealed)).decode(),
            "thing": sealed.gateway,
            "rx": at_ms,
            "source": "direct",
        }
        yield sealed.gateway, json.dumps(envelope).encode()


def _at(batch: Batch, begin_ms: int, sequence: int) -> Batch:
    readings = tuple(replace(each, at_ms=begin_ms + each.at_ms) for each in batch.readings)
    return replace(batch, first_sequence=sequence, sealed_ms=readings[-1].at_ms, readings=readings)


def _put(target: Target, state: StateFolder, records: Sequence[tuple[str, bytes]], rate: int) -> list[Sample]:
    """Put the records at the rate, then wait; a sample each second."""
    client, stream = target.client("kinesis"), target.output("StreamName")
    samples: list[Sample] = []
    began, at = time.monotonic(), 0
    while True:
        now_s = time.monotonic() - began
        due = min(int(now_s * rate / READINGS), len(records))
        while at < due:
            group = records[at : min(due, at + 500)]
            entries = [{"Data": data, "PartitionKey": gateway} for gateway, data in group]
            assert not client.put_records(StreamName=stream, Records=entries)["FailedRecordCount"]
            at += len(group)
        if not samples or now_s - samples[-1].at_s >= 1:
            status = read_status(state)
            samples.append(Sample(now_s, at, status.counters.get("mapping.records", 0) if status else 0))
            if samples[-1].done >= len(records) or now_s > len(records) * READINGS / rate + DRAIN_S:
                return samples
        time.sleep(TICK_S)


def _cpu(state: StateFolder) -> dict[str, float]:
    """CPU seconds of the processes of the local cloud so far, the function's together."""
    status = read_status(state)
    parts = {each.pid: name for name, each in status.parts.items()} if status else {}
    found: dict[str, float] = {}
    for each in json.loads(state.processes.read_text()):
        own = "supervisor" if each["name"] == "supervisor" else parts.get(each["pid"], "functions")
        found[own] = found.get(own, 0.0) + cpu_s(each["pid"])
    return found


def _stored(target: Target) -> int:
    """Chunks in the table."""
    pages = (
        target.dynamodb()
        .get_paginator("scan")
        .paginate(TableName=target.output("ReadingsTable"), ProjectionExpression="p")
    )
    return sum(is_chunk(item["p"]["S"]) for page in pages for item in page["Items"])
