"""Answering by hand what other gateways measure: the reflector in the foreground, with its counters."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from argparse import Namespace
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from edge_agent.config import ConfigError
from edge_agent.config_load import build
from edge_agent.config_sources import Given, Table
from edge_agent.contract import Outcome
from edge_agent.probes import ProbeError
from edge_agent.probes.shared_key import NoKeyFile, check_key_file
from edge_agent.reflector.listening import named
from edge_agent.reflector.reflector import Reflector
from edge_agent.reflector.settings import ReflectorSettings

OK, NO_INPUT, UNAVAILABLE, DENIED = 0, 66, 69, 77
"""Exit codes of sysexits.h."""
TELL_S = 1.0


def reflect(options: Namespace) -> int:
    """Answer until interrupted, then print what was answered; raises ConfigError for a wrong option."""
    settings = settings_of(options)
    try:
        check_key_file(settings.key_file)
        counters = asyncio.run(_serve(settings, tells=sys.stderr.isatty()))
    except ProbeError as exc:
        print(f"edge-agent reflect: {exc.message}", file=sys.stderr)
        return (
            NO_INPUT
            if isinstance(exc, NoKeyFile)
            else DENIED
            if exc.outcome is Outcome.DENIED
            else UNAVAILABLE
        )
    if options.json:
        print(json.dumps(counters, indent=2))
    else:
        print("\n".join(described(counters)))
    return OK


def settings_of(options: Namespace) -> ReflectorSettings:
    """The settings that the options describe; raises ConfigError naming the options that do not fit."""
    values = {
        "listen": options.listen,
        "port": options.port,
        "train_port": options.train_port,
        "allow": options.allow,
        "key_file": None if options.key_file is None else str(options.key_file),
        "bulk": options.bulk or None,
    }
    keys = {
        key: Given(value, f"--{key.replace('_', '-')}") for key, value in values.items() if value is not None
    }
    problems: list[str] = []
    table = Table("[reflector]", "edge-agent reflect", keys | {"enabled": Given(True, "")})
    settings = build(table, ReflectorSettings, Path.cwd(), problems)
    if settings is None:
        raise ConfigError(problems)
    return settings


async def _serve(settings: ReflectorSettings, tells: bool) -> Mapping[str, int]:
    """Answer until SIGINT or SIGTERM; returns the counters."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, stop.set)
    reflector = Reflector(settings)
    await reflector.start()
    try:
        print("\n".join(_promise(settings)), file=sys.stderr, flush=True)
        while not stop.is_set():
            if tells:
                _tell(reflector.counters)
            with suppress(TimeoutError):
                async with asyncio.timeout(TELL_S if tells else None):
                    await stop.wait()
        if tells:
            print(file=sys.stderr)
        return dict(reflector.counters)
    finally:
        reflector.close()


def _promise(settings: ReflectorSettings) -> list[str]:
    ports = [f"STAMP on UDP {settings.port}", f"trains on UDP {settings.train_port}"]
    if settings.bulk:
        ports.append(f"bulk transfers on TCP {settings.train_port}")
    mode = "with a valid signature" if settings.key_file else "of anybody there"
    return [
        f"answering on {named(settings.listen)}: {', '.join(ports)}; Ctrl-C ends it",
        f"packets {mode} in {', '.join(settings.allow)}",
    ]


def _tell(counters: Mapping[str, int]) -> None:
    """The counters that moved, on one line that is written over."""
    moved = ", ".join(f"{name} {count}" for name, count in counters.items() if count)
    print(f"\r\033[K{moved or 'nothing yet'}", end="", file=sys.stderr, flush=True)


def described(counters: Mapping[str, int]) -> list[str]:
    """The counters, a line each, the numbers in line."""
    width = max(map(len, counters), default=0)
    return [f"{name.ljust(width)}  {count}" for name, count in counters.items()]
