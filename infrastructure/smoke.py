"""Smoke test of a deployed stack: a throw-away gateway sends a batch, which is read back; all is removed."""

from __future__ import annotations

import argparse
import contextlib
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cloud import keys
from cloud.enrolment import Enrolled, Enrolment
from cloud.gateway_folder import AMAZON_ROOT, CA, CERTIFICATE, KEY
from cloud.target import Target, TargetError, failures, resolve
from edge_agent.contract import Batch, Flag, Reading, encode
from infrastructure.mqtt_once import Credentials, RefusedError, Session, connected

PATIENCE_S = 60.0
"""A batch waits up to 5 s for others in the mapping and 1 s for a cold start; the rest is reserve."""
_SETTLE_S = 15.0
_POLL_S = 0.5
_PUBLISH = "publish"
_CONNECT_TRIES = 5
"""A certificate works some seconds after it was made."""


class SmokeError(Exception):
    """The stack does not do its work; one line."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step that has ended."""

    name: str
    took_s: float
    failure: str = ""


class Steps:
    """Runs steps under a status line and keeps how long each took."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.done: list[Step] = []

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """One step; what goes wrong inside is recorded and raised again."""
        began = time.monotonic()
        try:
            with self._console.status(name):
                yield
        except (SmokeError, TargetError, RefusedError, KeyboardInterrupt) as exc:
            self.done.append(Step(name, time.monotonic() - began, str(exc) or "interrupted"))
            raise
        self.done.append(Step(name, time.monotonic() - began))

    def table(self) -> Table:
        """All steps so far, for people."""
        table = Table("step", "took", "outcome", box=None, pad_edge=False)
        for each in self.done:
            outcome = Text("failed", "red") if each.failure else Text("ok", "green")
            table.add_row(each.name, f"{each.took_s:.2f} s", outcome)
        return table


@dataclass(frozen=True, slots=True)
class Smoke:
    """The test of one stack."""

    target: Target
    steps: Steps
    patience_s: float = PATIENCE_S
    sleep: Callable[[float], None] = time.sleep

    def run(self) -> None:
        """Do all steps; raises at the first that fails, after removing what was made."""
        gateway = f"smoke-{secrets.token_hex(3)}"
        with self.steps.step(f"find {self.target.place}"):
            enrolment = Enrolment(self.target)
        batch = sample_batch(gateway, time.time_ns() // 1_000_000)
        with tempfile.TemporaryDirectory() as folder:
            try:
                with self.steps.step(f"enrol {gateway}"):
                    enrolled = enrolment.add(gateway, Path(folder))
                self._send(enrolled, batch)
                self._read_back(batch)
            except KeyboardInterrupt:
                self._settle(batch)
                raise
            finally:
                with self.steps.step("remove what was made"):
                    self._remove(enrolment, batch)

    def _send(self, enrolled: Enrolled, batch: Batch) -> None:
        topic = f"$aws/rules/{self.target.output('RuleName')}/v1/{enrolled.gateway}/m"
        with contextlib.ExitStack() as until_sent:
            with self.steps.step("connect with its certificate"):
                session = self._connect(enrolled, until_sent)
            with self.steps.step(f"{_PUBLISH} {len(batch.readings)} readings"):
                session.publish(topic, encode(batch))

    def _connect(self, enrolled: Enrolled, until_sent: contextlib.ExitStack) -> Session:
        broker = self.target.broker()
        ca = AMAZON_ROOT if broker.ca is None else enrolled.folder / CA
        who = Credentials(enrolled.gateway, ca, enrolled.folder / CERTIFICATE, enrolled.folder / KEY)
        for _ in range(_CONNECT_TRIES - 1):
            with contextlib.suppress(RefusedError):
                return until_sent.enter_context(connected(broker.endpoint, broker.port, who))
            self.sleep(2.0)
        return until_sent.enter_context(connected(broker.endpoint, broker.port, who))

    def _read_back(self, batch: Batch) -> None:
        chunk = _chunk_key(batch)
        with self.steps.step("find it in the table"):
            item = self._await(self.target.output("ReadingsTable"), chunk, self.patience_s)
        with self.steps.step("compare it byte for byte"):
            stored = item.get(keys.BYTES, {}).get("B")
            if stored != encode(batch):
                raise SmokeError(f"the table holds {stored!r}, not what was sent: {encode(batch)!r}")
        with self.steps.step("find the gateway's latest state"):
            self._await_latest(batch, self.patience_s)

    def _settle(self, batch: Batch) -> None:
        """Let a batch that is on its way arrive, or it would come after the removal and stay."""
        if any(each.name.startswith(_PUBLISH) for each in self.steps.done):
            with self.steps.step("let it arrive first"), contextlib.suppress(SmokeError, TargetError):
                self._await_latest(batch, min(self.patience_s, _SETTLE_S))

    def _await_latest(self, batch: Batch, patience_s: float) -> None:
        """Wait for what is written last, after the chunk."""
        key = {keys.LATEST_KEY: {"S": batch.gateway}}
        self._await(self.target.output("LatestTable"), key, patience_s)

    def _await(self, table: str, key: keys.Item, patience_s: float) -> keys.Item:
        deadline = time.monotonic() + patience_s
        while True:
            with failures(self.target):
                found = self.target.client("dynamodb").get_item(TableName=table, Key=key, ConsistentRead=True)
            if item := found.get("Item"):
                return dict(item)
            if time.monotonic() > deadline:
                raise SmokeError(
                    f"not in {table} within {patience_s:.0f} s: look at the alarms, at `linkview "
                    f"quarantine` and into the bucket {self.target.output('DeadLetterBucket')}"
                )
            self.sleep(_POLL_S)

    def _remove(self, enrolment: Enrolment, batch: Batch) -> None:
        with failures(self.target):
            table = self.target.output("ReadingsTable")
            self.target.client("dynamodb").delete_item(TableName=table, Key=_chunk_key(batch))
        enrolment.remove(batch.gateway)


def sample_batch(gateway: str, now_ms: int) -> Batch:
    """Three readings of a simulated link, sealed now under an epoch that no other batch has."""
    values = (3, 3, 0, 0, 1_000, 2_000, 3_000, 2_000)
    flags = Flag.SIMULATED | Flag.CLOCK_SYNCED
    times = (now_ms - 20_000, now_ms - 10_000, now_ms)
    readings = tuple(Reading(f"{gateway}:smoke", "connect", at_ms, values, flags) for at_ms in times)
    return Batch(gateway, secrets.randbits(63), 0, now_ms, readings)


def _chunk_key(batch: Batch) -> keys.Item:
    sort = keys.chunk_sort(batch.first_ms, batch.epoch, batch.first_sequence)
    return {
        keys.PARTITION: {"S": keys.chunk_partition(batch.gateway, batch.first_ms)},
        keys.SORT: {"S": sort},
    }


def chosen(stack: str) -> Target:
    """The local cloud when one is up and has this stack, else the stack on AWS."""
    here = resolve(None, None)
    return here if here.is_local and here.stack == stack else Target(stack)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(argv: Sequence[str] | None = None) -> int:
    """Test the stack; 0 it works, 1 it does not, 2 wrong usage."""
    parser = argparse.ArgumentParser("python -m infrastructure.smoke", description=__doc__)
    parser.add_argument(
        "--stack",
        required=True,
        metavar="NAME",
        help="the local cloud's when it is up and has it, else on AWS",
    )
    args = parser.parse_args(argv)
    # Ended politely, it removes what it made just as after Ctrl-C.
    signal.signal(signal.SIGTERM, _interrupt)
    console = Console(highlight=False)
    steps = Steps(console)
    code = 0
    try:
        Smoke(chosen(args.stack), steps).run()
    except (SmokeError, TargetError, RefusedError) as exc:
        code = 1
        if not steps.done:
            print(f"smoke: {exc}", file=sys.stderr)
    except KeyboardInterrupt:
        code = 130
    _report(console, steps)
    return code


def _report(console: Console, steps: Steps) -> None:
    if steps.done:
        console.print(steps.table())
    for each in steps.done:
        if each.failure:
            print(f"smoke: {each.name}: {each.failure}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
