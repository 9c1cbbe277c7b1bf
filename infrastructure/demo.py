"""`make demo`: the local cloud, a real agent and a simulated fleet; a live view; then the audit's verdict."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console

from infrastructure.demo_agent import enrol
from infrastructure.live import Figures, View, Worst
from infrastructure.local.faults import Fault
from infrastructure.local.process import tethered
from infrastructure.local.state import StateFolder, read_status
from infrastructure.local.view import faults

GATEWAYS = 50
LINKS = 10
INTERVAL_S = 5
FLUSH_S = 5
HISTORY_S, HISTORY_INTERVAL_S = 5_400, 60
"""What the fleet measured before the demo: an hour and a half holds an hour, or a third of one, that has
closed; at the demo's own pace it would be half a million readings."""
SCHEDULE_EVERY_S = 10
"""Between two passes of the rollups; the 5 minutes of the template are longer than a demo."""
STOP_LIMIT_S = 30
SETTLE_S = 30
FAULTY_SETTLE_S = 150
"""What was throttled, killed and held back needs longer, most of it the mapping's pauses."""
FAULT_RATES = {
    Fault.RECORD_TWICE: 0.1,
    Fault.RECORD_LATE: 0.2,
    Fault.RECORDS_SHUFFLED: 0.5,
    Fault.RECORD_REFUSED: 0.05,
    Fault.REPEATED: 0.3,
    Fault.REFUSED: 0.25,
    Fault.CRASH: 0.25,
    Fault.TIMEOUT: 0.2,
    Fault.THROTTLED: 0.03,
    Fault.SERVER_ERROR: 0.03,
    Fault.ANSWER_LOST: 0.03,
    Fault.UNPROCESSED: 0.4,
}
"""A minute has some dozens of invocations only, so half of them meet a fault: far more than AWS ever has."""


class DemoError(Exception):
    """A step of the demo failed; its own output has said why."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; 0 only when every reading is in the table exactly once."""
    arguments = _parser().parse_args(argv)
    state: Path = arguments.state.resolve()
    os.environ["LINKPULSE_STATE"] = str(state)
    console, interrupt = Console(), _Interrupt()
    try:
        with _local_cloud(state, arguments.faults):
            if interrupt.asked:
                raise DemoError("interrupted before anything was measured")
            _feed(state, arguments, console, interrupt)
            console.print("comparing what was generated with the table", style="dim")
            verdict = _audit(state, interrupt, SETTLE_S if arguments.faults is None else FAULTY_SETTLE_S)
            _show_history(state, console)
            _tell_faults(state, console)
            return verdict
    except DemoError as error:
        console.print(f"demo: {error}", style="red", highlight=False, markup=False)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument(
        "--seconds", type=_positive, default=None, help="end after so long (default: on Ctrl-C)"
    )
    parser.add_argument(
        "--gateways", type=_positive, default=GATEWAYS, help="simulated gateways (%(default)s)"
    )
    parser.add_argument("--links", type=_positive, default=LINKS, help="links of each (%(default)s)")
    parser.add_argument(
        "--faults", type=int, metavar="SEED", help="inject faults everywhere (local-cloud up)"
    )
    parser.add_argument("--state", type=Path, default=Path(".local-cloud"), help="folder of the local cloud")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value <= 0:
        raise argparse.ArgumentTypeError("must be more than 0")
    return value


