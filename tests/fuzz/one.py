"""Fuzzes one target, guided by coverage, until its time is over: `python -m tests.fuzz.one TARGET SECONDS`.

libFuzzer ends the process itself: 0 when nothing was found, else with the finding in build/fuzz.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

from tests.fuzz.targets import TARGETS, Target

ROOT = Path(__file__).parents[2]
BUILT = ROOT / "build" / "fuzz"
KEPT = Path(__file__).parent / "corpus"
"""Inputs that once were findings: every run begins with them."""
LONGEST_INPUT = 2048
SLOW_S = 10
"""An input that takes longer is a finding too."""
MEMORY_MB = 1024


def corpus(name: str) -> list[Path]:
    """The folder that grows, with the target's seeds in it, and the kept one when there is one."""
    grown = BUILT / "corpus" / name
    grown.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(TARGETS[name].seeds):
        (grown / f"seed-{number}").write_bytes(seed)
    return [folder for folder in (grown, KEPT / name) if folder.exists()]


def prepared(target: Target) -> object:
    """What feeds the parser, whose module is imported instrumented."""
    with atheris.instrument_imports(include=list(target.modules)):
        return target.make()


def main() -> None:
    """Fuzz; does not return."""
    name, seconds = sys.argv[1], int(sys.argv[2])
    options = {
        "max_total_time": seconds,
        "max_len": LONGEST_INPUT,
        "timeout": SLOW_S,
        "rss_limit_mb": MEMORY_MB,
        "artifact_prefix": f"{BUILT}/{name}-",
        "print_final_stats": 1,
        "close_fd_mask": 0,
    }
    folders = [str(folder) for folder in corpus(name)]
    command = [sys.argv[0], *(f"-{option}={value}" for option, value in options.items()), *folders]
    atheris.Setup(command, prepared(TARGETS[name]))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
