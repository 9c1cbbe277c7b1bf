"""Shards that come and go: what a mapping reads when, from a stream in memory that keeps parents as AWS does.

Statements are those of "Complete the resharding action" in the Kinesis Data Streams developer guide,
https://docs.aws.amazon.com/streams/latest/dev/kinesis-using-sdk-java-after-resharding.html. The engine of the
local cloud forgets a shard with its records when it is split, so it cannot be asked.
"""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infrastructure.local.function.invocation import Outcome, Result
from infrastructure.local.mapping.mapping import EventSourceMapping, MappingSettings
from infrastructure.local.mapping.retry import Backoff
from infrastructure.local.state import Counters

PATIENCE_S = 30.0
SETTINGS = MappingSettings(
    "arn:aws:kinesis:us-east-1:000000000000:stream/readings",
    "arn:aws:lambda:us-east-1:000000000000:function:ingest",
    "2b733fdc-8ac3-4df5-af3a-1827b3b11284",
    maximum_retry_attempts=-1,
)


class Kinesis:
    """The part of Kinesis that a mapping asks, with shards that are closed by a split or a merge."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.shards: dict[str, dict[str, Any]] = {}
        self._sequence = 0

    def open(self, shard_id: str, *parents: str) -> None:
        with self._lock:
            for parent in parents:
                self.shards[parent]["closed"] = True
            self.shards[shard_id] = {"parents": parents, "records": [], "closed": False}

    def put(self, shard_id: str, *texts: str) -> None:
        with self._lock:
            for text in texts:
                assert not self.shards[shard_id]["closed"]
                self._sequence += 1
                self.shards[shard_id]["records"].append((self._sequence, text))

    def describe_stream_summary(self, **_: str) -> dict[str, Any]:
        created = datetime.now(UTC)
        return {"StreamDescriptionSummary": {"StreamCreationTimestamp": created, "RetentionPeriodHours": 24}}

    def list_shards(self, **_: str) -> dict[str, Any]:
        names = ("ParentShardId", "AdjacentParentShardId")
        with self._lock:
            return {
                "Shards": [
                    {"ShardId": shard_id, **dict(zip(names, shard["parents"], strict=False))}
                    for shard_id, shard in self.shards.items()
                ]
            }

    def get_shard_iterator(
        self, ShardId: str, ShardIteratorType: str, StartingSequenceNumber: str = "0", **_: Any
    ) -> dict[str, Any]:
        with self._lock:
            records = self.shards[ShardId]["records"]
            after = [number for number, _ in records if number <= int(StartingSequenceNumber)]
            place = len(records) if ShardIteratorType == "LATEST" else len(after)
            return {"ShardIterator": f"{ShardId} {place}"}

    def get_records(self, ShardIterator: str, Limit: int) -> dict[str, Any]:
        shard_id, place = ShardIterator.split()
        with self._lock:
            if shard_id not in self.shards:
                raise ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "GetRecords")
            shard = self.shards[shard_id]
            found = shard["records"][int(place) : int(place) + Limit]
            after = int(place) + len(found)
            at_end = shard["closed"] and after == len(shard["records"])
            return {
                "Records": [
                    {
                        "SequenceNumber": str(number),
                        "PartitionKey": "gw-1",
                        "Data": text.encode(),
                        "ApproximateArrivalTimestamp": datetime.now(UTC),
                    }
                    for number, text in found
                ],
                "NextShardIterator": None if at_end else f"{shard_id} {after}",
            }


class Function:
    """Notes what it is given, and fails while it is told to."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.attempts = 0
        self.failing = threading.Event()

    def invoke(self, event: Mapping[str, Any]) -> Result:
        self.attempts += 1
        if self.failing.is_set():
            return Result(Outcome.ERROR, "request", error_type="ValueError")
        self.seen += [base64.b64decode(each["kinesis"]["data"]).decode() for each in event["Records"]]
        return Result(Outcome.SUCCESS, "request")


