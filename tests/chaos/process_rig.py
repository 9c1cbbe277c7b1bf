"""What a trial of the real agent needs: authority, broker, relay, collector, the process itself."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.chaos.collector import Collector
from tests.chaos.process_oracle import arrived, recorded
from tests.chaos.relay import Relay
from tests.chaos.table import Table
from tests.edge_agent.broker import RULE, Broker
from tests.edge_agent.certificates import Authority

ROOT = Path(__file__).parents[2]
LINKS = 3
PERIOD_S = 0.2
CUT_SHARE = 0.5
MIB = 2
FILE_SYSTEM = "size=3m"
SAID = "measures"
"""What the agent logs once it runs."""


class Rig:
    """All of it in one folder."""

    def __init__(self, folder: Path, rng: random.Random, is_small: bool, commit_s: float) -> None:
        """``is_small``: the spool lies on a file system of its own that can be filled."""
        self.folder = folder
        self.table = Table()
        self.records: list[Path] = []
        self._rng = rng
        self._is_small = is_small
        self._commit_s = commit_s
        self._disk = folder / "disk"
        self._log = folder / "agent.log"
        self._agent: subprocess.Popen[bytes] | None = None
        self._collector: Collector | None = None
        self._turn = asyncio.Lock()

    @property
    def spool(self) -> Path:
        """The spool's folder."""
        return self._disk / "spool"

    async def open(self) -> None:
        """Start all but the agent."""
        self._disk.mkdir()
        if self._is_small:
            subprocess.run(["mount", "-t", "tmpfs", "-o", FILE_SYSTEM, "tmpfs", self._disk], check=True)
        (self.folder / "broker").mkdir()
        self.authority = Authority(self.folder / "authority")
        self.observer = self.authority.issue("observer")
        self.broker = Broker(self.authority, self.folder / "broker")
        await self.ensure_broker()
        self.relay = Relay(self.broker.port, self._rng, CUT_SHARE)
        self._configure(await self.relay.start())

    async def close(self) -> None:
        """End all."""
        await self.end_agent(signal.SIGKILL)
        if self._collector is not None:
            self._collector.close()
        if hasattr(self, "relay"):
            await self.relay.close()
        if hasattr(self, "broker"):
            self.broker.kill()
        if self._is_small and self._disk.is_mount():
            subprocess.run(["umount", self._disk], check=True)

    async def ensure_broker(self) -> None:
        """A broker that runs, with the collector before any gateway."""
        async with self._turn:
            await self._start_broker()

    async def _start_broker(self) -> None:
        if self._collector is None:
            await asyncio.to_thread(self.broker.start)
            self._collector = await asyncio.to_thread(Collector, self.broker, self.observer, self.table)

    async def crash_broker(self) -> None:
        """Kill it and start it again, to the end even when cancelled."""
        await asyncio.shield(asyncio.ensure_future(self._crash_broker()))

    async def _crash_broker(self) -> None:
        """No gateway gets through before the collector listens again."""
        async with self._turn:
            self.relay.is_open = False
            self.broker.kill()
            if self._collector is not None:
                self._collector.close()
                self._collector = None
            self.relay.cut()
            await self._start_broker()
            self.relay.is_open = True

    async def start_agent(self, number: int, within_s: float) -> bool:
        """Start it and wait until it says that it runs; whether it does."""
        record = self.folder / f"record-{number}.jsonl"
        self.records.append(record)
        before = self._log.stat().st_size if self._log.exists() else 0
        with self._log.open("ab") as out:
            self._agent = subprocess.Popen(
                [sys.executable, "-m", "edge_agent", "run", "--config", self._config, "--record", record],
                cwd=ROOT,
                stdout=out,
                stderr=out,
                env={**os.environ, "RUNTIME_DIRECTORY": str(self.folder)},
            )
        for _ in range(int(within_s / 0.02)):
            if self._agent.poll() is not None:
                return False
            if SAID.encode() in self._log.read_bytes()[before:]:
                return True
            await asyncio.sleep(0.02)
        return False

    async def end_agent(self, number: signal.Signals) -> bool:
        """End it, while the relay goes on; whether that was a kill."""
        agent, self._agent = self._agent, None
        if agent is None:
            return False
        agent.send_signal(number)
        try:
            await asyncio.to_thread(agent.wait, 20)
        except subprocess.TimeoutExpired:
            agent.kill()
            agent.wait()
            return True
        return number is signal.SIGKILL

    def freeze_agent(self) -> None:
        """SIGSTOP."""
        if self._agent is not None:
            self._agent.send_signal(signal.SIGSTOP)

    def thaw_agent(self) -> None:
        """SIGCONT."""
        if self._agent is not None:
            self._agent.send_signal(signal.SIGCONT)

    def fill(self) -> None:
        """Leave no room on the spool's file system."""
        if self._is_small:
            with suppress(OSError), (self._disk / "filler").open("wb", buffering=0) as filler:
                while filler.write(bytes(4096)):
                    pass

    def make_room(self) -> None:
        """Give it back."""
        if self._is_small:
            (self._disk / "filler").unlink(missing_ok=True)

    def missing(self) -> int:
        """Readings that are recorded and have not arrived."""
        return (recorded(self.records) - arrived(self.table)).total()

    async def settled(self, within_s: float) -> bool:
        """Wait until what was recorded before the calm has arrived, or is told as missing."""
        wanted = recorded(self.records[:-1])
        for _ in range(int(within_s / 0.2)):
            lacking = (wanted - arrived(self.table)).total()
            told = sum(gap.count or 0 for gap in self.table.gaps())
            if lacking <= told:
                return True
            await asyncio.sleep(0.2)
        return False

    def last_words(self, count: int = 3) -> str:
        """The end of the agent's log."""
        lines: Sequence[str] = self._log.read_text().splitlines() if self._log.exists() else []
        return "\n".join(lines[-count:])

    def _configure(self, port: int) -> None:
        identity = self.authority.issue("gw-1")
        links = "".join(
            f'[[link]]\nid = "link-{number}"\nprobes = ["simulated"]\n' for number in range(LINKS)
        )
        self._config = self.folder / "agent.toml"
        self._config.write_text(
            f'[gateway]\nname = "gw-1"\n'
            f'[mqtt]\nendpoint = "localhost"\nport = {port}\nrule = "{RULE}"\nca = "{identity.ca}"\n'
            f'certificate = "{identity.certificate}"\nkey = "{identity.key}"\nkeepalive_s = 30\n'
            f'[spool]\npath = "{self.spool}"\nmax_mib = {MIB}\ncommit_s = {self._commit_s}\n'
            "[uplink]\nflush_s = 0.5\nbackoff_max_s = 1\nboot_delay_s = 0\n"
            "[clock]\nwait_s = 0\n"
            f"[probe.simulated]\nperiod_s = {PERIOD_S}\ntimeout_s = 0.1\n{links}"
        )
