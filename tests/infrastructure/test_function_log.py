"""What is made of a function's output."""

from __future__ import annotations

from pathlib import Path

import pytest

from infrastructure.local.function.log import LogFile, count_metrics
from infrastructure.local.state import Counters


@pytest.mark.parametrize(
    "line",
    [
        b'{"_aws": 1}',
        b'{"_aws": {"CloudWatchMetrics": 5}}',
        b'{"_aws": {"CloudWatchMetrics": [1, {"Metrics": [2, {"Name": 3}]}]}}',
        b'{"_aws": {"CloudWatchMetrics": [{"Metrics": [{"Name": "A"}]}]}}',
        b'{"_aws": {"CloudWatchMetrics": [{"Metrics": [{"Name": "A"}]}]}, "A": "x"}',
        b'{"_aws": ',
        b'["_aws"]',
    ],
)
def test_lines_that_only_look_like_metrics_are_left_alone(line: bytes) -> None:
    """No output of a function can break the reader of its output."""
    counters = Counters()
    count_metrics(line, counters)
    assert counters.snapshot() == {}


def test_the_log_does_not_grow_beyond_twice_its_limit(tmp_path: Path) -> None:
    """The older half is kept under the name .1 and then replaced."""
    log = LogFile(tmp_path / "function.log", limit=1_000)
    for number in range(100):
        log.write(f"{number:099d}\n".encode())
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert sizes == {"function.log.1": 1_000}
    log.write(b"last\n")
    assert (tmp_path / "function.log").read_bytes() == b"last\n"