class Bench:
    """A mapping over that stream, and a function."""

    def __init__(self) -> None:
        self.kinesis, self.function = Kinesis(), Function()
        self.kinesis.open("parent")

    def mapping(self, position: str = "TRIM_HORIZON") -> EventSourceMapping:
        client: Any = self.kinesis
        settings = replace(SETTINGS, starting_position=position)
        self.started = EventSourceMapping(
            client,
            client,
            settings,
            self.function,
            Counters(),
            backoff=Backoff(0.01, 0.02),
            reshard_check_s=0.05,
        )
        self.started.start()
        return self.started


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    assert made.started.stop(PATIENCE_S)


def until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not reached():
        assert time.monotonic() < deadline, "not reached"
        time.sleep(0.005)


def test_child_shards_are_read_after_all_of_their_parent(bench: Bench) -> None:
    """ "If you read data from the child shards before having read all data from the parent shards, you could
    read data for a particular hash key out of the order given by the data records' sequence numbers": while
    the parent's records fail, none of the children's is handed over."""
    bench.kinesis.put("parent", "1", "2")
    bench.function.failing.set()
    mapping = bench.mapping()
    until(lambda: bench.function.attempts > 0)
    bench.kinesis.open("left", "parent")
    bench.kinesis.open("right", "parent")
    bench.kinesis.put("left", "3")
    bench.kinesis.put("right", "4")
    attempts = bench.function.attempts
    until(lambda: bench.function.attempts > attempts + 5)
    assert list(mapping.checkpoints()) == ["parent"]
    bench.function.failing.clear()
    until(lambda: len(bench.function.seen) == 4)
    assert bench.function.seen[:2] == ["1", "2"]
    assert set(bench.function.seen[2:]) == {"3", "4"}
    assert mapping.alive


def test_a_merged_shard_waits_for_both_of_its_parents(bench: Bench) -> None:
    """ "combine two shards into a single shard" (kinesis-using-sdk-java-resharding): it has a parent and an
    adjacent parent, and each may have records of a hash key that it has now."""
    bench.kinesis.open("beside")
    bench.kinesis.put("parent", "1")
    bench.kinesis.put("beside", "2")
    bench.kinesis.open("merged", "parent", "beside")
    bench.kinesis.put("merged", "3")
    bench.mapping()
    until(lambda: len(bench.function.seen) == 3)
    assert bench.function.seen[-1] == "3"


def test_a_parent_that_was_trimmed_is_not_waited_for(bench: Bench) -> None:
    """ "After the stream's retention period has expired … the shard itself transitions to an EXPIRED state":
    it is no more listed, but its children still name it."""
    bench.kinesis.open("child", "parent")
    bench.kinesis.put("child", "1")
    del bench.kinesis.shards["parent"]
    bench.mapping()
    until(lambda: bench.function.seen == ["1"])


def test_a_shard_that_ended_stays_ended_after_a_restart(bench: Bench) -> None:
    """A closed shard that is done with is not read from its beginning once more."""
    bench.kinesis.put("parent", "1")
    bench.kinesis.open("child", "parent")
    bench.kinesis.put("child", "2")
    mapping = bench.mapping()
    until(lambda: bench.function.seen == ["1", "2"])
    assert mapping.stop(PATIENCE_S)
    bench.kinesis.put("child", "3")
    mapping.start()
    until(lambda: len(bench.function.seen) == 3)
    assert bench.function.seen == ["1", "2", "3"]


def test_shards_that_a_reshard_makes_are_read_from_their_beginning(bench: Bench) -> None:
    """Also with LATEST, which is about the shards of the start alone: nothing between two looks is missed."""
    mapping = bench.mapping("LATEST")
    bench.kinesis.open("child", "parent")
    bench.kinesis.put("child", "1")
    until(lambda: bench.function.seen == ["1"])
    assert mapping.outstanding() == 0
