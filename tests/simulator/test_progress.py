"""What is shown: figures with rates, a line now and then where there is no terminal, a status file."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from simulator.progress import Reporter, Snapshot, summary, write_status
from simulator.target import SimulatorError

NOW = Snapshot(1200, 1200, 1000, 50, 49)


class FakeClock:
    """Seconds that only the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_without_a_terminal_a_line_is_said_each_ten_seconds() -> None:
    said, clock = io.StringIO(), FakeClock()
    with Reporter(Console(file=said, width=200), None, 2000, clock) as reporter:
        for second in range(21):
            clock.now = 100.0 + second
            reporter.show(Snapshot(second * 60, second * 60, second * 50, 50, 50))
    assert [line.split() for line in said.getvalue().splitlines()] == [
        ["10", "s", "generated", "600", "(60/s)", "acknowledged", "500", "(50/s)"],
        ["20", "s", "generated", "1,200", "(60/s)", "acknowledged", "1,000", "(50/s)"],
    ]


def test_on_a_terminal_there_is_a_bar() -> None:
    said = io.StringIO()
    with Reporter(Console(file=said, width=120, force_terminal=True), None, 2000) as reporter:
        reporter.show(NOW)
    assert "generated 1,200" in said.getvalue()
    assert "━" in said.getvalue()


def test_the_status_file_is_the_last_snapshot(tmp_path: Path) -> None:
    path = tmp_path / "state" / "fleet.json"
    write_status(path, NOW)
    assert json.loads(path.read_text()) == {
        "generated": 1200,
        "accepted": 1200,
        "acknowledged": 1000,
        "gateways": 50,
        "connected": 49,
    }
    assert [each.name for each in path.parent.iterdir()] == ["fleet.json"]


def test_a_status_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SimulatorError, match="file"):
        write_status(tmp_path / "file" / "fleet.json", NOW)


def test_the_summary_is_json_or_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    said = io.StringIO()
    summary(NOW, 10.0, Path("t.jsonl"), True, Console(file=said))
    form = json.loads(capsys.readouterr().out)
    assert (form["acknowledged"], form["seconds"], form["truth"]) == (1000, 10.0, "t.jsonl")
    summary(NOW, 10.0, Path("t.jsonl"), False, Console(file=said, width=120))
    assert "1,200" in said.getvalue()
    assert "t.jsonl" in said.getvalue()
