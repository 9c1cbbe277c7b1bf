"""The mapping against a real engine (ministack) on a free port.

A page named in brackets is https://docs.aws.amazon.com/lambda/latest/dg/<name>.html.
"""

from __future__ import annotations

import json
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infrastructure.local.function.runtime import LambdaRuntime
from infrastructure.local.mapping.stream import KinesisShard, Record, Stream, StreamFacts
from tests.infrastructure.mapping_cloud import BUCKET, PATIENCE_S, Cloud, started, until


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with started(tmp_path_factory.mktemp("engine")) as url:
        yield url


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
