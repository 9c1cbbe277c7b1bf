"""An engine with streams and buckets alone, for the mapping, and a stream in it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from infrastructure.local.mapping.mapping import EventSourceMapping, MappingSettings
from infrastructure.local.mapping.retry import Backoff
from infrastructure.local.process import free_port, tethered
from infrastructure.local.state import Counters

PATIENCE_S = 60.0
BUCKET = "dead-letters"
FUNCTION_ARN = "arn:aws:lambda:us-east-1:000000000000:function:ingest"


def until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not reached():
        assert time.monotonic() < deadline, "not reached"
        time.sleep(0.02)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/_ministack/health", timeout=1):
            return True
    except (urllib.error.URLError, OSError):
        return False


@contextmanager
def started(folder: Path) -> Iterator[str]:
    """The URL of an engine that keeps to this folder."""
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "SERVICES": "kinesis,s3",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "LOG_LEVEL": "ERROR",
        "DOCKER_HOST": f"unix://{folder}/none.sock",
    }
    command = tethered([sys.executable, "-m", "ministack"])
    with (folder / "log").open("wb") as log:
        engine = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    until(lambda: _answers(url))
    yield url
    engine.send_signal(signal.SIGTERM)
    engine.wait(PATIENCE_S)


class Cloud:
    """Clients of the engine, and a stream of this test alone."""

    def __init__(self, endpoint: str, shards: int = 1) -> None:
        session = boto3.Session("local", "local", region_name="us-east-1")
        config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
        self.kinesis = session.client("kinesis", endpoint_url=endpoint, config=config)
        self.s3 = session.client("s3", endpoint_url=endpoint, config=config)
        self.stream = f"readings-{uuid.uuid4().hex[:8]}"
        self.kinesis.create_stream(StreamName=self.stream, ShardCount=shards)
        until(lambda: self.summary()["StreamStatus"] == "ACTIVE")
        self.s3.create_bucket(Bucket=BUCKET)
        self.counters = Counters()

    def summary(self) -> dict[str, Any]:
        answer = self.kinesis.describe_stream_summary(StreamName=self.stream)
        return dict(answer["StreamDescriptionSummary"])

    def settings(self, **changes: Any) -> MappingSettings:
        values: dict[str, Any] = {
            "stream_arn": self.summary()["StreamARN"],
            "function_arn": FUNCTION_ARN,
            "uuid": str(uuid.uuid4()),
            "batch_size": 20,
            "report_batch_item_failures": True,
            "bisect": True,
            "maximum_retry_attempts": 1,
            "on_failure_bucket": BUCKET,
        }
        return MappingSettings(**values | changes)

    def mapping(self, settings: MappingSettings, function: Any) -> EventSourceMapping:
        return EventSourceMapping(
            self.kinesis, self.s3, settings, function, self.counters, backoff=Backoff(0.01, 0.05)
        )

    def put(self, *texts: str) -> None:
        records: list[Any] = [{"Data": text.encode(), "PartitionKey": text} for text in texts]
        self.kinesis.put_records(StreamName=self.stream, Records=records)

    def count(self, name: str) -> int:
        return self.counters.snapshot().get(name, 0)
