"""The mapping against a real engine (ministack) on a free port, and its settings.

A page named in brackets is https://docs.aws.amazon.com/lambda/latest/dg/<name>.html.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from infrastructure.local.function.runtime import LambdaRuntime
from infrastructure.local.mapping.mapping import EventSourceMapping, MappingError, MappingSettings
from infrastructure.local.mapping.retry import Backoff
from infrastructure.local.mapping.stream import KinesisShard, Record, Stream, StreamFacts
from infrastructure.local.process import free_port, tethered
from infrastructure.local.state import Counters

PATIENCE_S = 60.0
BUCKET = "dead-letters"
FUNCTION_ARN = "arn:aws:lambda:us-east-1:000000000000:function:ingest"
DESCRIPTION: dict[str, Any] = {
    "UUID": "2b733fdc-8ac3-4df5-af3a-1827b3b11284",
    "EventSourceArn": "arn:aws:kinesis:eu-west-1:000000000000:stream/readings",
    "FunctionArn": FUNCTION_ARN,
    "StartingPosition": "TRIM_HORIZON",
}


def until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not reached():
        assert time.monotonic() < deadline, "not reached"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, port = tmp_path_factory.mktemp("engine"), free_port()
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


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/_ministack/health", timeout=1):
            return True
    except (urllib.error.URLError, OSError):
        return False


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


@pytest.fixture
def cloud(endpoint: str) -> Cloud:
    return Cloud(endpoint)


@pytest.fixture
def runtime(tmp_path: Path, cloud: Cloud) -> Iterator[LambdaRuntime]:
    """A real awslambdaric with a handler that notes what passes, and cannot bear records called bad."""
    (tmp_path / "app.py").write_text(
        textwrap.dedent(
            """
            import base64

            def handler(event, context):
                failed = []
                with open("seen.txt", "a") as seen:
                    for record in event["Records"]:
                        text = base64.b64decode(record["kinesis"]["data"]).decode()
                        if text.startswith("crash"):
                            raise RuntimeError("crash")
                        if text.startswith("bad"):
                            failed.append({"itemIdentifier": record["kinesis"]["sequenceNumber"]})
                            break
                        seen.write(text + "\\n")
                return {"batchItemFailures": failed}
            """
        )
    )
    function = LambdaRuntime(
        tmp_path, "app.handler", {}, 10.0, tmp_path / "function.log", cloud.counters, workers=2
    )
    function.start()
    yield function
    function.stop()


def seen(folder: Path) -> list[str]:
    path = folder / "seen.txt"
    return path.read_text().split() if path.exists() else []


def test_records_go_from_the_stream_through_the_function(
    cloud: Cloud, runtime: LambdaRuntime, tmp_path: Path
) -> None:
    """Everything put is acknowledged once, in order, and the checkpoint is the last sequence number."""
    texts = [f"r{number:03d}" for number in range(100)]
    cloud.put(*texts[:50])
    mapping = cloud.mapping(cloud.settings(), runtime)
    mapping.start()
    cloud.put(*texts[50:])
    until(lambda: cloud.count("mapping.records") == 100)
    assert mapping.alive
    assert mapping.stop(PATIENCE_S)
    assert seen(tmp_path) == texts
    assert (cloud.count("stream.read"), cloud.count("mapping.retries")) == (100, 0)
    assert list(mapping.checkpoints()) == ["shardId-000000000000"]


@pytest.mark.parametrize("poison", ["bad", "crash"])
def test_a_poison_record_ends_in_the_bucket_with_its_payload(
    cloud: Cloud, runtime: LambdaRuntime, tmp_path: Path, poison: str
) -> None:
    """Only the poison record is discarded, whole and readable, and all others pass at least once."""
    texts = [f"r{number}" for number in range(6)]
    cloud.put(*texts[:3], poison, *texts[3:])
    settings = cloud.settings()
    mapping = cloud.mapping(settings, runtime)
    mapping.start()
    until(lambda: cloud.count("mapping.records") + cloud.count("mapping.discarded") == 7)
    mapping.stop(PATIENCE_S)
    assert set(seen(tmp_path)) == set(texts)
    listed = cloud.s3.list_objects_v2(Bucket=BUCKET, Prefix=f"aws/lambda/{settings.uuid}/")["Contents"]
    assert [each["Key"].split("/")[:4] for each in listed] == [
        ["aws", "lambda", settings.uuid, "shardId-000000000000"]
    ]
    body = json.loads(cloud.s3.get_object(Bucket=BUCKET, Key=listed[0]["Key"])["Body"].read())
    assert body["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert body["requestContext"]["approximateInvokeCount"] == 2
    (record,) = json.loads(body["payload"])["Records"]
    assert record["kinesis"]["partitionKey"] == poison
    assert record["kinesis"]["sequenceNumber"] == body["KinesisBatchInfo"]["startSequenceNumber"]


def test_latest_begins_with_what_comes_after_the_start(
    cloud: Cloud, runtime: LambdaRuntime, tmp_path: Path
) -> None:
    """ "Latest – Process new records that are added to the stream." (with-kinesis)"""
    cloud.put("before")
    mapping = cloud.mapping(cloud.settings(starting_position="LATEST"), runtime)
    mapping.start()
    cloud.put("after")
    until(lambda: cloud.count("mapping.records") == 1)
    mapping.stop(PATIENCE_S)
    assert seen(tmp_path) == ["after"]


def test_a_stopped_mapping_goes_on_where_it_ended(
    cloud: Cloud, runtime: LambdaRuntime, tmp_path: Path
) -> None:
    """ "Lambda keeps track of the last record processed and resumes processing from that point when it's
    reenabled." (with-kinesis)"""
    cloud.put("one")
    mapping = cloud.mapping(cloud.settings(), runtime)
    mapping.start()
    until(lambda: cloud.count("mapping.records") == 1)
    mapping.stop(PATIENCE_S)
    cloud.put("two")
    mapping.start()
    until(lambda: cloud.count("mapping.records") == 2)
    mapping.stop(PATIENCE_S)
    assert seen(tmp_path) == ["one", "two"]


