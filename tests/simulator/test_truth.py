"""The truth: one line for each accepted reading, in the words of the wire contract."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_agent.contract import describe_reading
from simulator.target import SimulatorError
from simulator.truth import Truth
from simulator.world import build


def test_each_reading_is_a_line_with_its_gateway(tmp_path: Path) -> None:
    gateway = build(1, 2, 3).gateways[0]
    readings = gateway.readings(1_790_000_000_000, None)
    path = tmp_path / "truth" / "run.jsonl"
    with Truth(path) as truth:
        truth.add(gateway.name, readings[:2])
        truth.add(gateway.name, readings[2:])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines == [{"gateway": gateway.name, **describe_reading(reading)} for reading in readings]


def test_a_file_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SimulatorError, match=r"file/run\.jsonl"):
        Truth(tmp_path / "file" / "run.jsonl")


def test_a_full_disk_is_an_error_of_the_run() -> None:
    gateway = build(1, 2, 3).gateways[0]
    with pytest.raises(SimulatorError, match="No space left"), Truth(Path("/dev/full")) as truth:
        truth.add(gateway.name, gateway.readings(1_790_000_000_000, None))
