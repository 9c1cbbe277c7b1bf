"""Starts, watches and ends the processes of the local cloud, known by pid and time of creation."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from infrastructure.local.state import write_json

_TETHER = Path(__file__).with_name("tether.py")
CLOCK_STEP_S = 2.0
"""A creation time may read a little different after the clock was set; a pid is not reused as fast."""
POLL_S = 0.02


class PortError(Exception):
    """A port cannot be had; the message says who has it and what to do."""


@dataclass(frozen=True, slots=True)
class ProcessMark:
    """What identifies a process: its pid alone may belong to another one later."""

    name: str
    pid: int
    created: float
    """Seconds since 1970."""

    def process(self) -> psutil.Process | None:
        """The living process of this mark, None when it has ended."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created) < CLOCK_STEP_S
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


def mark(name: str, pid: int) -> ProcessMark | None:
    """The mark of a living process, None when there is none."""
    try:
        return ProcessMark(name, pid, psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None


def is_alive(pid: int) -> bool:
    """Whether the process runs now."""
    found = mark("", pid)
    return found is not None and found.process() is not None


def family(pid: int) -> list[ProcessMark]:
    """Marks of a process, named supervisor, and of everything below it."""
    try:
        children = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    found = [mark("supervisor", pid), *(mark("child", child.pid) for child in children)]
    return [each for each in found if each]


def write_marks(path: Path, marks: Sequence[ProcessMark]) -> None:
    """Record which processes belong to a cloud."""
    write_json(path, [asdict(each) for each in marks])


def read_marks(path: Path) -> list[ProcessMark]:
    """The recorded processes, none when nothing or nothing readable is recorded."""
    try:
        return [ProcessMark(**each) for each in json.loads(path.read_text())]
    except (FileNotFoundError, ValueError, TypeError):
        return []


def end(marks: Iterable[ProcessMark], grace_s: float) -> list[ProcessMark]:
    """Ask the living ones to end, kill what is left after the grace; returns those that were alive."""
    living = [each for each in marks if each.process()]
    for number in (signal.SIGTERM, signal.SIGKILL):
        for each in living:
            _signal(each, number)
        if _gone(living, grace_s):
            break
    return living


def _signal(each: ProcessMark, number: signal.Signals) -> None:
    process = each.process()
    if process:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _gone(marks: Sequence[ProcessMark], timeout_s: float) -> bool:
    """Wait until all have ended; one that nobody has waited for (a zombie) has ended too."""
    deadline = time.monotonic() + timeout_s
    while any(each.process() for each in marks):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def describe_exit(code: int) -> str:
    """How a process ended, from the return code of subprocess: negative is a signal."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def last_words(path: Path) -> str:
    """The line of a log's last five that names an error, else the last one; cut to 200 characters."""
    lines = tail(path, 5)
    errors = [line for line in lines if "Error: " in line]
    return (errors or lines or [""])[-1][:200]


def tail(path: Path, count: int) -> list[str]:
    """The last lines of a log that are not empty, from its last 64 KiB."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 65_536))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()][-count:]


def tethered(command: Sequence[str]) -> list[str]:
    """The command such that it ends with this process, even when this one is killed (see tether.py).

    It is tied to the thread that starts it, so that one must live as long.
    """
    return [sys.executable, "-I", "-S", str(_TETHER), str(os.getpid()), *command]


class Child:
    """One process of ours, tied to the life of this one, its output in a log file."""

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str], cwd: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                tethered(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                cwd=cwd,
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def failure(self) -> str:
        """How it ended and its last words; empty while it runs."""
        code = self._process.poll()
        if code is None:
            return ""
        words = last_words(self.log)
        return describe_exit(code) + (f": {words}" if words else "")

    def stop(self, grace_s: float = 5.0) -> None:
        """End it: first asked, then killed; returns when it is gone."""
        if self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert isinstance(port, int)
    return port


def require_free(port: int, option: str) -> None:
    """Raise PortError when 127.0.0.1:port cannot be bound, naming who holds it and the way out."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError:
            raise PortError(
                f"port {port} needs root; choose one above 1023 with {option}, or leave it out"
            ) from None
        except OSError:
            way_out = f"stop it, choose another with {option}, or leave it out for a free one"
            raise PortError(f"port {port} is taken by {_holder(port)}; {way_out}") from None


def _holder(port: int) -> str:
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return "another process"
    for each in connections:
        if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port and each.pid:
            try:
                return f"{psutil.Process(each.pid).name()} (pid {each.pid})"
            except psutil.NoSuchProcess:
                break
    return "another process"
