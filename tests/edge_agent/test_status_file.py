"""The file of the status: what the agent writes comes back, and is believed while the agent runs."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from edge_agent.clock import ManualClock
from edge_agent.contract import KINDS, Flag, Outcome, Reading, not_measured, row
from edge_agent.status import Held, Seen, Status, StatusError, place, read, write
from edge_agent.status_command import is_alive, newest, places, presence
from tests.edge_agent.status_rig import STATUS


def test_a_status_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    write(path, STATUS)
    assert read(path) == STATUS
    write(path, replace(STATUS, is_stopped=True))
    assert read(path).is_stopped
    assert [each.name for each in tmp_path.iterdir()] == ["status.json"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_reading_of_any_kind_comes_back(kind: str, tmp_path: Path) -> None:
    largest = {column.name: column.maximum for column in KINDS[kind].columns}
    seen = (
        Seen(Reading("a", kind, 1, row(kind, **largest), Flag(7)), 1.0),
        Seen(not_measured("b", kind, 2, Outcome.OVER_BUDGET), 2.0),
    )
    write(tmp_path / "status", replace(STATUS, seen=seen))
    assert read(tmp_path / "status").seen == seen


def test_everybody_may_read_it_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write(tmp_path / "status.json", STATUS)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "status.json").stat().st_mode) == 0o644


def test_a_write_that_fails_leaves_the_former_status(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    write(path, STATUS)
    (tmp_path / ".status.json.new").mkdir()  # in the way
    with pytest.raises(OSError):
        write(path, replace(STATUS, gateway="other"))
    assert read(path) == STATUS


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "{}", '{"version": 1}', '{"version": 99}', "[" * 100_000, '"\\ud800"', "\xff"],
)
def test_what_is_no_status_is_refused_with_one_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(StatusError, match=r"status\.json"):
        read(path)


def test_a_field_that_is_missing_or_too_many_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    write(path, STATUS)
    whole = json.loads(path.read_text())
    for change in ({"spool": {"nonsense": 1}}, {"seen": [{"kind": "smell"}]}, {"delivery": 5}):
        path.write_text(json.dumps(whole | change))
        with pytest.raises(StatusError):
            read(path)


def test_it_lies_where_systemd_says_else_beside_the_spool() -> None:
    spool = Path("/data/spool")
    assert place({"RUNTIME_DIRECTORY": "/run/edge-agent"}, spool) == Path("/run/edge-agent/status.json")
    assert place({"RUNTIME_DIRECTORY": "/run/a:/run/b"}, spool) == Path("/run/a/status.json")
    assert place({}, spool) == Path("/data/spool.status.json")
    assert Path("/run/edge-agent/status.json") in places({}, None)


@pytest.mark.parametrize(
    ("status", "since_boot_s", "boot", "alive", "code", "words"),
    [
        (STATUS, 1005, "boot", True, None, "running for 2 h (process 4242)"),
        (STATUS, 1005, "boot", False, 69, "not running: it ended without a word, 5 s ago or less"),
        (
            STATUS,
            1300,
            "boot",
            True,
            1,
            "hangs, or its disk takes no status: process 4242 is there and has said nothing for 5 min",
        ),
        (STATUS, 1005, "later", False, 69, "not running: the machine was started anew since"),
        (replace(STATUS, is_stopped=True), 8200, "boot", True, 69, "not running: stopped 2 h ago"),
    ],
)
def test_a_status_is_only_believed_while_its_agent_is_there(
    status: Status, since_boot_s: float, boot: str, alive: bool, code: int | None, words: str
) -> None:
    clock = ManualClock(boot_id=boot, since_boot_s=since_boot_s)
    found = presence(status, clock, lambda pid: alive)
    assert found[0] == code
    assert found[1].startswith(words)


def test_a_process_that_is_gone_or_something_else_is_no_agent() -> None:
    assert not is_alive(2**22 + 1)
    assert not is_alive(1)


def test_of_two_agents_the_one_with_the_configured_spool_is_shown(tmp_path: Path) -> None:
    mine, other = tmp_path / "a", tmp_path / "b"
    write(mine, STATUS)
    write(other, replace(STATUS, gateway="other", spool=Held("/elsewhere"), written_ms=1 << 42))
    paths = [mine, other, tmp_path / "none"]
    found = newest(paths, Path("/var/lib/edge-agent/spool"))
    assert found is not None and found.gateway == "gw-1"
    newer = newest(paths, None)
    assert newer is not None and newer.gateway == "other"
    assert newest(paths, tmp_path) is None
