"""Runtimes with a package, a log and counters of the test's own."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from infrastructure.local.function.runtime import LambdaRuntime
from infrastructure.local.state import Counters

HANDLER = """
import json, os, sys, time

print("loaded")
calls = 0

def handler(event, context):
    global calls
    calls += 1
    what = event.get("do", "echo")
    if what == "raise":
        raise ValueError("no such link")
    if what == "sleep":
        time.sleep(event["seconds"])
    if what == "exit":
        os._exit(3)
    if what == "fork":
        return os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "600")
    if what == "unserializable":
        return {1, 2}
    if what == "large":
        return "x" * event["size"]
    if what == "print":
        print(event["text"])
    if what == "context":
        return {
            "left": context.get_remaining_time_in_millis(),
            "arn": context.invoked_function_arn,
            "name": context.function_name,
            "memory": context.memory_limit_in_mb,
            "request": context.aws_request_id,
        }
    return {"event": event, "pid": os.getpid(), "calls": calls}
"""


class Bench:
    """A package folder, a log and counters, and the runtimes made with them."""

    def __init__(self, folder: Path) -> None:
        self.code = folder / "package"
        self.code.mkdir()
        self.log = folder / "log" / "function.log"
        self.counters = Counters()
        self.runtimes: list[LambdaRuntime] = []

    def runtime(
        self,
        source: str = HANDLER,
        timeout_s: float = 20.0,
        workers: int = 1,
        environment: dict[str, str] | None = None,
        **options: Any,
    ) -> LambdaRuntime:
        (self.code / "app.py").write_text(textwrap.dedent(source))
        runtime = LambdaRuntime(
            self.code,
            "app.handler",
            environment or {},
            timeout_s,
            self.log,
            self.counters,
            workers,
            **options,
        )
        self.runtimes.append(runtime)
        runtime.start()
        return runtime
