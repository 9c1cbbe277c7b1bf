"""The child: `python -m edge_agent.discovery path|neighbours REQUEST`, started by the agent alone."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import sys
from collections.abc import Iterable
from pathlib import Path

from edge_agent.discovery.listen import Listener
from edge_agent.discovery.messages import (
    ChildError,
    Hop,
    Neighbour,
    NeighbourRequest,
    PathRequest,
    write,
    write_error,
)
from edge_agent.discovery.trace import Tracer

MAX_LIFE_S = 600
MISSING = "this needs scapy: install it with pip install 'linkpulse[path]'"


def main() -> None:
    """Do what is asked and write what was found, or why nothing could be."""
    signal.alarm(MAX_LIFE_S)  # should the agent die without ending it
    with contextlib.suppress(OSError):
        # Where memory is short it is the child that must go, not the agent.
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    _, what, request = sys.argv
    try:
        for finding in _found(what, json.loads(request)):
            print(write(finding))
    except ImportError:
        print(write_error(ChildError(MISSING)))
    except OSError as exc:
        print(write_error(ChildError(f"look for the {what}", exc.errno or 0)))


def _found(what: str, request: dict[str, object]) -> Iterable[Hop | Neighbour]:
    if what == "path":
        return Tracer(PathRequest(**request), random.Random()).run()  # type: ignore[arg-type]
    return Listener(NeighbourRequest(**request)).run()  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
