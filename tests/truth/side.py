"""One end of the lab: a network namespace, and what runs in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.truth.wire import own_cpu

ROOT = Path(__file__).parents[2]
NEAR, FAR = "10.77.0.1", "10.77.0.2"
NEAR6, FAR6 = "fd77::1", "fd77::2"
RUN_WITHIN_S = 120


class Side:
    """One end: commands run in its namespace, off the wire's CPU."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self._running: list[subprocess.Popen[str]] = []
        others = sorted(os.sched_getaffinity(0) - {own_cpu()})
        self._prefix = ["taskset", "-c", ",".join(map(str, others)), "ip", "netns", "exec", namespace]

    def run(self, args: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, its output captured; raises CalledProcessError when it fails."""
        wanted: dict[str, Any] = {"text": True, "capture_output": True, "check": True, "cwd": ROOT}
        wanted |= {"timeout": RUN_WITHIN_S} | options
        done: subprocess.CompletedProcess[str] = subprocess.run([*self._prefix, *args], **wanted)
        return done

    def popen(self, args: list[str], **options: Any) -> subprocess.Popen[str]:
        """Start a command with pipes as output; the lab ends it if nobody else does."""
        wanted: dict[str, Any] = {"text": True, "stdout": subprocess.PIPE, "cwd": ROOT} | options
        process: subprocess.Popen[str] = subprocess.Popen([*self._prefix, *args], **wanted)
        self._running.append(process)
        return process

    def python(self, code: str, *args: str) -> str:
        """What a Python program prints; raises AssertionError with its errors when it fails."""
        done = self.run([sys.executable, "-c", code, *args], check=False)
        if done.returncode:
            raise AssertionError(done.stderr)
        return done.stdout

    def close(self) -> None:
        """End what still runs."""
        for process in self._running:
            if process.poll() is None:
                process.kill()
            process.communicate()
