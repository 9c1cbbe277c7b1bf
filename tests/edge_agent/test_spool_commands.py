"""What a technician is told about the spool, while the agent has it open."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_agent.spool import FolderDisk, Spool
from edge_agent.spool_commands import export, status, verify
from tests.edge_agent.spool_model import NOW_MS, echo, spool_on

BOUND = 1 << 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def spool(folder: Path) -> Spool:
    spool = spool_on(FolderDisk(folder), BOUND)
    spool.append([echo(number) for number in range(200)])
    spool.seal(NOW_MS)
    spool.ack(0)
    spool.append([echo(number) for number in range(200, 230)])
    return spool


def test_status_says_what_waits_while_the_agent_runs(
    spool: Spool, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(FolderDisk(folder), "gw-1", BOUND) == 0
    lines = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    said = {name.strip(): value.strip() for name, value in lines.items()}
    assert said["waiting"] == "170 readings, 30 of them unsealed; sealed batches: 3"
    assert said["oldest"] == "2026-09-21 14:13:20 UTC"
    assert said["on disk"].endswith("of 1 MiB")
    assert (said["acknowledged"], said["dropped"]) == ("60 readings", "none")
    status(FolderDisk(folder), "gw-1", BOUND, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["held"], told["batches"], told["missing"]) == (170, 3, 0)
    assert told["bytes"] == spool.stats().bytes


def test_export_prints_each_reading_that_waits_once(
    spool: Spool, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(FolderDisk(folder), "gw-1", BOUND) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["sequence"] for each in lines] == list(range(60, 230))
    assert [each["sealed"] for each in lines] == [True] * 140 + [False] * 30
    assert lines[0]["at_ms"] == 1_790_000_000_060


def test_verify_lists_damage_with_its_place(
    spool: Spool, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify(FolderDisk(folder), "gw-1", BOUND) == 0
    assert capsys.readouterr().out.endswith("records are whole, 0 places are damaged\n")
    spool.close()
    (segment,) = folder.glob("batches-*")
    content = bytearray(segment.read_bytes())
    content[100] ^= 1
    segment.write_bytes(content)
    assert verify(FolderDisk(folder), "gw-1", BOUND, as_json=True) == 1
    told = json.loads(capsys.readouterr().out)
    (place,) = told["damage"]
    assert place["file"] == segment.name
    assert place["offset"] <= 100 < place["offset"] + place["bytes"]


def test_readings_of_a_file_that_is_gone_are_missing_and_do_not_wait(
    spool: Spool, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spool.close()
    for journal in folder.glob("journal-*"):
        journal.unlink()
    assert status(FolderDisk(folder), "gw-1", BOUND, as_json=True) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["held"], told["unsealed"], told["missing"]) == (140, 0, 30)
    assert verify(FolderDisk(folder), "gw-1", BOUND) == 1
    assert "30 readings are missing" in capsys.readouterr().out


def test_nothing_is_changed_by_looking(spool: Spool, folder: Path) -> None:
    before = {each.name: each.read_bytes() for each in folder.iterdir()}
    status(FolderDisk(folder), "gw-1", BOUND)
    export(FolderDisk(folder), "gw-1", BOUND)
    verify(FolderDisk(folder), "gw-1", BOUND)
    assert {each.name: each.read_bytes() for each in folder.iterdir()} == before
