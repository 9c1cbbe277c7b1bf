"""Echoes through a link that something else loads more and more, and the agent's latency under load of it."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from edge_agent.contract import KINDS
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.echo import EchoProbe
from edge_agent.probes.echo_settings import EchoSettings
from edge_agent.probes.load import LoadProbe
from edge_agent.probes.load_settings import LoadSettings

SINK_PORT = 9009
CYCLE_S = 0.025
DATAGRAM = 1000
HEADERS = 42
"""Bytes of Ethernet, IPv4 and UDP, which the interface counts too."""
STEADY_S = 0.2


def send(target: str, kbps: float) -> None:
    """Load the link for ever: a burst of datagrams at the start of each cycle, so that a queue builds."""
    budget, per_cycle = 0.0, kbps * 125 * CYCLE_S / (DATAGRAM + HEADERS)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        due = time.monotonic()
        while True:
            budget += per_cycle
            while budget >= 1:
                opened.sendto(bytes(DATAGRAM), (target, SINK_PORT))
                budget -= 1
            due += CYCLE_S
            time.sleep(max(due - time.monotonic(), 0))


@contextmanager
def traffic(target: str, kbps: float) -> Iterator[None]:
    """Traffic of another process meanwhile."""
    if not kbps:
        yield
        return
    command = [sys.executable, "-m", "tests.truth.loading", "send", target, str(kbps)]
    with subprocess.Popen(command) as sender:
        try:
            time.sleep(1)  # it takes a moment to start
            yield
        finally:
            sender.kill()
    time.sleep(STEADY_S)


async def measure(target: str, reference_kbps: int, loads: list[float], rounds: int, count: int) -> Any:
    """The columns of the load reading after so many rounds of echoes at each load."""
    echo = EchoProbe(EchoSettings(count=count, spacing_ms=33, timeout_s=2))
    load = LoadProbe(LoadSettings(reference_kbps=reference_kbps))
    echo.observe(load)
    link = ProbedLink("lab", interface="near0", target=target)
    for kbps in loads:
        with traffic(target, kbps):
            for _ in range(rounds):
                await echo(link)
    echo.close()
    values = (await load(link)).values
    return dict(zip((column.name for column in KINDS["load"].columns), values, strict=True))


if __name__ == "__main__":
    if sys.argv[1] == "send":
        send(sys.argv[2], float(sys.argv[3]))
    print(json.dumps(asyncio.run(measure(**json.loads(sys.argv[1])))))
