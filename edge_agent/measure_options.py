"""What the command line says of one probe by hand: the link that it measures, and its settings."""

from __future__ import annotations

import math
import re
from argparse import Namespace
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from edge_agent.config import GATEWAY_LINK, ConfigError, LinkSettings
from edge_agent.config_links import NEEDS
from edge_agent.config_load import build
from edge_agent.config_sources import Given, Table
from edge_agent.probes import SETTINGS, Settings
from edge_agent.probes.binding import ProbedLink

NAMES = {"icmp": "echo", "tcp": "connect", "train": "capacity"} | {name: name for name in SETTINGS}
"""What a user may call a probe, and its name."""
WAIT_S = 2.0
"""How long an answer is waited for, unless --timeout says another."""
WAITING = {"echo": 0.9, "stamp": 0.75, "connect": 0.9, "dns": 0.9}
"""Probes whose --timeout is that of one answer, and the part of a round's timeout that they use."""
COUNTS = {"path": "attempts", "capacity": "packets"}
"""What --count sets, where that is not ``count``."""
WAY = ("interface", "vlan", "source", "mark", "next_hop")
"""Options that say which way packets take."""
_SENDING = {"echo": 0.79, "stamp": 0.64, "connect": 0.49, "dns": 0.49}
"""The part of it that they may send in."""
_SPACINGS_S = {"connect": 0.1, "dns": 0.1}
"""Between requests, where it is no setting."""


def link_of(name: str, options: Namespace) -> ProbedLink:
    """The link that the options describe; raises ConfigError when one does not fit."""
    by_interface = NEEDS.get(name) == "interface" and name != "load"
    wanted = options.target or (options.interface if by_interface else "")
    problems = list(_misplaced(name, options, by_interface))
    if problems:
        raise ConfigError(problems)
    if name == "host":
        return ProbedLink(GATEWAY_LINK)
    values = {
        "interface": wanted if by_interface else options.interface,
        "target": "" if by_interface else wanted,
        "next_hop": options.next_hop,
        "source": options.source,
        "vlan": options.vlan,
        "mark": options.mark,
    }
    given = {key: Given(value, f"--{key.replace('_', '-')}") for key, value in values.items() if value}
    fixed = {"id": Given("x", ""), "probes": Given([name], "")}
    link = build(Table("edge-agent probe", "", fixed | given), LinkSettings, Path.cwd(), problems)
    if link is None or problems:
        raise ConfigError(problems)
    probed = link.probed
    return ProbedLink(wanted, *(getattr(probed, each.name) for each in fields(probed)[1:]))


def _misplaced(name: str, options: Namespace, by_interface: bool) -> Iterator[str]:
    """What target and way of packets lack or have too much, and a target that is none."""
    command, wanted, interface = f"edge-agent probe {options.kind}", options.target, options.interface
    if name == "host":
        if wanted or any(getattr(options, each) for each in WAY):
            yield f"{command}: measures this machine: it takes no TARGET and no way of packets"
        return
    if not (wanted or (by_interface and interface)):
        yield f"{command}: TARGET is missing"
    elif by_interface:
        if wanted and interface and wanted != interface:
            yield f"{command}: TARGET and --interface are two interfaces: give one"
        return
    elif not wanted.isprintable():
        yield f"{command}: TARGET is {wanted!a}, which has bytes that no name has"
    elif "/" in wanted or re.fullmatch(r"[^:]*:[0-9]+|\[.*", wanted):
        path = " and --set path=/..." if name == "http" else ""
        yield f"{command}: TARGET is {wanted!r}, not a host: give its name or address, and --port{path}"
    if name == "load" and not interface:
        yield f"{command}: --interface is missing: whose traffic is the load?"
    elif options.vlan and not interface:
        yield f"{command}: --interface is missing: whose VLAN is {options.vlan}?"


def settings_of(name: str, options: Namespace) -> Settings:
    """Settings for one round by hand; raises ConfigError when one of them does not fit."""
    table = Table(f"[probe.{name}]", "edge-agent probe", dict(_given(name, options)))
    problems: list[str] = []
    for text in options.set:
        key, separator, value = text.partition("=")
        if separator:
            table.keys[key.strip()] = Given(value, f"--set {key.strip()}", is_text=True)
        else:
            problems.append(f"--set {text}: not KEY=VALUE")
    settings = build(table, SETTINGS[name], Path.cwd(), problems)
    if settings is None or problems:
        raise ConfigError(problems)
    return settings


def _given(name: str, options: Namespace) -> Iterator[tuple[str, Given]]:
    """The settings that options give, by the names that this probe has for them."""
    defaults: dict[str, Any] = {each.name: each.default for each in fields(SETTINGS[name])}
    if options.count is not None and name != "load":
        yield COUNTS.get(name, "count"), Given(options.count, "--count")
    if options.port is not None:
        yield "port", Given(options.port, "--port")
    if options.name is not None:
        yield "name", Given(options.name, "--name")
    if options.key_file is not None:
        yield "key_file", Given(str(options.key_file), "--key-file")
    if options.interval is not None and "spacing_ms" in defaults:
        yield "spacing_ms", Given(max(round(options.interval * 1000), 1), "--interval")
    whole_s = _whole_s(name, options, defaults)
    if whole_s is not None:
        yield "timeout_s", Given(whole_s, "--timeout")
        yield "period_s", Given(max(whole_s, 0.2, defaults["period_s"]), "--timeout")


def _whole_s(name: str, options: Namespace, defaults: Mapping[str, Any]) -> float | None:
    """The time of a whole round, s; None for the probe's own."""
    if name not in WAITING:
        return None if options.timeout is None else float(options.timeout)
    count: int = options.count if options.count is not None else defaults["count"]
    spacing_s: float = _SPACINGS_S.get(name) or options.interval or defaults["spacing_ms"] / 1000
    sending_s = max(count - 1, 0) * spacing_s
    wait_s: float = WAIT_S if options.timeout is None else options.timeout
    needed = max((sending_s + wait_s) / WAITING[name], (sending_s + spacing_s) / _SENDING[name], 0.2)
    return math.ceil(needed * 1000) / 1000
