"""The command line ``edge-agent``; each command imports what it needs, so that all start fast."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.command_options import add_probe, add_reflect, add_spool

if TYPE_CHECKING:
    from edge_agent.config import Config

OK, FAILED, USAGE, BAD_DATA, NO_INPUT, TEMPORARY, DENIED, BAD_CONFIG = 0, 1, 2, 65, 66, 75, 77, 78
INTERRUPTED = 130
"""Exit codes; those above 64 are of sysexits.h."""

EPILOG = """\
settings are taken from the file, then EDGE_AGENT_SECTION__KEY of the environment, then --set.
exit status: 0 fine, 1 negative result or failure, 2 usage, 69 not running, 75 try later, 77 no
permission, 78 bad configuration."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    _open_standard_streams()
    options = _parser().parse_args(arguments)
    try:
        status: int = options.command(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has gone; without this the interpreter complains when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return OK
    except PermissionError as exc:
        return _refuse([f"edge-agent: {exc.filename}: {exc.strerror}; try it with sudo"], DENIED)
    except OSError as exc:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return _refuse([f"edge-agent: {exc}"], FAILED)
    return status


def _open_standard_streams() -> None:
    """Put /dev/null where the caller has closed one: Python has None there, and files take its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edge-agent",
        description="Measures the links of a gateway and delivers the readings to AWS IoT Core.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    configured = _configured()

    run = commands.add_parser("run", parents=[configured], help="measure and deliver until stopped")
    run.add_argument("--record", type=Path, metavar="FILE", help="append each accepted reading to FILE")
    run.set_defaults(command=_run)

    check = commands.add_parser("check", parents=[configured], help="check the configuration, offline")
    check.add_argument("file", nargs="?", type=Path, metavar="FILE", help="instead of --config")
    check.add_argument("--json", action="store_true", help="print JSON")
    check.set_defaults(command=_check)

    status = commands.add_parser("status", parents=[configured], help="how the agent on this machine is")
    status.add_argument("--json", action="store_true", help="print JSON")
    status.set_defaults(command=_status)

    spool = commands.add_parser("spool", help="what waits on this gateway: status, export, verify")
    add_spool(spool, configured)
    spool.set_defaults(command=_spool)

    budget = commands.add_parser(
        "budget", parents=[configured], help="what the agent has spent on metered interfaces"
    )
    budget.add_argument("--json", action="store_true", help="print JSON")
    budget.set_defaults(command=_budget)

    once = commands.add_parser(
        "once", parents=[configured], help="run every probe once and print, send nothing"
    )
    once.add_argument("--json", action="store_true", help="print JSON")
    once.set_defaults(command=_once)

    probe = commands.add_parser("probe", help="measure one target now, without a configuration")
    add_probe(probe)
    probe.set_defaults(command=_probe)

    reflect = commands.add_parser("reflect", help="answer what others measure, until interrupted")
    add_reflect(reflect)
    reflect.set_defaults(command=_reflect)

    decode = commands.add_parser("decode", help="print a batch, packed or JSON, as JSON")
    decode.add_argument("file", metavar="FILE", help="the payload, or - for standard input")
    decode.set_defaults(command=_decode)

    version = commands.add_parser("version", help="print the versions")
    version.set_defaults(command=_version)
    return parser


def _configured() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="default: $EDGE_AGENT_CONFIG or /etc/edge-agent/agent.toml",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="override a setting, such as mqtt.port=8884; may be repeated",
    )
    return parser


def _run(options: argparse.Namespace) -> int:
    import signal

    # Until the agent listens these would end it; and systemd takes an end by SIGHUP for one that was wanted.
    for each in (signal.SIGHUP, signal.SIGUSR1):
        signal.signal(each, signal.SIG_IGN)

    import asyncio

    from edge_agent import logs
    from edge_agent.config import ConfigError
    from edge_agent.life import supervise
    from edge_agent.spool import SpoolBusy, SpoolError

    def load() -> Config:
        config = _load(options)
        logs.set_up(config.log.level, os.environ)
        return config

    try:
        asyncio.run(supervise(load, os.environ, options.record))
    except ConfigError as exc:
        return _refuse(exc.problems, BAD_CONFIG)
    except SpoolBusy as exc:
        return _refuse([str(exc)], TEMPORARY)
    except SpoolError as exc:
        return _refuse([f"[spool] path {exc}"], BAD_CONFIG)
    except OSError as exc:
        return _refuse([f"{exc.filename}: {exc.strerror}" if exc.filename else str(exc)], FAILED)
    return OK


def _check(options: argparse.Namespace) -> int:
    from edge_agent.config import ConfigError

    if options.file:
        options.config = options.file
    try:
        config = _load(options)
    except ConfigError as exc:
        if options.json:
            print(json.dumps({"ok": False, "problems": exc.problems, "warnings": []}, indent=2))
            return BAD_CONFIG
        return _refuse(exc.problems, BAD_CONFIG)
    if options.json:
        print(json.dumps({"ok": True, "problems": [], "warnings": config.warnings}, indent=2))
        return OK
    for warning in config.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    series = len(config.gateway.probes) + sum(len(link.probes) for link in config.links)
    mqtt = config.mqtt
    print(f"{_path(options)}: ok: gateway {config.gateway.name}, {len(config.links)} links, {series} series")
    print(f"delivers to {mqtt.endpoint}:{mqtt.port} with {mqtt.publisher}, topic {config.topic}")
    return OK


def _status(options: argparse.Namespace) -> int:
    from edge_agent import status_command
    from edge_agent.config import ConfigError
    from edge_agent.spool_folder import folder_of

    try:
        spool = folder_of(_load(options, with_files=False).spool.path)
    except ConfigError:
        spool = None  # a broken configuration must not keep anybody from seeing how the agent is
    return status_command.run(spool, options.json, os.environ)


def _spool(options: argparse.Namespace) -> int:
    from edge_agent import spool_commands
    from edge_agent.config import ConfigError

    try:
        config = _load(options, with_files=False)
    except ConfigError as exc:
        return _refuse(exc.problems, BAD_CONFIG)
    return spool_commands.run(options, config)


def _budget(options: argparse.Namespace) -> int:
    from edge_agent import budget_command
    from edge_agent.config import ConfigError

    try:
        config = _load(options, with_files=False)
    except ConfigError as exc:
        return _refuse(exc.problems, BAD_CONFIG)
    return budget_command.run(config, options.json, os.environ)


def _once(options: argparse.Namespace) -> int:
    import logging

    from edge_agent import measure
    from edge_agent.config import ConfigError

    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    try:
        config = _load(options, with_files=False)
    except ConfigError as exc:
        return _refuse(exc.problems, BAD_CONFIG)
    return measure.once(config, options.json)


def _probe(options: argparse.Namespace) -> int:
    import logging

    from edge_agent import measure
    from edge_agent.config import ConfigError

    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    try:
        return measure.probe(options)
    except ConfigError as exc:
        return _refuse(exc.problems, USAGE)


def _reflect(options: argparse.Namespace) -> int:
    import logging

    from edge_agent import reflect
    from edge_agent.config import ConfigError

    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    try:
        return reflect.reflect(options)
    except ConfigError as exc:
        return _refuse(exc.problems, USAGE)


def _decode(options: argparse.Namespace) -> int:
    from edge_agent.contract import ContractError, decode, describe

    try:
        data = sys.stdin.buffer.read() if options.file == "-" else Path(options.file).read_bytes()
        batch = decode(data)
    except ContractError as exc:
        return _refuse([f"{options.file}: {exc}"], BAD_DATA)
    except OSError as exc:
        return _refuse([f"{options.file}: {exc.strerror}"], NO_INPUT)
    print(json.dumps(describe(batch), indent=2))
    return OK


def _version(_options: argparse.Namespace) -> int:
    import platform
    from importlib.metadata import PackageNotFoundError, version

    from edge_agent.contract import VERSION

    try:
        release = version("linkpulse")
    except PackageNotFoundError:
        release = "unknown (not installed)"
    print(f"edge-agent {release}, wire contract {VERSION}, Python {platform.python_version()}")
    return OK


def _path(options: argparse.Namespace) -> Path:
    from edge_agent.config import DEFAULT_PATH
    from edge_agent.config_sources import CONFIG_VARIABLE

    return options.config or Path(os.environ.get(CONFIG_VARIABLE) or DEFAULT_PATH)


def _load(options: argparse.Namespace, with_files: bool = True) -> Config:
    from edge_agent.config_load import load

    return load(_path(options), os.environ, options.set, with_files=with_files)


def _refuse(problems: Sequence[str], status: int) -> int:
    for problem in problems:
        print(problem, file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
