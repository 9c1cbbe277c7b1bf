"""Every parser takes its seeds, what once was a finding, and some seconds of a fuzzer that reads coverage."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.__main__ import fuzz
from tests.fuzz.targets import TARGETS

KEPT = Path(__file__).parent / "corpus"
SECONDS = 1

fuzzed = pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="atheris is not installed (x86-64 Linux alone has it)"
)


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_kept_findings_are_taken(name: str) -> None:
    take = TARGETS[name].make()
    kept = [path.read_bytes() for path in sorted((KEPT / name).glob("*"))]
    for data in (b"", *TARGETS[name].seeds, *kept):
        for size in {0, len(data) // 2, len(data) - 1, len(data)}:
            take(data[: max(size, 0)])


def test_kept_findings_belong_to_a_target() -> None:
    assert {path.name for path in KEPT.iterdir()} <= {*TARGETS, "README.md"}


@fuzzed
@pytest.mark.parametrize("name", TARGETS)
def test_some_seconds_of_fuzzing_find_nothing(name: str) -> None:
    result = fuzz(name, SECONDS)
    assert not result.finding
    assert result.runs > 100
    assert result.covered > 3, "the fuzzer sees no branches: is the module's name right?"


@fuzzed
def test_a_parser_that_gives_way_would_be_found(tmp_path: Path) -> None:
    """The same fuzzer on a parser with a fault that only coverage leads to."""
    code = f"""
import sys
import atheris
import tests.fuzz.one as one
from tests.fuzz.targets import TARGETS, Target

@atheris.instrument_func
def faulty(data):
    if data[:1] == b"L" and data[1:2] == b"P" and data[2:3] == b"!":
        raise KeyError("a fault")

one.BUILT = one.Path({str(tmp_path)!r})
TARGETS["faulty"] = Target((), lambda: faulty, (b"Lxx",))
sys.argv[1:] = ["faulty", "60"]
one.main()
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, timeout=90)
    assert done.returncode != 0
    assert b"KeyError: 'a fault'" in done.stdout + done.stderr
    assert [path.read_bytes()[:3] for path in tmp_path.glob("faulty-crash-*")] == [b"LP!"]
