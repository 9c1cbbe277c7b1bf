"""Two network namespaces, near and far, joined by a wire whose every deed is known."""

from __future__ import annotations

import functools
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.truth.passage import Passage
from tests.truth.shape import Shape
from tests.truth.side import FAR, FAR6, NEAR, NEAR6, ROOT, Side

__all__ = ["FAR", "FAR6", "NEAR", "NEAR6", "ROOT", "Lab", "Side", "available", "needs_lab"]

SETTLE_WITHIN_S = 60
_PREFIX = "truth-"
_MAC = {"near": "02:4c:50:00:00:01", "far": "02:4c:50:00:00:02"}
_numbers = itertools.count()


@functools.cache
def available() -> str:
    """Why the lab cannot run here; empty when it can."""
    for tool in ("ip", "taskset"):
        if not shutil.which(tool):
            return f"needs {tool}"
    name = f"{_PREFIX}{os.getpid()}-try"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode:
        return "needs root to make network namespaces"
    subprocess.run(["ip", "netns", "del", name], check=True)
    return ""


needs_lab = pytest.mark.skipif(bool(available()), reason=available())


class Lab:
    """near0 (10.77.0.1, fd77::1) and far0 (10.77.0.2, fd77::2) with a wire between them."""

    def __init__(self, out: Shape | None = None, back: Shape | None = None, seed: int = 1) -> None:
        name = f"{_PREFIX}{os.getpid()}-{next(_numbers)}"
        self.near, self.far = Side(f"{name}-near"), Side(f"{name}-far")
        self._middle = f"{name}-wire"
        self._wanted = {"seed": seed, "out": asdict(out or Shape()), "back": asdict(back or Shape())}
        self._wire: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        _sweep()
        try:
            for namespace in self._namespaces():
                subprocess.run(["ip", "netns", "add", namespace], check=True)
            self._lay_wire()
            self._connect("near", self.near, "far", (NEAR, NEAR6), (FAR, FAR6))
            self._connect("far", self.far, "near", (FAR, FAR6), (NEAR, NEAR6))
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def settle(self) -> None:
        """Wait until the wire holds nothing; raises TimeoutError when it never does."""
        until = time.monotonic() + SETTLE_WITHIN_S
        while int(self._ask("waiting")[0]):
            if time.monotonic() > until:
                raise TimeoutError("the wire is never empty: does something still send?")
            time.sleep(0.01)

    def log(self) -> list[Passage]:
        """What became of every frame so far; the wire stands still while it tells, so settle first.

        Raises RuntimeError when frames came faster than the wire could take them: then it knows too little.
        """
        passages = [Passage.from_log(json.loads(line)) for line in self._ask("log")]
        missed = int(self._line())
        if missed:
            raise RuntimeError(f"the wire missed {missed} frames: too many came at once")
        return passages

    def _namespaces(self) -> tuple[str, ...]:
        return self.near.namespace, self.far.namespace, self._middle

    def _lay_wire(self) -> None:
        """Two pairs of interfaces in a namespace that never speaks itself, and the wire between them."""
        inside = ["ip", "netns", "exec", self._middle]
        quiet = "for each in all default; do echo 1 >/proc/sys/net/ipv6/conf/$each/disable_ipv6; done"
        subprocess.run([*inside, "sh", "-c", quiet], check=True)
        batch = "".join(
            f"""link add {name}0 address {_MAC[name]} type veth peer name {name}1
                link set {name}1 arp off up
            """
            for name in ("near", "far")
        )
        subprocess.run(["ip", "-n", self._middle, "-batch", "-"], input=batch, text=True, check=True)
        command = [*inside, sys.executable, "-m", "tests.truth.wire", json.dumps(self._wanted)]
        pipe = subprocess.PIPE
        self._wire = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT)
        if self._line() != "ready":
            raise RuntimeError("the wire did not start; its message is above")

    def _line(self) -> str:
        assert self._wire and self._wire.stdout
        return self._wire.stdout.readline().strip()

    def _ask(self, command: str) -> list[str]:
        assert self._wire and self._wire.stdin
        self._wire.stdin.write(command + "\n")
        self._wire.stdin.flush()
        if command != "log":
            return [self._line()]
        return list(iter(self._line, "end"))

    def _connect(
        self, name: str, side: Side, other: str, own: tuple[str, str], peer: tuple[str, str]
    ) -> None:
        """Addresses, and neighbours that need no asking, so that no first packet waits for ARP."""
        device = f"{name}0"
        move = ["ip", "-n", self._middle, "link", "set", device, "netns", side.namespace]
        subprocess.run(move, check=True)
        batch = f"""link set lo up
            link set {device} up
            addr add {own[0]}/24 dev {device}
            addr add {own[1]}/64 dev {device} nodad
            neigh replace {peer[0]} lladdr {_MAC[other]} nud permanent dev {device}
            neigh replace {peer[1]} lladdr {_MAC[other]} nud permanent dev {device}
        """
        side.run(["ip", "-batch", "-"], input=batch)

    def _close(self) -> None:
        self.near.close()
        self.far.close()
        if self._wire:
            assert self._wire.stdin and self._wire.stdout
            self._wire.stdin.close()  # the wire's sign to end
            try:
                self._wire.wait(5)
            except subprocess.TimeoutExpired:
                self._wire.kill()
                self._wire.wait()
            self._wire.stdout.close()
        for namespace in self._namespaces():
            subprocess.run(["ip", "netns", "del", namespace], capture_output=True, check=False)


def _sweep() -> None:
    """Remove the namespaces of labs whose process was killed."""
    for entry in Path("/run/netns").glob(f"{_PREFIX}*"):
        pid = entry.name.split("-")[1]
        if not Path("/proc", pid).exists():
            subprocess.run(["ip", "netns", "del", entry.name], capture_output=True, check=False)