def test_every_shard_is_read(endpoint: str, tmp_path: Path) -> None:
    """A stream of several shards is delivered whole, with several lanes each."""
    cloud = Cloud(endpoint, shards=3)
    (tmp_path / "app.py").write_text("def handler(event, context): return {}")
    function = LambdaRuntime(tmp_path, "app.handler", {}, 10.0, tmp_path / "log", cloud.counters)
    function.start()
    mapping = cloud.mapping(cloud.settings(parallelization_factor=2), function)
    mapping.start()
    cloud.put(*(f"gateway-{number}" for number in range(60)))
    until(lambda: cloud.count("mapping.records") == 60)
    assert len(mapping.checkpoints()) == 3
    assert mapping.iterator_age_ms() == 0
    assert mapping.outstanding() == 0
    mapping.stop(PATIENCE_S)
    function.stop()


def test_an_engine_that_is_not_there_yet_is_waited_for(endpoint: str, tmp_path: Path) -> None:
    """start() returns although nothing listens, and the first records arrive when the stream does."""
    cloud = Cloud(endpoint)
    (tmp_path / "app.py").write_text("def handler(event, context): return {}")
    function = LambdaRuntime(tmp_path, "app.handler", {}, 10.0, tmp_path / "log", cloud.counters)
    function.start()
    settings = cloud.settings()
    cloud.kinesis.delete_stream(StreamName=cloud.stream)
    mapping = cloud.mapping(settings, function)
    mapping.start()
    assert mapping.alive
    cloud.kinesis.create_stream(StreamName=cloud.stream, ShardCount=1)
    until(lambda: cloud.summary()["StreamStatus"] == "ACTIVE")
    cloud.put("first")
    until(lambda: cloud.count("mapping.records") == 1)
    mapping.stop(PATIENCE_S)
    function.stop()


def test_an_iterator_that_expired_is_replaced_after_the_last_record_read(cloud: Cloud) -> None:
    """ "A shard iterator expires 5 minutes after it is returned" (Kinesis, GetShardIterator): no record is
    missed and none read twice."""
    stream = Stream(cloud.kinesis, cloud.stream)
    shard = KinesisShard(
        stream, "shardId-000000000000", "TRIM_HORIZON", None, lambda: 0, StreamFacts(86_400, 0)
    )
    cloud.put("one", "two")
    read = shard.read(1)
    shard._iterator = "expired"
    read += shard.read(10) + shard.read(10)
    assert [each.data for each in read] == [b"one", b"two"]


def test_an_expired_latest_iterator_goes_back_to_the_start_of_reading(cloud: Cloud) -> None:
    """Before the first record LATEST must not be asked for again, or what came meanwhile is skipped."""
    stream, wall_ms = Stream(cloud.kinesis, cloud.stream), time.time_ns() // 1_000_000
    facts = StreamFacts(86_400, wall_ms)
    shard = KinesisShard(stream, "shardId-000000000000", "LATEST", None, lambda: wall_ms, facts)
    shard.open()
    cloud.put("meanwhile")
    shard._iterator = "expired"
    read = shard.read(10) + shard.read(10)
    assert [each.data for each in read] == [b"meanwhile"]


class ShiftingStream:
    """An engine whose iterators count from the oldest record that it keeps, and which trims."""

    def __init__(self, texts: list[str]) -> None:
        self.records_kept = [Record("shard-0", str(n), "key", t.encode(), 0) for n, t in enumerate(texts)]

    def iterator(self, shard_id: str, **position: Any) -> str:
        after = int(position.get("StartingSequenceNumber", -1))
        return str(sum(int(each.sequence_number) <= after for each in self.records_kept))

    def records(self, shard_id: str, iterator: str, limit: int) -> tuple[list[Record], str]:
        found = self.records_kept[int(iterator) :][:limit]
        return found, str(int(iterator) + len(found))


