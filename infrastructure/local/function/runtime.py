"""The Lambda runtime: the built package through the real awslambdaric, one process per worker."""

from __future__ import annotations

import json
import queue
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import Popen
from typing import Any, Protocol

from infrastructure.local.function.invocation import Counting, NotInvokedError, Outcome, Result
from infrastructure.local.function.layer import LayerError, build_layer
from infrastructure.local.function.log import LogFile, LogWriter
from infrastructure.local.function.runtime_api import Invocation
from infrastructure.local.function.sandbox import FunctionCode, Sandbox

__all__ = ["LambdaRuntime", "NotInvokedError", "Outcome", "Result", "RuntimeSetupError"]

ACCOUNT = "000000000000"


class RuntimeSetupError(Exception):
    """The function cannot be run as it is; the message says what is missing."""


class Interruptions(Protocol):
    """What ends invocations on purpose."""

    def end(self, request_id: str, succeeded: bool) -> Outcome | None:
        """Told of each invocation that has ended; how it is to end in place of its success, if at all."""


class LambdaRuntime:
    """Runs one function, as many invocations at a time as it has workers."""

    def __init__(
        self,
        code_dir: Path,
        handler: str,
        environment: Mapping[str, str],
        timeout_s: float,
        log: Path | LogWriter,
        counters: Counting,
        workers: int = 1,
        *,
        function_name: str = "function",
        function_arn: str = "",
        memory_mb: int = 512,
        scratch: Path | None = None,
        interruptions: Interruptions | None = None,
    ) -> None:
        """scratch is where the layer is made for as long as it runs; the system's folder when None.

        interruptions end invocations that would have succeeded.
        """
        self._code_dir = code_dir.resolve()
        self._handler = handler
        self._timeout_s = timeout_s
        self._log = LogFile(log) if isinstance(log, Path) else log
        self._counters = counters
        self._workers = workers
        self._scratch = scratch
        self._interruptions = interruptions
        self._environment = _environment(self._code_dir, handler, function_name, memory_mb)
        self._environment.update(environment)
        region = self._environment["AWS_REGION"]
        self._function_arn = function_arn or f"arn:aws:lambda:{region}:{ACCOUNT}:function:{function_name}"
        self._idle: queue.Queue[Sandbox] = queue.Queue()
        self._lock = threading.Lock()
        self._living: set[Sandbox] = set()
        self._running = threading.Event()
        self._spawner: ThreadPoolExecutor | None = None
        self._layer: tempfile.TemporaryDirectory[str] | None = None

    def start(self) -> None:
        """Start every worker's process, without waiting for its imports.

        Raises RuntimeSetupError.
        """
        module = self._code_dir.joinpath(*self._handler.split(".")[:-1])
        if not module.with_suffix(".py").is_file() and not (module / "__init__.py").is_file():
            raise RuntimeSetupError(
                f"handler {self._handler} is not in {self._code_dir}; "
                "build the package first: python -m infrastructure.package"
            )
        self._layer = tempfile.TemporaryDirectory(prefix="linkpulse-layer-", dir=self._scratch)
        # A child dies with the thread that starts it, so one thread that lives as long as we do starts all.
        self._spawner = ThreadPoolExecutor(1, "function-spawner")
        self._idle = queue.Queue()
        self._running.set()
        try:
            build_layer(Path(self._layer.name))
            for _ in range(self._workers):
                self._idle.put(self._new_sandbox())
        except (LayerError, NotInvokedError) as exc:
            self.stop()
            raise RuntimeSetupError(str(exc)) from exc

    def stop(self) -> None:
        """End every process; an invocation under way ends as crashed."""
        with self._lock:
            self._running.clear()
            living = list(self._living)
            self._living.clear()
        for sandbox in living:
            sandbox.close()
        if self._spawner:
            self._spawner.shutdown()
        if self._layer:
            self._layer.cleanup()
        self._spawner = self._layer = None

    def invoke(self, event: Mapping[str, Any]) -> Result:
        """Run the handler on an event, waiting for a free worker. Raises NotInvokedError when stopped."""
        body = json.dumps(event).encode()
        invocation = Invocation(str(uuid.uuid4()), body, self._function_arn, self._timeout_s)
        if not self._running.is_set():
            raise NotInvokedError("the function's runtime is stopped")
        idle = self._idle
        sandbox = idle.get()
        try:
            result = None
            while result is None:
                sandbox = self._ready(sandbox)
                result = sandbox.run(invocation)
            if self._interruptions:
                outcome = self._interruptions.end(invocation.request_id, result.succeeded)
                if outcome:
                    result = sandbox.strike_at_answer(invocation, outcome)
            if result.outcome in (Outcome.TIMED_OUT, Outcome.CRASHED):
                self._drop(sandbox)
            return result
        finally:
            idle.put(sandbox)

    def strike(self, request_id: str, outcome: Outcome) -> None:
        """End the process that works on an invocation as crashed or timed out; nothing when none does."""
        with self._lock:
            serving = [sandbox for sandbox in self._living if sandbox.serving == request_id]
        for sandbox in serving:
            sandbox.strike(outcome)

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that have one."""
        with self._lock:
            return [sandbox.pid for sandbox in self._living]

    def _new_sandbox(self) -> Sandbox:
        spawner, layer = self._spawner, self._layer
        if not self._running.is_set() or spawner is None or layer is None:
            raise NotInvokedError("the function's runtime is stopped")
        code = FunctionCode(self._code_dir, self._handler, Path(layer.name), self._environment)

        def spawn(start: Callable[[], Popen[bytes]]) -> Popen[bytes]:
            return spawner.submit(start).result()

        sandbox = Sandbox(code, self._log, self._counters, spawn)
        with self._lock:
            if self._running.is_set():
                self._living.add(sandbox)
                return sandbox
        sandbox.close()
        raise NotInvokedError("the function's runtime was stopped")

    def _ready(self, sandbox: Sandbox) -> Sandbox:
        """The sandbox itself, or a new one in its place."""
        if sandbox.usable:
            return sandbox
        self._drop(sandbox)
        return self._new_sandbox()

    def _drop(self, sandbox: Sandbox) -> None:
        with self._lock:
            self._living.discard(sandbox)
        sandbox.close()


def _environment(code_dir: Path, handler: str, function_name: str, memory_mb: int) -> dict[str, str]:
    """The variables that Lambda sets (guide, configuration-envvars), with no way to real credentials."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "TZ": ":UTC",
        "PYTHONDONTWRITEBYTECODE": "1",  # /var/task is read-only; here it is the package that is uploaded
        "_HANDLER": handler,
        "LAMBDA_TASK_ROOT": str(code_dir),
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{version}",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_LAMBDA_FUNCTION_NAME": function_name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory_mb),
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function_name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": "local",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
    }
