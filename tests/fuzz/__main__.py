"""`make fuzz`: every parser in turn, guided by coverage; exits 1 when one gives way."""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]
MISSING = "atheris is not installed: there are packages of it for Python 3.11 to 3.13 on x86-64 Linux"
GRACE_S = 100
"""Beside its time, for the start and the inputs that are there already."""


@dataclass(frozen=True)
class Result:
    """What came of a target."""

    name: str
    runs: int
    covered: int
    finding: str
    """Empty when there is none."""


def fuzz(name: str, seconds: int) -> Result:
    """One target in a process of its own, which libFuzzer ends."""
    command = [sys.executable, "-m", "tests.fuzz.one", name, str(seconds)]
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, errors="replace", timeout=seconds + GRACE_S
        )
    except subprocess.TimeoutExpired:
        return Result(name, 0, 0, "it did not end in time")
    said = done.stdout + done.stderr
    runs = re.search(r"number_of_executed_units: (\d+)", said)
    covered = re.findall(r"cov: (\d+)", said)
    number = int(runs[1]) if runs else 0
    reached = int(covered[-1]) if covered else 0
    return Result(name, number, reached, _finding(said) if done.returncode or not runs else "")


def _finding(said: str) -> str:
    """The error and the file with the input that caused it, from the words of libFuzzer."""
    error = re.search(r"Uncaught Python exception: ===\n(.*)", said) or re.search(r"ERROR: (.*)", said)
    written = re.search(r"written to (\S+)", said)
    last = said.strip().splitlines()[-1] if said.strip() else "it ended without a word"
    return f"{error[1] if error else last}{f'; input: {written[1]}' if written else ''}"


def main() -> int:
    """Share the time among the targets and report each; 1 for a finding, 2 when it cannot run."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; default all")
    parser.add_argument("--seconds", type=int, default=220, help="in all (default %(default)s)")
    given = parser.parse_args()
    unknown = set(given.targets) - set(TARGETS)
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    if importlib.util.find_spec("atheris") is None:
        print(MISSING, file=sys.stderr)
        return 2
    names = given.targets or list(TARGETS)
    each_s = max(given.seconds // len(names), 1)
    found = False
    for name in names:
        print(f"{name:16} {each_s} s ...", end="", flush=True)
        result = fuzz(name, each_s)
        found |= bool(result.finding)
        said = result.finding or f"{result.runs:,} inputs, {result.covered} branches, nothing found"
        print(f"\r{name:16} {said}")
    return int(found)


if __name__ == "__main__":
    sys.exit(main())