class _Interrupt:
    """Ctrl-C, SIGTERM and a closed terminal as a flag, so that each step ends in its own order."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask)

    def _ask(self, *_: object) -> None:
        self.asked = True

    def wait(self, seconds: float) -> None:
        """Sleep, at most so long; a signal ends the sleep at the next tenth."""
        until = time.monotonic() + seconds
        while not self.asked and time.monotonic() < until:
            time.sleep(min(0.1, max(0.0, until - time.monotonic())))


@contextmanager
def _local_cloud(state: Path, faults: int | None) -> Iterator[None]:
    options = ["--schedule-every", str(SCHEDULE_EVERY_S)]
    if faults is not None:
        options += ["--faults", str(faults)]
        for fault, rate in FAULT_RATES.items():
            options += ["--fault-rate", f"{fault}={rate}"]
    if _run("infrastructure.local", "up", "--state", str(state), *options):
        raise DemoError("the local cloud did not start")
    try:
        yield
    finally:
        _run("infrastructure.local", "down", "--state", str(state))


def _feed(state: Path, arguments: argparse.Namespace, console: Console, interrupt: _Interrupt) -> None:
    """Let the agent and the fleet measure until the time is over, then have both flush and stop."""
    truth = state / "truth"
    shutil.rmtree(truth, ignore_errors=True)
    truth.mkdir()
    (state / "fleet.json").unlink(missing_ok=True)
    try:
        config = enrol(state, FLUSH_S)
    except subprocess.CalledProcessError as error:
        raise DemoError("the agent could not be enrolled") from error
    logs = state / "logs"
    agent_record = truth / "agent.jsonl"
    fleet = [
        *("simulator", "run", "--sink", "mqtt", "--gateways", str(arguments.gateways)),
        *("--links", str(arguments.links), "--interval", str(INTERVAL_S), "--flush", str(FLUSH_S)),
        *("--history", str(HISTORY_S), "--history-interval", str(HISTORY_INTERVAL_S)),
        *("--record", str(truth / "fleet.jsonl"), "--duration", str(arguments.seconds or 86_400)),
    ]
    agent = ["edge_agent", "run", "--config", str(config), "--record", str(agent_record)]
    with _child("agent", agent, logs), _child("fleet", fleet, logs) as simulator:
        view = View(console, Figures(state, agent_record), Worst(state))
        began = time.monotonic()
        with view:
            while not (interrupt.asked or _over(began, arguments.seconds) or simulator.poll() is not None):
                view.refresh(time.monotonic() - began, arguments.seconds)
                interrupt.wait(1)
            view.refresh(time.monotonic() - began, arguments.seconds)
        console.print("flushing what is still on the gateways", style="dim")


def _over(began: float, seconds: int | None) -> bool:
    return seconds is not None and time.monotonic() - began >= seconds


@contextmanager
def _child(name: str, arguments: Sequence[str], logs: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A child in a session of its own, so that Ctrl-C reaches it only through us, in order."""
    log = logs / f"{name}.log"
    with log.open("wb") as output:
        child = subprocess.Popen(
            tethered([sys.executable, "-m", *arguments]),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield child
        finally:
            _end(child)
    # Ended by our SIGTERM before it listened to it: nothing is lost by that which the audit would not see.
    if child.returncode not in (0, -signal.SIGTERM):
        tail = log.read_text(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
        raise DemoError(f"the {name} ended with {child.returncode}: {tail[0]} (all of it: {log})")


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
    with suppress(subprocess.TimeoutExpired):
        child.wait(STOP_LIMIT_S)
        return
    child.kill()
    child.wait()


def _show_history(state: Path, console: Console) -> None:
    """The first link of the fleet, as the rollups have it."""
    with (state / "truth" / "fleet.jsonl").open() as lines:
        first = json.loads(next(lines))
    console.print(f"linkview history {first['link']} --since 24h", style="dim", highlight=False)
    _run("cloud", "history", first["link"], "--gateway", first["gateway"], "--since", "24h")


def _tell_faults(state: Path, console: Console) -> None:
    """What was injected, when anything was."""
    status = read_status(StateFolder(state))
    if status and (table := faults(status.counters)):
        console.print(table)


def _audit(state: Path, interrupt: _Interrupt, settle_s: int) -> int:
    """The audit's verdict as an exit code; a signal ends the wait for it."""
    for name in ("agent", "fleet"):
        # A verdict on nothing would read as a success.
        record = state / "truth" / f"{name}.jsonl"
        if not (record.is_file() and record.stat().st_size):
            raise DemoError(f"the {name} has measured nothing yet: give it more time, SECONDS=20 or more")
    interrupt.asked = False
    command = [sys.executable, "-m", "cloud", "audit", "--settle", str(settle_s)]
    audit = subprocess.Popen(command, start_new_session=True)
    while audit.poll() is None and not interrupt.asked:
        interrupt.wait(0.1)
    if audit.poll() is None:
        _end(audit)
        raise DemoError("interrupted before the verdict")
    return audit.returncode


def _run(module: str, *arguments: str) -> int:
    """Run a command of ours to its end, its output shown; it never sees our Ctrl-C."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments], start_new_session=True, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
