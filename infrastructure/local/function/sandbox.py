"""One execution environment: the real awslambdaric in a child process, and the runtime API it talks to."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from infrastructure.local.function.invocation import Counting, NotInvokedError, Outcome, Result
from infrastructure.local.function.log import LINE_LIMIT, LogWriter, count_metrics
from infrastructure.local.function.runtime_api import Answered, Failed, Invocation, Message, RuntimeApi, Taken
from infrastructure.local.process import tethered

INIT_LIMIT_S = 10.0
"""Time for the imports (Lambda developer guide, lambda-runtime-environment, "Init phase")."""
EXIT_CHECK_S = 0.05
OUTPUT_LIMIT_S = 1.0
"""Longest wait for the last output: a process left behind by the function may hold it open."""


@dataclass(frozen=True, slots=True)
class FunctionCode:
    """What is run."""

    folder: Path
    handler: str
    layer: Path
    """The folder that stands for site-packages."""
    environment: Mapping[str, str]


class Sandbox:
    """A process that handles one event at a time until it fails, then is thrown away."""

    def __init__(
        self,
        code: FunctionCode,
        log: LogWriter,
        counters: Counting,
        spawn: Callable[[Callable[[], subprocess.Popen[bytes]]], subprocess.Popen[bytes]],
    ) -> None:
        """Start the process through `spawn`: it is tied to the life of the thread that really starts it.

        Raises NotInvokedError when it cannot be started.
        """
        self._log = log
        self._counters = counters
        self._api = RuntimeApi()
        try:
            self._process = spawn(lambda: _start(code, self._api.address))
        except (OSError, RuntimeError) as exc:  # RuntimeError: the spawner has been shut down
            self._api.close()
            raise NotInvokedError(f"the function's process cannot be started: {exc}") from exc
        self._pump = threading.Thread(target=self._copy_output, name="function-output", daemon=True)
        self._pump.start()
        self._served = False
        self._spent = False
        self._time_over = threading.Event()
        self.serving = ""
        """Request id of the event in hand; empty between two."""

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    @property
    def usable(self) -> bool:
        """Whether it can take another event."""
        return not self._spent and self._process.poll() is None and self._api.messages.empty()

    def run(self, invocation: Invocation) -> Result | None:
        """Handle one event; the time limit starts when the process takes it.

        None when an idle process turned out to have ended: the event can go to another one.
        """
        self.serving = invocation.request_id
        try:
            return self._run(invocation)
        finally:
            self.serving = ""

    def strike(self, outcome: Outcome) -> None:
        """End the process as a crash does or, stopped where it is, as if its time limit had passed."""
        self._signal(signal.SIGKILL if outcome is Outcome.CRASHED else signal.SIGSTOP)
        if outcome is Outcome.TIMED_OUT:
            self._time_over.set()

    def strike_at_answer(self, invocation: Invocation, outcome: Outcome) -> Result:
        """End the process between its last call and the arrival of its answer, which is dropped."""
        self.strike(outcome)
        if outcome is Outcome.CRASHED:
            self._process.wait()
        return self._result(invocation.request_id, None, _limit(invocation))

    def _run(self, invocation: Invocation) -> Result | None:
        self._api.offer(invocation)
        init_s = max(INIT_LIMIT_S, invocation.timeout_s)
        message = self._next_message(time.monotonic() + init_s)
        if message is None and self._served and self._process.poll() is not None:
            return None
        if not isinstance(message, Taken):
            self._spent = True  # it is about to end, if it has not yet
            return self._result(invocation.request_id, message, f"Init timed out after {init_s:.2f} seconds")
        self._served = True
        message = self._next_message(time.monotonic() + invocation.timeout_s)
        return self._result(invocation.request_id, message, _limit(invocation))

    def close(self) -> None:
        """End the process and what it has started; returns when its output is in the log.

        Killed, as Lambda does with functions that have no extensions.
        """
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._api.close()
        self._pump.join(OUTPUT_LIMIT_S)

    def _signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and what it has started, if it has not ended."""
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def _result(self, request_id: str, message: Message | None, limit: str) -> Result:
        if isinstance(message, Answered):
            return _answer(request_id, message)
        if isinstance(message, Failed):
            return Result(Outcome.ERROR, request_id, error_type=message.error_type, message=message.message)
        if self._process.poll() is None:
            self._say(f"{request_id} {limit}")
            return Result(Outcome.TIMED_OUT, request_id, error_type="Sandbox.Timedout", message=limit)
        ending = f"Runtime exited with error: {_ending(self._process.returncode)}"
        self._say(f"RequestId: {request_id} Error: {ending}")
        return Result(Outcome.CRASHED, request_id, error_type="Runtime.ExitError", message=ending)

    def _next_message(self, deadline_s: float) -> Message | None:
        """What the process says next; None when it has ended or the time is up."""
        while True:
            left_s = 0.0 if self._time_over.is_set() else deadline_s - time.monotonic()
            ended = self._process.poll() is not None
            try:
                return self._api.messages.get(timeout=0.0 if ended else min(EXIT_CHECK_S, max(0.0, left_s)))
            except queue.Empty:
                if ended or left_s <= 0:
                    return None

    def _say(self, line: str) -> None:
        self._log.write(f"{line}\n".encode())

    def _copy_output(self) -> None:
        output = self._process.stdout
        assert output is not None
        with output:
            while line := output.readline(LINE_LIMIT):
                # The runtime separates the lines of one log event by carriage returns.
                self._log.write(line.rstrip(b"\r\n").replace(b"\r", b"\n") + b"\n")
                count_metrics(line, self._counters)


def _limit(invocation: Invocation) -> str:
    """What Lambda logs when the time is over."""
    return f"Task timed out after {invocation.timeout_s:.2f} seconds"


def _answer(request_id: str, message: Answered) -> Result:
    try:
        return Result(Outcome.SUCCESS, request_id, payload=json.loads(message.body or b"null"))
    except ValueError:
        text = "the response is not JSON"
        return Result(Outcome.ERROR, request_id, error_type="Runtime.MarshalError", message=text)


def _ending(code: int) -> str:
    """How the process ended, in Lambda's words."""
    if code >= 0:
        return f"exit status {code}"
    return f"signal: {signal.Signals(-code).name}"


def _start(code: FunctionCode, address: str) -> subprocess.Popen[bytes]:
    """Start awslambdaric without site-packages: -S also leaves out the hooks of editable installs."""
    return subprocess.Popen(
        tethered([sys.executable, "-S", "-m", "awslambdaric", code.handler]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=code.folder,
        env={
            **code.environment,
            "AWS_LAMBDA_RUNTIME_API": address,
            "PYTHONPATH": f"{code.folder}{os.pathsep}{code.layer}",
        },
        start_new_session=True,
    )
