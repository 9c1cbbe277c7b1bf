"""Straight into the stream: wrapped as the rule does, marked direct, nothing lost to a refused record."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from moto import mock_aws

from edge_agent.contract import decode
from simulator.__main__ import main
from simulator.sink_kinesis import MAX_BYTES, MAX_RECORDS, KinesisSink
from simulator.target import SimulatorError, Target
from simulator.world import World, build

START_MS = 1_790_000_000_000
RX_MS = 1_790_000_100_000
Entry = dict[str, Any]


@dataclass
class FakeStream:
    """Takes the records of a call as its script says: True, False, or an error for the whole call."""

    script: list[Any] = field(default_factory=list)
    taken: list[Entry] = field(default_factory=list)
    calls: list[list[Entry]] = field(default_factory=list)

    def put_records(self, StreamName: str, Records: Sequence[Entry]) -> dict[str, Any]:
        self.calls.append(list(Records))
        answer = self.script.pop(0) if self.script else [True] * len(Records)
        if isinstance(answer, Exception):
            raise answer
        good = [answer(number) for number in range(len(Records))] if callable(answer) else answer
        self.taken += [record for record, taken in zip(Records, good, strict=True) if taken]
        answers = [{"SequenceNumber": "1"} if taken else {"ErrorCode": "InternalFailure"} for taken in good]
        return {"FailedRecordCount": good.count(False), "Records": answers}

    def close(self) -> None: ...


def sink_of(stream: FakeStream, world: World, patience_s: float = 5) -> KinesisSink:
    return KinesisSink(
        stream,  # type: ignore[arg-type]
        "stream",
        world,
        START_MS,
        lambda: START_MS + 60_000,
        Target("stack", Path("state")),
        patience_s=patience_s,
        backoff_s=(0, 0),
        wall_ms=lambda: RX_MS,
    )


def fill(sink: KinesisSink, world: World, rounds: int = 3) -> int:
    count = 0
    for turn in range(rounds):
        for gateway in world.gateways:
            readings = gateway.readings(START_MS + turn * 10_000, None)
            sink.accept(gateway, readings)
            count += len(readings)
    return count


def test_records_are_wrapped_as_the_rule_wraps_them_and_say_direct() -> None:
    stream, world = FakeStream(), build(1, 3, 2)
    sink = sink_of(stream, world)
    accepted = fill(sink, world)
    asyncio.run(sink.flush())
    assert sink.acknowledged == accepted == 27
    for entry in stream.taken:
        wrapped = json.loads(entry["Data"])
        assert sorted(wrapped) == ["b", "rx", "source", "thing"]
        assert (wrapped["source"], wrapped["rx"]) == ("direct", RX_MS)
        batch = decode(base64.b64decode(wrapped["b"]))
        assert entry["PartitionKey"] == wrapped["thing"] == batch.gateway


def test_refused_records_are_put_again_before_newer_ones_and_only_those() -> None:
    stream, world = FakeStream([[False, True, False]]), build(1, 3, 2)
    sink = sink_of(stream, world)
    accepted = fill(sink, world)
    asyncio.run(sink.flush())
    assert sink.acknowledged == accepted
    assert [len(call) for call in stream.calls] == [3, 2]
    assert stream.calls[1] == [stream.calls[0][0], stream.calls[0][2]]
    assert len({entry["Data"] for entry in stream.taken}) == len(stream.taken) == 3


def test_calls_stay_within_the_limits_of_the_api() -> None:
    stream, world = FakeStream(), build(1, 700, 1)
    sink = sink_of(stream, world)
    fill(sink, world, 1)
    asyncio.run(sink.flush())
    assert [len(call) for call in stream.calls] == [MAX_RECORDS, 200]
    assert all(sum(len(entry["Data"]) for entry in call) <= MAX_BYTES for call in stream.calls)


UNREACHABLE = EndpointConnectionError(endpoint_url="http://127.0.0.1:1")
THROTTLED = ClientError({"Error": {"Code": "ProvisionedThroughputExceededException"}}, "PutRecords")
DENIED = ClientError(
    {
        "Error": {"Code": "AccessDeniedException"},
        "ResponseMetadata": {
            "RequestId": "r",
            "HostId": "",
            "HTTPStatusCode": 400,
            "HTTPHeaders": {},
            "RetryAttempts": 0,
        },
    },
    "PutRecords",
)


@pytest.mark.parametrize("passing", [UNREACHABLE, THROTTLED], ids=["unreachable", "throttled"])
def test_a_passing_failure_of_a_call_loses_nothing(passing: Exception) -> None:
    stream, world = FakeStream([passing, passing]), build(1, 2, 2)
    sink = sink_of(stream, world)
    accepted = fill(sink, world)
    asyncio.run(sink.flush())
    assert sink.acknowledged == accepted
    assert len(stream.taken) == 2


def test_a_lasting_failure_ends_the_run_at_once() -> None:
    stream, world = FakeStream([DENIED]), build(1, 2, 2)
    sink = sink_of(stream, world)
    fill(sink, world)
    with pytest.raises(SimulatorError, match="AccessDenied"):
        asyncio.run(sink.flush())
    assert len(stream.calls) == 1


def test_patience_with_a_stream_that_takes_nothing_ends() -> None:
    stream, world = FakeStream([lambda _: False] * 100_000), build(1, 1, 1)
    sink = sink_of(stream, world, patience_s=0.05)
    fill(sink, world)
    with pytest.raises(SimulatorError, match="has taken nothing"):
        asyncio.run(sink.flush())
    assert sink.acknowledged == 0


def test_finishing_is_bounded_and_says_what_is_not_acknowledged() -> None:
    stream, world = FakeStream([lambda _: False] * 1_000_000), build(1, 1, 1)
    sink = sink_of(stream, world, patience_s=60)
    fill(sink, world)
    asyncio.run(sink.finish(0.05))
    assert sink.acknowledged == 0


# --- the command, against moto --------------------------------------------------------------------


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield tmp_path


def deploy(allow_direct: str) -> None:
    template = {
        "Resources": {
            "Stream": {"Type": "AWS::Kinesis::Stream", "Properties": {"Name": "in", "ShardCount": 2}}
        },
        "Outputs": {"StreamName": {"Value": "in"}, "AllowDirect": {"Value": allow_direct}},
    }
    boto3.client("cloudformation").create_stack(StackName="s", TemplateBody=json.dumps(template))


RUN = ["run", "--sink", "kinesis", "--fast", "--stack", "s", "--gateways", "4", "--links", "2"]


def test_the_stream_of_a_stack_gets_exactly_what_the_truth_says(
    aws: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy("true")
    assert main([*RUN, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["accepted"] == said["acknowledged"] == 4 * 3 * 6
    client, stored = boto3.client("kinesis"), []
    for shard in client.list_shards(StreamName="in")["Shards"]:
        place = client.get_shard_iterator(
            StreamName="in", ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )
        for record in client.get_records(ShardIterator=place["ShardIterator"])["Records"]:
            batch = decode(base64.b64decode(json.loads(record["Data"])["b"]))
            stored += [(batch.gateway, each.link, each.kind, each.at_ms) for each in batch.readings]
    lines = map(json.loads, Path(said["truth"]).read_text().splitlines())
    assert sorted(stored) == sorted(
        (each["gateway"], each["link"], each["kind"], each["at_ms"]) for each in lines
    )
    assert json.loads((aws / ".linkpulse/s/fleet.json").read_text())["acknowledged"] == 72


def test_a_stack_that_does_not_allow_it_is_refused_in_one_line(
    aws: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy("false")
    assert main(RUN) == 1
    assert capsys.readouterr().err == (
        "fleet-simulator: stack s on AWS takes nothing straight from its stream: "
        "deploy it with AllowDirect=true\n"
    )
    assert not (aws / ".linkpulse").exists()


def test_no_such_stack_is_one_line(aws: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(RUN) == 1
    assert capsys.readouterr().err == (
        "fleet-simulator: there is no stack s on AWS: deploy it, or name another with --stack\n"
    )
