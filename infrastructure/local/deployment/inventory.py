"""What a stack consists of, as it exists in the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from botocore.exceptions import BotoCoreError, ClientError

from infrastructure.local.deployment import readers_control, readers_data, readers_messages
from infrastructure.local.deployment.intrinsics import TemplateError
from infrastructure.local.deployment.readers_data import Found
from infrastructure.local.engine import Clients

Reader = Callable[[Clients, str], Found]

READERS: Mapping[str, Reader] = {
    "AWS::CloudWatch::Alarm": readers_control.alarm,
    "AWS::CloudWatch::Dashboard": readers_control.dashboard,
    "AWS::DynamoDB::Table": readers_data.table,
    "AWS::Events::Rule": readers_messages.event_rule,
    "AWS::IAM::Role": readers_control.role,
    "AWS::IoT::Policy": readers_control.iot_policy,
    "AWS::IoT::TopicRule": readers_control.topic_rule,
    "AWS::Kinesis::Stream": readers_data.stream,
    "AWS::Lambda::EventInvokeConfig": readers_control.event_invoke_config,
    "AWS::Lambda::EventSourceMapping": readers_control.event_source_mapping,
    "AWS::Lambda::Function": readers_control.function,
    "AWS::Logs::LogGroup": readers_control.log_group,
    "AWS::S3::Bucket": readers_data.bucket,
    "AWS::S3::BucketPolicy": readers_data.bucket_policy,
    "AWS::SNS::Topic": readers_messages.topic,
    "AWS::SNS::TopicPolicy": readers_messages.topic_policy,
    "AWS::Scheduler::Schedule": readers_control.schedule,
}


class Missing(Exception):
    """A resource of the template does not exist; the message says how it is known."""


class Inventory:
    """The resources of one stack, each read when first asked for."""

    def __init__(self, clients: Clients, stack: str, types: Mapping[str, str]) -> None:
        self._clients = clients
        self._types = types
        self._found: dict[str, Found] = {}
        pages = clients.cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
        self._ids = {
            each["LogicalResourceId"]: each.get("PhysicalResourceId", "")
            for page in pages
            for each in page["StackResourceSummaries"]
        }

    def physical_id(self, logical_id: str) -> str:
        """What Ref gives for a resource; raises Missing when the stack does not have it."""
        found = self._ids.get(logical_id)
        if not found:
            raise Missing("the stack does not list it")
        return found

    def attribute(self, logical_id: str, name: str) -> str:
        """What Fn::GetAtt gives for a resource."""
        attributes = self.found(logical_id).attributes
        if name not in attributes:
            raise TemplateError(
                f"{logical_id}.{name} is not known to the local cloud: add it to the reader of "
                f"{self._types.get(logical_id)}"
            )
        return attributes[name]

    def found(self, logical_id: str) -> Found:
        """The resource as it exists; raises Missing, or TemplateError when nothing reads its type."""
        if logical_id not in self._found:
            self._found[logical_id] = self._read(logical_id)
        return self._found[logical_id]

    def forget(self, logical_id: str) -> None:
        """Read the resource anew when next asked for."""
        self._found.pop(logical_id, None)

    def _read(self, logical_id: str) -> Found:
        kind = self._types.get(logical_id, "")
        reader = READERS.get(kind)
        if reader is None:
            raise TemplateError(
                f"{logical_id}: no reader for {kind}; add one to infrastructure/local/deployment/inventory.py"
            )
        try:
            return reader(self._clients, self.physical_id(logical_id))
        except (ClientError, BotoCoreError, LookupError, StopIteration) as exc:
            raise Missing(f"reading it back failed: {exc}") from exc
