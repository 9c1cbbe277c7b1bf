"""The two ends of a STAMP link in the lab, each a process of its own: ``far`` and ``near``.

Both namespaces have one clock, the machine's, so it is synchronised with itself whatever the kernel says of
UTC: each end is told that its clock is off by 10 µs at most.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edge_agent.contract import KINDS
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.stamp import StampProbe
from edge_agent.probes.stamp_settings import StampSettings
from edge_agent.reflector.admission import Admission
from edge_agent.reflector.settings import ReflectorSettings
from edge_agent.reflector.stamp_responder import StampResponder
from tests.truth.lab import FAR, Lab

ERROR_NS = 10_000
Round = dict[str, int | None]


@contextmanager
def reflecting(lab: Lab, key_file: Path | None = None) -> Iterator[None]:
    """A reflector at the far end, for as long as the context lasts."""
    arguments = [str(key_file)] if key_file else []
    far = lab.far.popen([sys.executable, "-m", "tests.truth.stamp_ends", "far", *arguments])
    try:
        if far.stdout is None or far.stdout.readline() != "ready\n":
            raise RuntimeError("the reflector did not start; its message is above")
        yield
    finally:
        far.terminate()
        far.wait()


def rounds(
    lab: Lab, turns: int, target: str = FAR, key_file: Path | None = None, **settings: float
) -> list[Round]:
    """The columns of so many rounds of the probe at the near end."""
    wanted = {"turns": turns, "target": target, "key_file": str(key_file or ""), "settings": settings}
    done = lab.near.run([sys.executable, "-m", "tests.truth.stamp_ends", "near", json.dumps(wanted)])
    taken: list[Round] = json.loads(done.stdout)
    return taken


async def _reflect(key_file: Path | None) -> None:
    settings = ReflectorSettings(enabled=True, key_file=key_file)
    responder = StampResponder(settings, Admission(settings), lambda: ERROR_NS)
    await responder.start()
    print("ready", flush=True)
    await asyncio.Event().wait()


async def _measure(wanted: dict[str, Any]) -> list[Round]:
    key_file = Path(wanted["key_file"]) if wanted["key_file"] else None
    settings = StampSettings(key_file=key_file, **wanted["settings"])
    probe = StampProbe(settings, clock_error_ns=lambda: ERROR_NS)
    link = ProbedLink("lab", interface="near0", target=wanted["target"])
    columns = [column.name for column in KINDS["stamp"].columns]
    taken = []
    for _ in range(wanted["turns"]):
        taken.append(dict(zip(columns, (await probe(link)).values, strict=True)))
    probe.close()
    return taken


if __name__ == "__main__":
    if sys.argv[1] == "far":
        asyncio.run(_reflect(Path(sys.argv[2]) if sys.argv[2:] else None))
    else:
        print(json.dumps(asyncio.run(_measure(json.loads(sys.argv[2])))))
