"""`local-cloud`: the whole cloud side on this machine, from the template that is deployed to AWS."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from infrastructure.local import control, view
from infrastructure.local.faults import FaultError, FaultPlan
from infrastructure.local.iot.broker import BrokerError
from infrastructure.local.process import PortError, tail
from infrastructure.local.state import StateFolder, read_connection, read_status

FOLLOW_S = 0.2
SHOWN_LINES = 40
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it did what it says, 1 when not, 2 for wrong usage."""
    arguments = _parser().parse_args(argv)
    state = StateFolder.chosen(arguments.state, os.environ)
    console = Console(highlight=False)
    # Asked to end in whatever way, up --foreground ends what it has started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return int(arguments.command(arguments, state, console))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone; nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as exc:
        return _refuse(f"{exc.filename or 'the system'}: {exc.strerror}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="local-cloud", description=__doc__)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--state", metavar="DIR", help="its folder (default: $LINKPULSE_STATE or ./.local-cloud)"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    up = commands.add_parser("up", parents=[common], help="start it and wait until it is ready")
    up.set_defaults(command=_up)
    up.add_argument(
        "--port-base", type=_base, metavar="N", help="engine on N, MQTT on N+1 (default: free ports)"
    )
    up.add_argument("--engine-port", type=_port, default=0, metavar="N", help="port of the AWS endpoint")
    up.add_argument("--mqtt-port", type=_port, default=0, metavar="N", help="port of the MQTT broker")
    up.add_argument(
        "--parameter",
        type=_assignment,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of the template; may be repeated",
    )
    up.add_argument(
        "--faults",
        type=_whole,
        metavar="SEED",
        help="inject faults: duplicates, late records, throttling, crashes, time-outs, partial batches",
    )
    up.add_argument(
        "--fault-rate",
        action="append",
        default=[],
        metavar="FAULT=RATE",
        help="another rate (0 to 1) for one of the faults, or for all; may be repeated",
    )
    every = "call the scheduled function so often (0: as the template says)"
    up.add_argument("--schedule-every", type=_whole, default=0, metavar="SECONDS", help=every)
    up.add_argument("--foreground", action="store_true", help="stay until Ctrl-C, then end it")
    down = commands.add_parser("down", parents=[common], help="end what up has started")
    down.set_defaults(command=_down)
    status = commands.add_parser("status", parents=[common], help="how each part is; 1 when one has failed")
    status.set_defaults(command=_status)
    status.add_argument("--json", action="store_true", help="for machines")
    logs = commands.add_parser("logs", parents=[common], help="what the parts have written")
    logs.set_defaults(command=_logs)
    logs.add_argument("part", nargs="?", help="one part; all of them without it")
    logs.add_argument("-f", "--follow", action="store_true", help="go on with what is written from now")
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65_536:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 1 to 65535")
    return int(text)


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def _base(text: str) -> int:
    if _port(text) == 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} leaves no port for MQTT, which is the next one")
    return int(text)


def _assignment(text: str) -> str:
    if not text.partition("=")[0] or "=" not in text:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE")
    return text


def _refuse(message: str) -> int:
    sys.stderr.write(f"local-cloud: {message}\n")
    return 1


def _up(arguments: argparse.Namespace, state: StateFolder, console: Console) -> int:
    running = control.supervisor(state)
    if running:
        where = f"pid {running.pid}, {control.describe(state)}"
        return _refuse(f"one is running already ({where}); end it with local-cloud down")
    try:
        _check_faults(arguments)
    except FaultError as exc:
        return _refuse(str(exc))
    base = arguments.port_base or 0
    wanted = control.Wanted(
        arguments.engine_port or base,
        arguments.mqtt_port or (base and base + 1),
        tuple(arguments.parameter),
        arguments.faults,
        tuple(arguments.fault_rate),
        arguments.schedule_every,
    )
    try:
        started = _start(state, wanted, console)
        if started or not arguments.foreground:
            return started
        while control.supervisor(state):
            time.sleep(FOLLOW_S)
    except KeyboardInterrupt:
        # While it starts, control.start has ended it already.
        return _down(arguments, state, console) if arguments.foreground else INTERRUPTED
    return _refuse("it has ended; see local-cloud logs supervisor")


def _check_faults(arguments: argparse.Namespace) -> None:
    if arguments.fault_rate and arguments.faults is None:
        raise FaultError("--fault-rate needs --faults SEED")
    FaultPlan.parse(arguments.faults or 0, arguments.fault_rate)


def _start(state: StateFolder, wanted: control.Wanted, console: Console) -> int:
    began = time.monotonic()
    try:
        with console.status("starting") as line:
            status = control.start(state, wanted, lambda part: line.update(f"starting {part}"))
    except (control.StartError, BrokerError, PortError) as exc:
        return _refuse(str(exc))
    connection = read_connection(state)
    if connection is None:
        return _refuse("it ended as soon as it was ready; see local-cloud logs supervisor")
    console.print(view.endpoints(connection, status, str(state.path)))
    console.print(f"ready after {time.monotonic() - began:.1f} s; local-cloud down ends it")
    return 0


def _down(_: argparse.Namespace, state: StateFolder, console: Console) -> int:
    if control.supervisor(state) is None:
        left = control.clean(state)
        again = f"; ended {len(left)} processes that a crashed one had left" if left else ""
        console.print(f"no local cloud is running in {state.path}{again}", soft_wrap=True)
        return 0
    with console.status("stopping"):
        ended = control.stop(state)
    console.print(f"ended {len(ended)} processes")
    return 0


def _status(arguments: argparse.Namespace, state: StateFolder, console: Console) -> int:
    status = read_status(state)
    alive = control.supervisor(state) is not None
    if status is None or (not alive and status.state != "failed"):
        crashed = "it crashed; local-cloud down clears up" if status else "start one with local-cloud up"
        if arguments.json:
            print(json.dumps({"state": "crashed" if status else "stopped"}))
            return 1
        return _refuse(f"no local cloud is running in {state.path}: {crashed}")
    if arguments.json:
        print(json.dumps(asdict(status), indent=1))
    else:
        console.print(view.parts(status))
        console.print(view.counters(status))
        if faults := view.faults(status.counters):
            console.print(faults)
        for note in status.notes:
            console.print(f"note: {note}")
    return 0 if alive and status.state in ("running", "starting") else 1


def _logs(arguments: argparse.Namespace, state: StateFolder, console: Console) -> int:
    files = sorted(state.logs.glob("*.log"))
    if arguments.part:
        names = ", ".join(path.stem for path in files) or "none yet"
        files = [path for path in files if path.stem == arguments.part]
        if not files:
            return _refuse(f"no log of {arguments.part} in {state.logs}; there is {names}")
    for path in files:
        for line in tail(path, SHOWN_LINES):
            _say(path, line, len(files) > 1)
    if arguments.follow:
        _follow(files)
    return 0


def _follow(files: Sequence[Path]) -> None:
    positions = {path: path.stat().st_size for path in files}
    while True:
        for path, position in positions.items():
            size = path.stat().st_size
            with path.open("rb") as file:
                # A log that was rotated begins anew.
                file.seek(position if size >= position else 0)
                text = file.read()
            positions[path] = size if size < position else position + len(text)
            for line in text.decode(errors="replace").splitlines():
                _say(path, line, len(files) > 1)
        sys.stdout.flush()
        time.sleep(FOLLOW_S)


def _say(path: Path, line: str, named: bool) -> None:
    print(f"{path.stem}: {line}" if named else line)


if __name__ == "__main__":
    sys.exit(main())
