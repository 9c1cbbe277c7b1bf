"""Some rounds of one of the agent's probes in the lab, in a process of its own: values as JSON."""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from collections.abc import Sequence
from typing import Any

from edge_agent.contract import KINDS
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.probe import Measurement, ProbeError
from tests.truth.side import FAR, Side

Round = dict[str, Any]


def rounds(side: Side, kind: str, times: int, target: str = FAR, /, **settings: object) -> list[Round]:
    """Columns by name, and ``flags``, of every measurement; ``outcome`` and ``error`` where there is none."""
    wanted = json.dumps({"kind": kind, "times": times, "target": target, "settings": settings})
    done = side.run([sys.executable, "-m", "tests.truth.probing", wanted], check=False)
    if done.returncode:
        raise RuntimeError(f"the {kind} probe failed: {done.stderr[-500:]}")
    taken: list[Round] = json.loads(done.stdout)
    return taken


def total(taken: list[Round], column: str) -> int:
    """The sum of a column over rounds."""
    return sum(each.get(column) or 0 for each in taken)


def _named(measurement: Measurement) -> Round:
    columns = (column.name for column in KINDS[measurement.kind].columns)
    return {**dict(zip(columns, measurement.values, strict=True)), "flags": int(measurement.flags)}


async def _measure(wanted: dict[str, Any]) -> list[Round]:
    """Modules and classes are found by the names that the probes keep: probes/echo.py, EchoProbe."""
    kind = wanted["kind"]
    module = importlib.import_module(f"edge_agent.probes.{kind}")
    settings = getattr(module, f"{kind.capitalize()}Settings")(**wanted["settings"])
    probe = getattr(module, f"{kind.capitalize()}Probe")(settings)
    link = ProbedLink("lab", interface="near0", target=wanted["target"])
    taken: list[Round] = []
    for _ in range(wanted["times"]):
        try:
            answer = await probe(link)
        except ProbeError as error:
            taken.append({"outcome": error.outcome.name, "error": str(error)})
            continue
        measured: Sequence[Measurement] = [answer] if isinstance(answer, Measurement) else answer
        taken += map(_named, measured)
    probe.close()
    return taken


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_measure(json.loads(sys.argv[1])))))
