"""A stack with a stream and a bucket beside the tables, for records that go back into the stream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest

from cloud import __main__ as linkview
from cloud.target import Target
from tests.cloud.conftest import TABLES, Cloud, _template, settings_of
from tests.cloud.records import record

STACK = "linkpulse-aside"
BUCKET = "aside-dead-letters"
DAY = "2026-11-21"


def create() -> Target:
    """The stack, created in moto."""
    template = json.loads(_template())
    template["Resources"]["Stream"] = {
        "Type": "AWS::Kinesis::Stream",
        "Properties": {"ShardCount": 1, "Name": "aside-stream"},
    }
    template["Resources"]["Bucket"] = {
        "Type": "AWS::S3::Bucket",
        "Properties": {"BucketName": BUCKET},
    }
    template["Outputs"] |= {
        "StreamName": {"Value": {"Ref": "Stream"}},
        "DeadLetterBucket": {"Value": {"Ref": "Bucket"}},
        "AllowDirect": {"Value": "false"},
    }
    boto3.client("cloudformation").create_stack(StackName=STACK, TemplateBody=json.dumps(template))
    return Target(STACK)


@dataclass
class Aside:
    """The stack as an operator and as the function see it."""

    target: Target
    cloud: Cloud
    capsys: pytest.CaptureFixture[str]
    taken: int = 0
    """Records of the stream that ingest has had."""

    def run(self, *args: str) -> tuple[int, str, str]:
        """One linkview command: exit code, stdout, stderr."""
        code = linkview.main([*args, "--stack", STACK])
        out, err = self.capsys.readouterr()
        return code, out, err

    def json(self, *args: str) -> Any:
        """What a command prints with --json."""
        return json.loads(self.run(*args, "--json")[1])

    def objects(self) -> list[str]:
        """The keys of all objects in the bucket."""
        found = self.target.client("s3").list_objects_v2(Bucket=BUCKET)
        return [each["Key"] for each in found.get("Contents", ())]

    def stream(self) -> list[bytes]:
        """The data of all records in the stream."""
        client = self.target.client("kinesis")
        name = self.target.output("StreamName")
        (shard,) = client.list_shards(StreamName=name)["Shards"]
        iterator = client.get_shard_iterator(
            StreamName=name, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        return [each["Data"] for each in client.get_records(ShardIterator=iterator, Limit=10_000)["Records"]]

    def ingest(self) -> int:
        """Give the function what is new in the stream; returns how many records that were."""
        new = self.stream()[self.taken :]
        self.taken += len(new)
        event = [record(data, 900_000 + self.taken + index) for index, data in enumerate(new)]
        assert self.cloud.ingest(event) == []
        return len(new)


def opened(target: Target, capsys: pytest.CaptureFixture[str]) -> Iterator[Aside]:
    """The stack for one test; its tables and bucket are emptied afterwards."""
    made = Aside(target, Cloud(target.dynamodb(), settings_of(target)), capsys)
    made.taken = len(made.stream())
    yield made
    client: Any = target.dynamodb()
    for output, names in TABLES.items():
        for item in client.scan(TableName=target.output(output))["Items"]:
            client.delete_item(TableName=target.output(output), Key={name: item[name] for name in names})
    for name in made.objects():
        made.target.client("s3").delete_object(Bucket=BUCKET, Key=name)


def listed(aside: Aside) -> list[dict[str, Any]]:
    """The records of DAY in the quarantine."""
    return list(aside.json("quarantine", "list", "--day", DAY))
