"""A cold start of the ingest function, from the package as it is shipped: imports and the first client."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from infrastructure import package
from tests.benchmarks.paired import Row

REPEATS = 9
MOST_TIMES_PEER = 1.25
_OURS = "from cloud.ingest import pipeline; pipeline()"
_POWERTOOLS = (
    f"{_OURS}; from aws_lambda_powertools import Logger, Metrics; "
    "Logger(service='bench'); Metrics(namespace='bench', service='bench')"
)
_PEER = 'import boto3; boto3.client("dynamodb")'
_TIMED = """
import time
before = time.process_time()
{}
print(time.process_time() - before)
"""
_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "bench",
    "AWS_SECRET_ACCESS_KEY": "bench",
    "AWS_DEFAULT_REGION": "eu-central-1",
    # A function's files cannot be written: what is not compiled is compiled at each cold start.
    "PYTHONDONTWRITEBYTECODE": "1",
    "STAGE": "bench",
    "ALLOW_DIRECT": "false",
    "RETENTION_DAYS": "30",
    **{f"{name}_TABLE": name for name in ("READINGS", "LATEST", "REGISTRY", "QUARANTINE")},
}


def rows() -> list[Row]:
    """Milliseconds of CPU time in a fresh process, ours and the peer's in turn, medians.

    The second row is what ours would take if Powertools wrote its logs and metrics: why it does not.
    """
    taken: dict[str, list[float]] = {_OURS: [], _POWERTOOLS: [], _PEER: []}
    with TemporaryDirectory() as folder:
        shipped = package.build(Path(folder)).folder
        for _ in range(REPEATS + 1):
            for code, times in taken.items():
                times.append(_start_ms(code, shipped))
    ours, with_powertools, peer = (statistics.median(times[1:]) for times in taken.values())
    name = "import boto3, a client"
    return [
        Row("ingest, cold start", "ms", ours, peer, name, at_most=MOST_TIMES_PEER),
        Row("... with Powertools", "ms", with_powertools, peer, name),
    ]


def _start_ms(code: str, folder: Path) -> float:
    environment = {**os.environ, **_ENVIRONMENT, "PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", _TIMED.format(code)],
        cwd=folder,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return float(done.stdout) * 1000
