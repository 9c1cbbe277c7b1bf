"""`edge-agent status`: how the agent on this machine is, from what it writes every ten seconds."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from edge_agent import status as file
from edge_agent.clock import Clock, SystemClock
from edge_agent.contract.texts import duration_text
from edge_agent.display import Palette
from edge_agent.status import Status, StatusError
from edge_agent.status_view import view

HEALTHY, UNHEALTHY, NOT_RUNNING = 0, 1, 69
STALE_S = 60.0
"""Without a word for so long, an agent does not do its work."""
SERVICE = Path("/run/edge-agent") / file.NAME
"""Where the service writes it (systemd/edge-agent.service, RuntimeDirectory)."""

IsAlive = Callable[[int], bool]


def is_alive(pid: int) -> bool:
    """Whether a process of this number is there and, as far as it can be seen, is an agent."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    with suppress(OSError):
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        return not command or b"edge_agent" in command or b"edge-agent" in command
    return True


def presence(status: Status, clock: Clock, is_alive: IsAlive) -> tuple[int | None, str]:
    """Whether the agent runs: an exit status unless it does and works, and how to say it."""
    ago_s = clock.monotonic() - status.since_boot_s
    # In a container a service may see another boot id than its users: a process that is there says more.
    if status.boot != clock.boot_id() and not is_alive(status.pid):
        return NOT_RUNNING, "not running: the machine was started anew since it last said something"
    if status.is_stopped:
        return NOT_RUNNING, f"not running: stopped {duration_text(ago_s)} ago"
    if not is_alive(status.pid):
        return NOT_RUNNING, f"not running: it ended without a word, {duration_text(ago_s)} ago or less"
    if ago_s > STALE_S:
        return (
            UNHEALTHY,
            f"hangs, or its disk takes no status: process {status.pid} is there and has said nothing "
            f"for {duration_text(ago_s)}",
        )
    return None, f"running for {duration_text(status.uptime_s + ago_s)} (process {status.pid})"


def places(environment: Mapping[str, str], spool: Path | None) -> list[Path]:
    """Where a status may lie, the likeliest first."""
    beside = [] if spool is None else [file.place(environment, spool), file.place({}, spool)]
    return list(dict.fromkeys([*beside, SERVICE]))


def newest(paths: Iterable[Path], spool: Path | None) -> Status | None:
    """The status written last of the agent with this spool; raises StatusError when none can be read."""
    found, unread = [], []
    for path in paths:
        with suppress(FileNotFoundError):
            try:
                found.append(file.read(path))
            except StatusError as exc:
                unread.append(exc)
    mine = [each for each in found if spool is None or each.spool.path == str(spool)]
    if unread and not mine:
        raise unread[0]
    return max(mine, key=lambda each: each.written_ms, default=None)


def run(spool: Path | None, as_json: bool, environment: Mapping[str, str]) -> int:
    """Print the status; 0 healthy, 1 unhealthy, 69 not running."""
    paths = places(environment, spool)
    try:
        status = newest(paths, spool)
    except StatusError as exc:
        print(f"edge-agent: {exc}", file=sys.stderr)
        print(
            "  an agent that runs writes a new one within 10 s: `systemctl status edge-agent`",
            file=sys.stderr,
        )
        return NOT_RUNNING
    if status is None:
        tried = ", ".join(map(str, paths))
        print(f"the agent is not running: there is no status in {tried}; start it with:", file=sys.stderr)
        print("  systemctl start edge-agent", file=sys.stderr)
        return NOT_RUNNING
    unwell, words = presence(status, SystemClock(), is_alive)
    code = unwell if unwell is not None else UNHEALTHY if status.problems else HEALTHY
    if as_json:
        said = {"running": unwell is None, "healthy": code == HEALTHY, "presence": words}
        print(json.dumps(said | file.describe(status), indent=2))
        return code
    print("\n".join(view(status, words, unwell is None, Palette(sys.stdout, environment))))
    if unwell is not None:
        written = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(status.written_ms / 1000))
        print(f"\nthis is how it was at {written}")
    return code
