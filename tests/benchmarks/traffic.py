"""Bytes on the wire for each reading: counters of a veth between the agent's namespace and the broker's.

Ten links at ten times the default pace, so that a batch has the 60 readings of the default minute but comes
every 6 s. IP level: IP and TCP headers, TLS, MQTT, acknowledgements and keep-alives, both directions.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from edge_agent.contract import decode
from tests.benchmarks.gateway import config, installed, start_agent, start_plain, until_delivered
from tests.benchmarks.paired import Row, not_measured
from tests.benchmarks.site import Site, obstacle

MOST_B = 35.0
LINKS = 10
PERIOD_S = 1.0
FLUSH_S = 6.0
READINGS = 60
"""In a batch of the default minute."""
FLUSHES = 12
QUIET_S = 1.0
PUBLISHERS = ("paho", "awsiotsdk")
PEER = "script, JSON each"
SETTINGS = (
    f"commit_s = 1\n[uplink]\nflush_s = {FLUSH_S}\nboot_delay_s = 0\n"
    f"[probe.simulated]\nperiod_s = {PERIOD_S}\ntimeout_s = 0.2\n"
)


@dataclass(frozen=True)
class Carried:
    """What one gateway's wire has carried, bytes."""

    handshake: float
    """Of the connection: TCP, TLS, CONNECT."""
    per_reading: float
    readings_per_batch: float

    @property
    def hour(self) -> float:
        """Bytes a reading over an hour at the default pace, the handshake of one connection included.

        A batch a minute is more often than keepalive_s: there are no pings.
        """
        return self.per_reading + self.handshake / (60 * READINGS)


def rows() -> list[Row]:
    """Bytes a reading in steady state, and over an hour with the handshake, for each publisher."""
    if why := obstacle():
        return [not_measured(f"bytes on the wire, {name}", why) for name in PUBLISHERS]
    with installed() as environment, ExitStack() as held:
        sites = {name: held.enter_context(Site()) for name in (*PUBLISHERS, "plain")}
        started = {name: _start(name, site, environment) for name, site in sites.items()}
        for name, site in sites.items():
            until_delivered(site, started[name])
        time.sleep(QUIET_S)
        first = {name: _seen(site) for name, site in sites.items()}
        time.sleep(FLUSHES * FLUSH_S)
        last = {name: _after_a_batch(site, started[name]) for name, site in sites.items()}
        carried = {name: _carried(first[name], last[name], name == "plain") for name in sites}
    return [row for name in PUBLISHERS for row in _rows(name, carried[name], carried["plain"])]


def _rows(name: str, ours: Carried, peer: Carried) -> list[Row]:
    what = f"wire, {ours.readings_per_batch:.0f} a batch, {name}"
    return [
        Row(what, "B/reading", ours.per_reading, peer.per_reading, PEER, most=MOST_B),
        Row("... an hour, its handshake too", "B/reading", ours.hour, peer.hour, PEER, most=MOST_B),
        Row("... that handshake", "B", ours.handshake, peer.handshake, PEER),
    ]


def _start(name: str, site: Site, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    if name == "plain":
        return start_plain(site, environment, f"--links={LINKS}", f"--period={PERIOD_S}", "--invent")
    settings = config(site, name, links=LINKS, probe="simulated", extra=SETTINGS)
    return start_agent(site, settings, environment)


@dataclass(frozen=True)
class Seen:
    """What has crossed the wire so far, bytes, and the messages in it."""

    crossed: int
    messages: list[bytes]


def _seen(site: Site) -> Seen:
    return Seen(sum(site.crossed()), [payload for _, payload in site.messages()])


def _after_a_batch(site: Site, process: subprocess.Popen[bytes]) -> Seen:
    """Looked at between two batches, when nothing is under way."""
    until_delivered(site, process, site.arrived() + 1)
    time.sleep(QUIET_S)
    return _seen(site)


def _carried(first: Seen, last: Seen, plain: bool) -> Carried:
    between = last.messages[len(first.messages) :]
    readings = len(between) if plain else sum(map(_readings, between))
    crossed = last.crossed - first.crossed
    before = len(first.messages) * crossed / len(between)
    return Carried(first.crossed - before, crossed / readings, readings / len(between))


def _readings(payload: bytes) -> int:
    return len(decode(payload).readings)