def test_records_trimmed_by_the_engine_do_not_hide_new_ones() -> None:
    """ministack trims the oldest records under an iterator once the stream has reached its retention."""
    engine: Any = ShiftingStream(["one", "two", "three"])
    shard = KinesisShard(engine, "shard-0", "TRIM_HORIZON", None, lambda: 86_400_000, StreamFacts(86_400, 0))
    read = shard.read(2)
    del engine.records_kept[:2]
    read += shard.read(10)
    assert [each.data for each in read] == [b"one", b"two", b"three"]


# Settings


def test_a_description_without_options_has_the_documented_defaults() -> None:
    """ "BatchSize … 100; BisectBatchOnFunctionError … false; MaximumBatchingWindowInSeconds … 0;
    MaximumRecordAgeInSeconds … -1; MaximumRetryAttempts … -1; ParallelizationFactor … 1"
    (services-kinesis-parameters)."""
    settings = MappingSettings.from_description(DESCRIPTION)
    assert (settings.batch_size, settings.window_s, settings.parallelization_factor) == (100, 0.0, 1)
    assert (settings.maximum_record_age_s, settings.maximum_retry_attempts) == (-1, -1)
    assert (settings.bisect, settings.report_batch_item_failures) == (False, False)
    assert settings.on_failure_bucket is None
    assert (settings.stream_name, settings.region) == ("readings", "eu-west-1")


def test_a_full_description_is_read() -> None:
    """Every property that is modelled comes from the answer of GetEventSourceMapping."""
    full = DESCRIPTION | {
        "BatchSize": 200,
        "MaximumBatchingWindowInSeconds": 5,
        "ParallelizationFactor": 4,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "BisectBatchOnFunctionError": True,
        "MaximumRetryAttempts": 10,
        "MaximumRecordAgeInSeconds": 43_200,
        "StartingPosition": "LATEST",
        "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:s3:::dead-letters"}},
    }
    assert MappingSettings.from_description(full) == MappingSettings(
        stream_arn=DESCRIPTION["EventSourceArn"],
        function_arn=FUNCTION_ARN,
        uuid=DESCRIPTION["UUID"],
        batch_size=200,
        window_s=5.0,
        parallelization_factor=4,
        report_batch_item_failures=True,
        bisect=True,
        maximum_retry_attempts=10,
        maximum_record_age_s=43_200,
        starting_position="LATEST",
        on_failure_bucket="dead-letters",
    )


@pytest.mark.parametrize(("name", "value"), [("TumblingWindowInSeconds", 0), ("FilterCriteria", None)])
def test_what_is_switched_off_is_not_refused(name: str, value: object) -> None:
    """ "A value of 0 seconds indicates no tumbling window." (API_GetEventSourceMapping)"""
    assert MappingSettings.from_description(DESCRIPTION | {name: value}).batch_size == 100


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"UUID": None}, "the event source mapping has no UUID"),
        ({"EventSourceArn": "arn:aws:sqs:eu-west-1:0:q"}, "is not the ARN of a Kinesis stream"),
        ({"BatchSize": 10_001}, "BatchSize is 10001, it must be from 1 to 10000"),
        ({"ParallelizationFactor": 11}, "ParallelizationFactor is 11, it must be from 1 to 10"),
        ({"StartingPosition": "AT_TIMESTAMP"}, "use LATEST or TRIM_HORIZON"),
        ({"StartingPositionTimestamp": 1_700_000_000}, "StartingPositionTimestamp is not supported here"),
        ({"TumblingWindowInSeconds": 60}, "TumblingWindowInSeconds is not supported here: keep state"),
        ({"FilterCriteria": {"Filters": [{"Pattern": "{}"}]}}, "FilterCriteria is not supported here"),
        ({"MaximumRecordAgeInSeconds": 59}, "is 59, it must be -1 or at least 60"),
        ({"MaximumRecordAgeInSeconds": 604_801}, "is 604801, it must be from -1 to 604800"),
        ({"MaximumRetryAttempts": 10_001}, "is 10001, it must be from -1 to 10000"),
        ({"MaximumBatchingWindowInSeconds": 301}, "is 301, it must be from 0 to 300"),
        (
            {"DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sqs:eu-west-1:0:q"}}},
            "is not an S3 bucket",
        ),
    ],
)
def test_what_cannot_be_modelled_is_refused_by_name(change: dict[str, Any], message: str) -> None:
    """A mapping that would behave differently here than on AWS does not start.

    The ranges are those of https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-parameters.html and,
    for the age, of https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html ("The
    minimum valid value for maximum record age is 60s"). A tumbling window (services-kinesis-windows) would
    hand its state to the function and take it back.
    """
    with pytest.raises(MappingError, match=message):
        MappingSettings.from_description(DESCRIPTION | change)
