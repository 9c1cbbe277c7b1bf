"""Files: batches that decode to what was generated, and nothing overwritten."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_agent.contract import decode
from simulator.__main__ import main

RUN = ["run", "--sink", "file", "--gateways", "3", "--links", "2", "--duration", "30", "--seed", "4"]
START = ["--start", "2026-11-22T12:00:00Z"]


def generated(record: Path) -> set[str]:
    return {json.dumps(json.loads(line), sort_keys=True) for line in record.read_text().splitlines()}


def test_a_folder_holds_packed_batches_with_all_that_was_generated(tmp_path: Path) -> None:
    out, record = tmp_path / "out", tmp_path / "truth.jsonl"
    assert main([*RUN, "--output", str(out), "--record", str(record)]) == 0
    batches = [decode(path.read_bytes()) for path in out.iterdir()]
    assert {path.name.rpartition("-")[0] for path in out.iterdir()} == {"gw-0001", "gw-0002", "gw-0003"}
    assert sum(len(batch.readings) for batch in batches) == len(generated(record)) == 3 * 3 * 3


def test_json_lines_hold_the_same_readings_as_the_truth(tmp_path: Path) -> None:
    out, record = tmp_path / "out.jsonl", tmp_path / "truth.jsonl"
    assert main([*RUN, "--output", str(out), "--record", str(record)]) == 0
    written = {
        json.dumps({"gateway": batch["gateway"], **reading}, sort_keys=True)
        for batch in map(json.loads, out.read_text().splitlines())
        for reading in batch["readings"]
    }
    assert written == generated(record)
    assert all(decode(line.encode()).gateway for line in out.read_text().splitlines())


def test_the_same_seed_and_start_give_the_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    contents = []
    for name, seed in (("a", "4"), ("b", "4"), ("c", "5")):
        out = tmp_path / f"{name}.jsonl"
        assert main([*RUN, *START, "--seed", seed, "--output", str(out)]) == 0
        contents.append(out.read_bytes())
    assert contents[0] == contents[1] != contents[2]


def test_a_run_of_now_ends_now(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    assert main([*RUN, "--output", str(out)]) == 0
    batch = json.loads(out.read_text().splitlines()[-1])
    assert abs(batch["sealed_ms"] - out.stat().st_mtime * 1000) < 60_000


def test_a_folder_that_is_not_empty_stays_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert main([*RUN, "--output", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"fleet-simulator: {tmp_path} is not empty: name another folder\n"
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_file_that_exists_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text("mine")
    assert main([*RUN, "--output", str(out)]) == 2
    assert capsys.readouterr().err == f"fleet-simulator: {out}: File exists\n"
    assert out.read_text() == "mine"


def test_a_path_that_cannot_be_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main([*RUN, "--output", str(tmp_path / "file" / "out")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
