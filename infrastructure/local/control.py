"""Starts, inspects and ends a local cloud from outside, through the files of its folder."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from infrastructure.local.iot import broker
from infrastructure.local.process import (
    ProcessMark,
    end,
    mark,
    read_marks,
    require_free,
    tail,
)
from infrastructure.local.state import StateFolder, Status, read_connection, read_status

START_LIMIT_S = 90.0
STOP_LIMIT_S = 15.0
SHOWN_LINES = 5
SPACE_BYTES = 10_000_000
"""The least that a run writes: logs, keys and twice the function's package."""


class StartError(Exception):
    """The local cloud did not start; the message says which part and why."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the operator asked for; a port of 0 means a free one."""

    engine_port: int = 0
    mqtt_port: int = 0
    parameters: tuple[str, ...] = ()
    """Name=Value."""
    faults: int | None = None
    """Seed of the faults to inject; none when None."""
    fault_rates: tuple[str, ...] = ()
    """Fault=Rate."""
    schedule_every_s: int = 0
    """Seconds between two calls by the schedule; 0 for what the template says."""


def supervisor(state: StateFolder) -> ProcessMark | None:
    """The living supervisor of the folder, None when there is none."""
    found = [each for each in read_marks(state.processes) if each.name == "supervisor"]
    return next((each for each in found if each.process()), None)


def clean(state: StateFolder) -> list[ProcessMark]:
    """End what a supervisor that is gone has left, and forget it; returns the processes that were alive."""
    left = end(read_marks(state.processes), grace_s=5.0)
    for path in (state.connection, state.status, state.processes):
        path.unlink(missing_ok=True)
    return left


def start(state: StateFolder, wanted: Wanted, progress: Callable[[str], None]) -> Status:
    """Start a supervisor and wait until it is ready; raises StartError, PortError or BrokerError.

    progress is told which part is being started. Interrupted, it ends what it started.
    """
    broker.executable(broker.search_path())
    for port, option in ((wanted.engine_port, "--engine-port"), (wanted.mqtt_port, "--mqtt-port")):
        if port:
            require_free(port, option)
    state.create()
    _require_space(state)
    _make_room(state)
    process = _spawn(state, wanted)
    try:
        return _wait(state, process, progress)
    except KeyboardInterrupt:
        found = mark("supervisor", process.pid)
        end([found] if found else [], STOP_LIMIT_S)
        clean(state)
        raise


def _require_space(state: StateFolder) -> None:
    """A supervisor on a full disk could not even say why it ends."""
    free = shutil.disk_usage(state.path).free
    if free < SPACE_BYTES:
        raise StartError(
            f"{state.path} has {free / 1e6:.1f} MB free, it needs {SPACE_BYTES / 1e6:.0f}: "
            "make room, or choose another folder with --state"
        )


def _make_room(state: StateFolder) -> None:
    """Clear up after the run before, unless another up of this folder has got further in the meantime."""
    with state.lock.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartError("another local cloud is starting in this folder") from None
        clean(state)
        _keep_old(state)


def _keep_old(state: StateFolder) -> None:
    """Each run begins its own logs, and its own truth since its tables are new; the last ones stay beside."""
    for path in (*state.logs.glob("*.log"), *state.truth.glob("*.jsonl")):
        path.replace(path.with_name(f"{path.name}.1"))


def _spawn(state: StateFolder, wanted: Wanted) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "infrastructure.local.supervisor", "--state", str(state.path)]
    command += ["--engine-port", str(wanted.engine_port), "--mqtt-port", str(wanted.mqtt_port)]
    for parameter in wanted.parameters:
        command += ["--parameter", parameter]
    if wanted.faults is not None:
        command += ["--faults", str(wanted.faults)]
    for rate in wanted.fault_rates:
        command += ["--fault-rate", rate]
    command += ["--schedule-every", str(wanted.schedule_every_s)]
    with state.log("supervisor").open("ab") as output:
        # A session of its own: it outlives the terminal, and Ctrl-C there does not reach it.
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )


def _wait(state: StateFolder, process: subprocess.Popen[bytes], progress: Callable[[str], None]) -> Status:
    deadline = time.monotonic() + START_LIMIT_S
    while True:
        ended = process.poll() is not None
        status = read_status(state)
        if status and status.state == "running":
            return status
        if status and status.state == "starting":
            progress(", ".join(name for name, part in status.parts.items() if part.state == "starting"))
        if ended:
            raise StartError(_why(state, status))
        if time.monotonic() > deadline:
            found = mark("supervisor", process.pid)
            end([found] if found else [], STOP_LIMIT_S)
            raise StartError(f"it was not ready within {START_LIMIT_S:.0f} s: {_why(state, status)}")
        time.sleep(0.05)


def _why(state: StateFolder, status: Status | None) -> str:
    failed = [
        (name, part) for name, part in (status.parts if status else {}).items() if part.state == "failed"
    ]
    if not failed:
        lines = tail(state.log("supervisor"), SHOWN_LINES)
        return "\n".join(["the supervisor ended", *(f"  {line}" for line in lines)])
    name, part = failed[0]
    lines = tail(state.log(name), SHOWN_LINES)
    return "\n".join([f"{name}: {part.detail}", *(f"  {name} log: {line}" for line in lines)])


def stop(state: StateFolder) -> Sequence[ProcessMark]:
    """End exactly what was started in this folder; returns the processes that were alive."""
    recorded = read_marks(state.processes)
    living = [each for each in recorded if each.process()]
    # The supervisor ends its parts in order; what it leaves is ended here.
    end([each for each in recorded if each.name == "supervisor"], STOP_LIMIT_S)
    end(recorded, grace_s=2.0)
    clean(state)
    return living


def describe(state: StateFolder) -> str:
    """Where the running cloud of this folder is, in one line."""
    connection = read_connection(state)
    if connection is None:
        return "still starting"
    return f"engine {connection.endpoint_url}, MQTT {connection.mqtt_endpoint}:{connection.mqtt_port}"
