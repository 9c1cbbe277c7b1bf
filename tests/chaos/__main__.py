"""`make chaos`: an agent's life with everything going wrong; exits 1 when a reading is lost or doubled."""

from __future__ import annotations

import argparse
import json
import logging
import random
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.progress import Progress

from tests.chaos.oracle import Verdict
from tests.chaos.plan import KINDS
from tests.chaos.process_trial import PROCESS_KINDS, run_process_trial, unavailable
from tests.chaos.report import Outcome, summary, table
from tests.chaos.trial import run_trial

ROOT = Path(__file__).parents[2]
PROCESS_EVERY = 40
"""One trial of so many is of a real process, a real disk and a real broker; it takes seconds."""


HANGS_S = 20
"""A trial takes a fraction of a second of computing."""


class Hangs(KeyboardInterrupt):
    """The trial computes without end; the event loop lets this through, as no other exception."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise Hangs within when the processor has worked for so long."""

    def stop(_signal: int, frame: FrameType | None) -> None:
        logging.getLogger(__name__).error("it hangs here:\n%s", "".join(traceback.format_stack(frame)[-12:]))
        raise Hangs

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def kind_of(number: int) -> str:
    """The kind of fault of a trial: each in turn."""
    if number % PROCESS_EVERY == PROCESS_EVERY // 2:
        names = list(PROCESS_KINDS)
        return names[number // PROCESS_EVERY % len(names)]
    names = list(KINDS)
    return names[number % len(names)]


def one(seed: int, number: int, kind: str = "") -> Outcome:
    """Run a trial; the same seed and number run the same one."""
    kind = kind or kind_of(number)
    rng = random.Random(f"{seed}/{number}")
    begun = time.perf_counter()
    skipped = unavailable(kind) if kind in PROCESS_KINDS else ""
    verdict = Verdict() if skipped else _guarded(kind, rng)
    return Outcome(number, kind, verdict, time.perf_counter() - begun, skipped)


def _guarded(kind: str, rng: random.Random) -> Verdict:
    try:
        if kind in PROCESS_KINDS:
            return run_process_trial(kind, rng)
        with at_most(HANGS_S):
            return run_trial(KINDS[kind](rng), rng)
    except Hangs:
        return Verdict(violations=[f"it hangs: more than {HANGS_S} s of computing"])
    except Exception as exc:  # a trial that breaks is a finding too, and the others still run
        logging.getLogger(__name__).exception("the trial broke")
        return Verdict(violations=[f"the trial broke: {exc!r}"])


def main() -> int:
    """Run the trials and report; 1 when any failed, 2 for a wrong argument."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--trials", type=int, default=1000, help="how many (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="what they are drawn from (default %(default)s)")
    parser.add_argument("--trial", type=int, help="run only this one, with a log")
    parser.add_argument(
        "--kind", choices=[*KINDS, *PROCESS_KINDS], help="all of this kind; by default each kind in turn"
    )
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "chaos.json", metavar="FILE")
    given = parser.parse_args()
    logging.basicConfig(
        level=logging.CRITICAL if given.trial is None else logging.DEBUG,
        format="%(levelname)s %(name)s: %(message)s",
    )
    numbers = range(given.trials) if given.trial is None else [given.trial]
    outcomes = list(_run(given.seed, numbers, given.kind or "", Console(stderr=True)))
    return _report(given.seed, outcomes, given.json)


def _run(seed: int, numbers: range | list[int], kind: str, console: Console) -> Iterator[Outcome]:
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("trials", total=len(numbers))
        for number in numbers:
            progress.update(task, description=kind or kind_of(number))
            outcome = one(seed, number, kind)
            if not outcome.is_good:
                console.print(f"{outcome.kind}: {outcome.replay(seed)}", style="red", highlight=False)
                for violation in outcome.verdict.violations:
                    console.print(f"    {violation}", markup=False, highlight=False)
            progress.advance(task)
            yield outcome


def _report(seed: int, outcomes: list[Outcome], file: Path) -> int:
    lines = summary(outcomes)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        json.dumps({"seed": seed, "trials": [each.as_json(seed) for each in outcomes]}, indent=1),
        encoding="utf-8",
    )
    Console(width=None if sys.stdout.isatty() else 160).print(table(lines))
    skipped = {outcome.kind: outcome.skipped for outcome in outcomes if outcome.skipped}
    for kind, reason in skipped.items():
        print(f"not run: {kind}: {reason}")
    failed = [outcome for outcome in outcomes if not outcome.is_good]
    taken = sum(outcome.seconds for outcome in outcomes)
    run = len(outcomes) - sum(bool(outcome.skipped) for outcome in outcomes)
    print(f"{run:,} trials, seed {seed}, {taken:.0f} s; {len(failed)} failed; details: {file}")
    for outcome in failed:
        print(f"run again: {outcome.replay(seed)}  # {outcome.kind}: {outcome.verdict.violations[0]}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
