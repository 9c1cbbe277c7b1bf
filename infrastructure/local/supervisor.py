"""The process that composes the local cloud, watches its parts and ends them.

Each part is started when what it needs is there. A part that fails later is reported by name; the others go
on, since a broken part is something that one may want to look at.
"""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from logging.handlers import RotatingFileHandler
from pathlib import Path

from infrastructure.local import part as parts
from infrastructure.local.assembly import STARTUP_ERRORS, Assembly
from infrastructure.local.faults import FaultPlan
from infrastructure.local.options import Options
from infrastructure.local.process import end, family, write_marks
from infrastructure.local.state import (
    Counters,
    PartStatus,
    StateFolder,
    Status,
    read_status,
    write_json,
)

log = logging.getLogger("infrastructure.local.supervisor")

CHECK_S = 0.2
WRITE_S = 1.0
LEFT_GRACE_S = 1.0
LOG_BYTES = 5_000_000
LOGGERS = {
    "supervisor": ("",),
    "bridge": ("iot", "worker"),
    "mapping": ("mapping",),
    "faults": ("faults_stream",),
}
"""Which packages and modules write into the log of which part."""


class _Asked:
    """Set when the process is told to end."""

    def __init__(self) -> None:
        self.event = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.event.set())


@dataclass(slots=True)
class Supervisor:
    """Runs one local cloud until it is told to end."""

    state: StateFolder
    options: Options
    asked: threading.Event
    counters: Counters = field(default_factory=Counters)
    _said: str = ""
    _since_ms: int = 0
    _failed: set[str] = field(default_factory=set)

    def run(self) -> int:
        """Start everything, watch it, end it; 1 when it did not start."""
        assembly = Assembly(self.state, self.options, self.counters)
        try:
            if not self._start(assembly):
                return 1
            self._watch(assembly)
            return 0
        finally:
            self._stop(assembly)

    def _start(self, assembly: Assembly) -> bool:
        for name, step in assembly.steps():
            if self.asked.is_set():
                return False
            self._write("starting", assembly, {name: PartStatus(None, "starting")})
            try:
                step()
            except STARTUP_ERRORS as exc:
                log.error("%s did not start: %s", name, exc)
                self._write("failed", assembly, {name: PartStatus(None, "failed", str(exc))})
                return False
        write_json(self.state.connection, assembly.connection)
        self._write("running", assembly)
        log.info("ready: %s", assembly.connection.endpoint_url)
        return True

    def _watch(self, assembly: Assembly) -> None:
        write_s = time.monotonic()
        while not self.asked.wait(CHECK_S):
            fresh = self._note_failures(assembly)
            if fresh or time.monotonic() >= write_s:
                self._write_if_possible("failed" if self._failed else "running", assembly)
                write_s = time.monotonic() + WRITE_S

    def _write_if_possible(self, state: str, assembly: Assembly) -> None:
        """A full disk makes the status old; it must not end the cloud."""
        try:
            self._write(state, assembly)
        except OSError as exc:
            log.warning("the status cannot be written: %s", exc)

    def _note_failures(self, assembly: Assembly) -> bool:
        """Log each part that has failed since the last look; whether there is one."""
        fresh = {
            name: reason
            for name, each in assembly.parts.items()
            if name not in self._failed and (reason := each.failure())
        }
        for name, reason in fresh.items():
            log.error("%s has failed: %s", name, reason)
        self._failed |= set(fresh)
        return bool(fresh)

    def _stop(self, assembly: Assembly) -> None:
        failed_to_start = self._said == "failed" and not self.state.connection.exists()
        if not failed_to_start:
            self._write("stopping", assembly)
        self.state.connection.unlink(missing_ok=True)
        everything = family(os.getpid())
        assembly.stop()
        # What a part has started and not ended itself.
        end([each for each in everything if each.pid != os.getpid()], LEFT_GRACE_S)
        self.state.processes.unlink(missing_ok=True)
        if failed_to_start:
            self._write_end()
        else:
            self.state.status.unlink(missing_ok=True)

    def _write_end(self) -> None:
        """Leave the failure readable, with no part that still seems to run."""
        status = read_status(self.state)
        if status:
            ended = {
                name: each if each.state == "failed" else PartStatus(None, "stopped")
                for name, each in status.parts.items()
            }
            write_json(self.state.status, replace(status, parts=ended))

    def _write(self, state: str, assembly: Assembly, step: dict[str, PartStatus] | None = None) -> None:
        if state != self._said:
            self._said, self._since_ms = state, time.time_ns() // 1_000_000
        write_marks(self.state.processes, family(os.getpid()))
        running = {name: parts.status(each) for name, each in assembly.parts.items()}
        write_json(
            self.state.status,
            Status(
                state=state,
                since_ms=self._since_ms,
                parts=running | (step or {}),
                counters=self.counters.snapshot(),
                iterator_age_ms=assembly.iterator_age_ms(),
                notes=assembly.notes,
            ),
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the supervisor in this process until SIGTERM; its log is logs/supervisor.log."""
    parser = argparse.ArgumentParser(prog="local-cloud supervisor", description=__doc__)
    parser.add_argument("--state", required=True, type=Path)
    parser.add_argument("--engine-port", type=int, default=0)
    parser.add_argument("--mqtt-port", type=int, default=0)
    parser.add_argument("--parameter", action="append", default=[])
    parser.add_argument("--faults", type=int, default=None)
    parser.add_argument("--fault-rate", action="append", default=[])
    parser.add_argument("--schedule-every", type=int, default=0)
    arguments = parser.parse_args(argv)
    state = StateFolder(arguments.state)
    state.create()
    with state.lock.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.stderr.write("another local cloud is starting in this folder\n")
            return 1
        _log_to_files(state)
        given = dict(each.split("=", 1) for each in arguments.parameter)
        seed = arguments.faults
        faults = None if seed is None else FaultPlan.parse(seed, arguments.fault_rate)
        every_s = arguments.schedule_every
        options = Options(arguments.engine_port, arguments.mqtt_port, given, faults, every_s)
        return Supervisor(state, options, _Asked().event).run()


def _log_to_files(state: StateFolder) -> None:
    """The supervisor's log has everything; what parts of this process say is in logs of their own, too."""
    logging.getLogger().setLevel(logging.INFO)
    for owner, modules in LOGGERS.items():
        handler = RotatingFileHandler(state.log(owner), maxBytes=LOG_BYTES, backupCount=1)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        for module in modules:
            logging.getLogger(f"infrastructure.local.{module}" if module else None).addHandler(handler)
    for noisy in ("boto3", "botocore", "urllib3", "samtranslator"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


if __name__ == "__main__":
    sys.exit(main())
