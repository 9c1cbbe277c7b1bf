"""The discovery child as a process: bounded, killed with its round, and without scapy in the agent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_agent.contract import Outcome
from edge_agent.discovery.messages import ChildError, NeighbourRequest, read_hops, write_error
from edge_agent.probes.discovery_child import MAX_SAID, ask, understood
from edge_agent.probes.probe import ProbeError

REQUEST = NeighbourRequest("lo", 0, (), "", 1, -1, -1, -1)


def child(code: str) -> bytes:
    return asyncio.run(ask("neighbours", REQUEST, (), (sys.executable, "-c", code)))


def test_the_child_gets_the_request_and_its_words_come_back() -> None:
    said = child("import sys; print(*sys.argv[1:])").decode()
    what, request = said.split(" ", 1)
    assert what == "neighbours"
    assert json.loads(request)["device"] == "lo"


def test_a_child_that_fails_is_named_with_its_last_words() -> None:
    with pytest.raises(ProbeError, match="the discovery child failed: SomeError: no luck") as caught:
        child("import sys; print('SomeError: no luck', file=sys.stderr); sys.exit(1)")
    assert caught.value.outcome is Outcome.FAILED


def test_a_child_that_says_too_much_is_ended() -> None:
    with pytest.raises(ProbeError, match=f"more than {MAX_SAID} B"):
        child("while True: print('x' * 10_000)")


def test_a_child_that_cannot_be_started_is_an_error() -> None:
    with pytest.raises(ProbeError, match="cannot start the child"):
        asyncio.run(ask("path", REQUEST, (), ("/nowhere/python",)))


def gone(pid: int) -> bool:
    return not Path("/proc", str(pid)).exists()


def test_a_round_that_is_cancelled_leaves_no_child(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    code = f"import os,time; open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(60)"

    async def cancelled() -> int:
        running = asyncio.create_task(ask("path", REQUEST, (), (sys.executable, "-c", code)))
        until = time.monotonic() + 20
        while not (note.exists() and note.read_text()) and time.monotonic() < until:
            await asyncio.sleep(0.01)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        assert running.cancelled()
        return int(note.read_text())

    assert gone(asyncio.run(cancelled()))


def test_what_the_child_reports_is_the_outcome_of_the_round() -> None:
    for code, outcome in ((1, Outcome.DENIED), (19, Outcome.NO_INTERFACE), (0, Outcome.FAILED)):
        with pytest.raises(ProbeError) as caught:
            understood(write_error(ChildError("look for the path", code)).encode(), read_hops)
        assert caught.value.outcome is outcome


def test_what_cannot_be_read_fails_the_round_with_a_message() -> None:
    with pytest.raises(ProbeError, match="is not understood") as caught:
        understood(b"{}", read_hops)
    assert caught.value.outcome is Outcome.FAILED


def test_the_agents_side_and_the_listening_child_load_no_scapy() -> None:
    modules = "edge_agent.probes.path, edge_agent.probes.neighbour, edge_agent.discovery.__main__"
    code = f"import {modules}, sys; print('scapy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "False\n", done.stderr


def test_the_child_itself_loads_none_of_the_probes() -> None:
    """It would pay for all of them in memory."""
    code = "import edge_agent.discovery.__main__, sys; print('edge_agent.probes' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "False\n", done.stderr


def test_without_scapy_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "scapy.py").write_text("raise ImportError('not here')\n")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from edge_agent.discovery.__main__ import main"
    )
    request = '{"source":"127.0.0.1","target":"127.0.0.1","scope":0,"source_port":1,"port":1,"hops":1}'
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; main()", "path", request.replace("}", _REST)],
        capture_output=True,
        text=True,
    )
    with pytest.raises(ProbeError, match="pip install 'linkpulse"):
        understood(done.stdout.encode(), read_hops)


_REST = ',"attempts":1,"spacing_s":1,"wait_s":1,"sending":0,"receiving":0}'
