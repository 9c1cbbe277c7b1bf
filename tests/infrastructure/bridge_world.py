"""A rule, a policy and a stream of the test's own behind a broker, and the rules engine between them."""

from __future__ import annotations

import datetime
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import EndpointConnectionError

from infrastructure.local import engine
from infrastructure.local.engine import Clients
from infrastructure.local.iot import broker, certificates, policy
from infrastructure.local.iot.bridge import Bridge, Source
from infrastructure.local.process import free_port
from infrastructure.local.state import Counters
from tests.infrastructure.parts import Engine, Gateway, Identity, enrol, eventually, state_folder

if TYPE_CHECKING:
    from mypy_boto3_iot.type_defs import TopicRulePayloadTypeDef

AT_MS = 1_795_000_000_123
SQL = (
    "SELECT encode(*, 'base64') AS b, topic(2) AS thing, clientid() AS client, "
    "principal() AS principal, timestamp() AS rx FROM 'v1/+/m'"
)


@dataclass(frozen=True, slots=True)
class World:
    """A rule, a policy and a stream of the test's own, with a broker before them."""

    clients: Clients
    source: Source
    stream: str
    folder: Path

    def topic(self, gateway: str) -> str:
        return f"$aws/rules/{self.source.rule}/v1/{gateway}/m"

    def enrolled(self, name: str) -> Identity:
        return enrol(self.clients, f"{name}-{uuid.uuid4().hex[:6]}", self.source.policy_name, self.folder)

    def gateway(self, identity: Identity) -> Gateway:
        return Gateway(self.source.port, self.source.files.ca, identity)

    def records(self) -> list[dict[str, Any]]:
        """Every record of the stream, its data decoded."""
        shard = self.clients.kinesis.list_shards(StreamName=self.stream)["Shards"][0]["ShardId"]
        iterator = self.clients.kinesis.get_shard_iterator(
            StreamName=self.stream, ShardId=shard, ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        found = self.clients.kinesis.get_records(ShardIterator=iterator)["Records"]
        return [{"key": each["PartitionKey"], **json.loads(each["Data"])} for each in found]


class Unreachable:
    """A stream's client when the engine is away."""

    def put_records(self, **_: object) -> None:
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")


def opened(running_engine: Engine, folder: Path) -> Iterator[World]:
    """A world in a running engine, its files in the folder."""
    clients, name = running_engine.clients, f"t{uuid.uuid4().hex[:8]}"
    prefix = f"arn:aws:iot:us-east-1:{engine.ACCOUNT}"
    thing = "${iot:Connection.Thing.ThingName}"
    statements = [
        {"Effect": "Allow", "Action": "iot:Connect", "Resource": f"{prefix}:client/{thing}"},
        {
            "Effect": "Allow",
            "Action": "iot:Publish",
            "Resource": f"{prefix}:topic/$aws/rules/{name}/v1/{thing}/m",
        },
    ]
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    clients.iot.create_policy(policyName=name, policyDocument=document)
    clients.kinesis.create_stream(StreamName=name, ShardCount=1)
    clients.s3.create_bucket(Bucket=name)
    put_rule(clients, name, stream=name)
    state = state_folder(folder / "state")
    files = certificates.write_broker_files(
        state.certificates, engine.device_ca(running_engine.url), datetime.datetime.now(datetime.UTC)
    )
    rights = policy.translate(document, "us-east-1", engine.ACCOUNT)
    port = free_port()
    child = broker.start(port, files, rights, state)
    try:
        broker.wait_ready(port, files, child.failure)
        yield World(clients, Source(port, files, name, name, rights), name, folder)
    finally:
        child.stop()


def put_rule(clients: Clients, name: str, stream: str, disabled: bool = False) -> None:
    payload: TopicRulePayloadTypeDef = {
        "sql": SQL,
        "awsIotSqlVersion": "2016-03-23",
        "ruleDisabled": disabled,
        "actions": [{"kinesis": {"streamName": stream, "partitionKey": "${topic(2)}", "roleArn": "r"}}],
        "errorAction": {"s3": {"bucketName": name, "key": "rule-errors/${newuuid()}", "roleArn": "r"}},
    }
    clients.iot.create_topic_rule(ruleName=name, topicRulePayload=payload)


@contextmanager
def bridged(world: World, clients: Clients | None = None) -> Iterator[Counters]:
    counters = Counters()
    bridge = Bridge(clients or world.clients, world.source, counters, lambda: AT_MS)
    bridge.start()
    try:
        yield counters
        assert bridge.failure() == ""
    finally:
        bridge.stop()


def counted(counters: Counters, name: str, value: int) -> None:
    eventually(lambda: counters.snapshot().get(name) == value)
