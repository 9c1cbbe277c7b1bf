"""Trials of the real agent: a process, a real folder, TLS, a real broker behind a relay that cuts."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

from edge_agent.contract import Loss
from tests.chaos.damage import flip_in_folder
from tests.chaos.oracle import Verdict
from tests.chaos.process_oracle import judge_process, recorded
from tests.chaos.process_rig import LINKS, PERIOD_S, Rig

LIVES = 3
LIFE_S = (1.2, 3.5)
SETTLE_S = 40.0
COMMIT_S = 0.2
MOSQUITTO_PATH = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/sbin"
START_S = 20.0

log = logging.getLogger(__name__)

Event = Callable[[Rig, random.Random], Coroutine[Any, Any, None]]


async def _nothing(rig: Rig, rng: random.Random) -> None:
    """Only the relay cuts."""


async def _cuts(rig: Rig, rng: random.Random) -> None:
    """Connections break all the time, now and then the broker crashes."""
    while True:
        await asyncio.sleep(rng.uniform(0.1, 0.8))
        if rng.random() < 0.3:
            await rig.crash_broker()
        rig.relay.cut()


async def _pauses(rig: Rig, rng: random.Random) -> None:
    """The process is stopped and goes on, the broker too."""
    while True:
        await asyncio.sleep(rng.uniform(0.05, 0.5))
        for stopped in rng.sample([rig.freeze_agent, rig.broker.freeze], k=rng.choice((1, 1, 2))):
            stopped()
        await asyncio.sleep(rng.uniform(0.05, 0.7))
        rig.broker.thaw()
        rig.thaw_agent()


async def _filled(rig: Rig, rng: random.Random) -> None:
    """The file system is full, has room again, is full."""
    while True:
        await asyncio.sleep(rng.uniform(0.1, 0.5))
        rig.fill()
        await asyncio.sleep(rng.uniform(0.2, 0.8))
        rig.make_room()


PROCESS_KINDS: dict[str, Event] = {
    "agent: kill -9": _nothing,
    "agent: network": _cuts,
    "agent: pauses": _pauses,
    "agent: bit flips": _nothing,
    "agent: disk full": _filled,
}
"""Each kind of fault of the real process, with what happens while it runs."""


def unavailable(kind: str) -> str:
    """Why trials of this kind cannot run here; empty when they can."""
    if shutil.which("mosquitto", path=MOSQUITTO_PATH) is None:
        return "mosquitto is not installed"
    if kind == "agent: disk full" and not _can_mount():
        return "a small file system needs root and the right to mount"
    return ""


def _can_mount() -> bool:
    if os.geteuid() or shutil.which("mount") is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True
        )
        if done.returncode == 0:
            subprocess.run(["umount", folder], check=True)
        return done.returncode == 0


def run_process_trial(kind: str, rng: random.Random) -> Verdict:
    """Run it in a folder of its own, and judge."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        return asyncio.run(_trial(kind, rng, Path(folder)))


async def _trial(kind: str, rng: random.Random, folder: Path) -> Verdict:
    problems: list[str] = []
    rig = Rig(folder, rng, is_small=kind == "agent: disk full", commit_s=COMMIT_S)
    kills = may_lose = refusals = 0
    try:
        await rig.open()
        for number in range(LIVES):
            refusals += not await rig.start_agent(number, START_S)
            await _live(rig, PROCESS_KINDS[kind], rng)
            kills += await rig.end_agent(rng.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM)))
            if kind == "agent: bit flips":
                may_lose += flip_in_folder(rig.spool, rng)
        rig.relay.is_calm = True
        refusals += not await rig.start_agent(LIVES, START_S)
        if not await rig.settled(SETTLE_S):
            problems.append(
                f"not all has arrived within {SETTLE_S:.0f} s of calm: {rig.missing()} are missing"
            )
        await rig.end_agent(signal.SIGTERM)
    finally:
        await rig.close()
    truth = recorded(rig.records)
    # What one commit holds, and what the record's last line was.
    in_doubt = kills * LINKS * (int(COMMIT_S / PERIOD_S) + 20)
    allowed = frozenset({Loss.DAMAGED}) if kind == "agent: bit flips" else frozenset[Loss]()
    if kind == "agent: disk full":
        allowed = frozenset({Loss.FULL, Loss.MEMORY})
    verdict = judge_process(
        truth, rig.table, allowed, in_doubt, may_lose if Loss.FULL not in allowed else None
    )
    verdict.refusals = refusals
    if refusals:
        problems.append(f"{refusals} starts failed: {rig.last_words()}")
    verdict.violations.extend(problems)
    if verdict.violations:
        log.error("the agent said:\n%s", rig.last_words(60))
    return verdict


async def _live(rig: Rig, event: Event, rng: random.Random) -> None:
    happening = asyncio.ensure_future(event(rig, rng))
    await asyncio.sleep(rng.uniform(*LIFE_S))
    happening.cancel()
    with suppress(asyncio.CancelledError):
        await happening
    await rig.ensure_broker()
    rig.broker.thaw()
    rig.thaw_agent()
    rig.make_room()
