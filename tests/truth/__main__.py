"""`make truth`: every probe beside the wire's log, as a table, as JSON and as a picture."""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.truth.lab import ROOT, available
from tests.truth.picture import picture
from tests.truth.report import LATE_US, Case, Row, unmeasured
from tests.truth.table import table

ATTEMPTS = 6
"""Of a case that misses while the wire is late; each waits a little longer for a calmer machine."""
PAUSE_S = 2.0
PICTURE = ROOT / "infrastructure" / "diagrams" / "truth.svg"


def suites() -> list[str]:
    """The names of the modules that have rows: rows_NAME.py."""
    return sorted(path.stem.removeprefix("rows_") for path in Path(__file__).parent.glob("rows_*.py"))


def main() -> int:
    """Measure and report; exits 1 when a row misses its bound, 2 when the lab cannot run."""
    parser = argparse.ArgumentParser(prog="make truth", description=__doc__)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(suites())}; default all")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "truth.json", metavar="FILE")
    parser.add_argument("--picture", action="store_true", help=f"update {PICTURE.relative_to(ROOT)}")
    arguments = parser.parse_args()
    unknown = set(arguments.suites) - set(suites())
    if unknown:
        parser.error(f"no such suite: {', '.join(sorted(unknown))}; there are {', '.join(suites())}")
    reason = available()
    if reason:
        print(f"the truth lab cannot run here: {reason}", file=sys.stderr)
        return 2
    rows = list(_measured(arguments.suites or suites(), Console(stderr=True)))
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(
        json.dumps({**_circumstances(), "rows": [row.as_json() for row in rows]}, indent=1)
    )
    if arguments.picture:
        PICTURE.write_text(picture(rows), encoding="utf-8")
    Console(width=None if sys.stdout.isatty() else 160).print(table(rows))
    missed = sum(not row.reached for row in rows)
    print(f"{len(rows) - missed} of {len(rows)} rows within their bounds; details: {arguments.json}")
    return 1 if missed else 0


def _measured(names: list[str], console: Console) -> Iterator[Row]:
    for name in names:
        try:
            cases = _cases(name)
        except Exception as error:  # a suite that cannot even begin is a miss, not the end of the report
            yield unmeasured(name, repr(error))
            continue
        for number, case in enumerate(cases, 1):
            with console.status(f"measuring {name} ({number} of {len(cases)})"):
                rows = measure(name, case)
            missed = sum(not row.reached for row in rows)
            console.print(f"{name} {number}/{len(cases)}: {len(rows) - missed} of {len(rows)} rows reached")
            yield from rows


def _cases(name: str) -> list[Case]:
    module = importlib.import_module(f"tests.truth.rows_{name}")
    return list(module.cases()) if hasattr(module, "cases") else [module.rows]


def measure(name: str, case: Case, sleep: Callable[[float], None] = time.sleep) -> list[Row]:
    """The rows of a case; again when one misses and the wire was late, which is the machine's doing."""
    rows: list[Row] = []
    for attempt in range(ATTEMPTS):
        sleep(attempt * PAUSE_S)
        try:
            rows = list(case())
        except Exception as error:  # the next case may still tell something
            return [unmeasured(name, repr(error))]
        if not any(not row.reached and row.wire_late_us > LATE_US for row in rows):
            break
    return rows


def _circumstances() -> dict[str, Any]:
    return {
        "taken_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "machine": platform.machine(),
    }


if __name__ == "__main__":
    sys.exit(main())
