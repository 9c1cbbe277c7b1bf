"""The rules engine between a real broker and a real engine: what arrives, what is refused, what is kept."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from infrastructure.local import engine
from infrastructure.local.iot.bridge import Bridge, BridgeError
from infrastructure.local.iot.principals import Principals
from infrastructure.local.process import free_port
from infrastructure.local.state import Counters
from tests.infrastructure.bridge_world import (
    AT_MS,
    SQL,
    Unreachable,
    World,
    bridged,
    counted,
    opened,
    put_rule,
)
from tests.infrastructure.parts import Engine, enrol, eventually

if TYPE_CHECKING:
    from mypy_boto3_iot.type_defs import TopicRulePayloadTypeDef


@pytest.fixture
def world(running_engine: Engine, tmp_path: Path) -> Iterator[World]:
    yield from opened(running_engine, tmp_path)


def test_a_batch_arrives_wrapped_with_the_identity_that_the_rule_saw(world: World) -> None:
    identity = world.enrolled("gw")
    with bridged(world) as counters:
        gateway = world.gateway(identity)
        assert gateway.publish(world.topic(identity.name), b"\x00batch") == "Success"
        counted(counters, "bridge.forwarded", 1)
        gateway.close()
    assert world.records() == [
        {
            "key": identity.name,
            "b": base64.b64encode(b"\x00batch").decode(),
            "thing": identity.name,
            "client": identity.name,
            "principal": identity.certificate_id,
            "rx": AT_MS,
        }
    ]


def test_the_batches_of_a_gateway_keep_their_order(world: World) -> None:
    identity = world.enrolled("gw")
    payloads = [str(number).encode() for number in range(300)]
    with bridged(world) as counters:
        gateway = world.gateway(identity)
        for payload in payloads:
            gateway.client.publish(world.topic(identity.name), payload, 1)
        counted(counters, "bridge.forwarded", 300)
        gateway.close()
    assert [base64.b64decode(record["b"]) for record in world.records()] == payloads


def test_what_could_not_be_put_on_the_stream_stays_with_the_broker_for_the_next_rules_engine(
    world: World,
) -> None:
    identity = world.enrolled("gw")
    away = replace(world.clients, kinesis=cast("Any", Unreachable()))
    with bridged(world, away) as counters:
        gateway = world.gateway(identity)
        gateway.publish(world.topic(identity.name), b"kept")
        counted(counters, "bridge.received", 1)
    # The gateway has its PUBACK, as from AWS, and no rules engine runs: the broker keeps this one as well.
    gateway.publish(world.topic(identity.name), b"later")
    gateway.close()
    with bridged(world) as counters:
        counted(counters, "bridge.forwarded", 2)
    assert [base64.b64decode(record["b"]) for record in world.records()] == [b"kept", b"later"]


def test_a_stream_that_is_gone_sends_the_batch_to_the_error_action(world: World) -> None:
    identity = world.enrolled("gw")
    world.clients.iot.delete_topic_rule(ruleName=world.source.rule)
    put_rule(world.clients, world.source.rule, stream="gone")
    with bridged(world) as counters:
        gateway = world.gateway(identity)
        gateway.publish(world.topic(identity.name), b"batch")
        counted(counters, "bridge.failed", 1)
        eventually(lambda: bool(_errors(world)))
        gateway.close()
    (error,) = _errors(world)
    assert base64.b64decode(error["base64OriginalPayload"]) == b"batch"
    assert "ResourceNotFoundException" in error["failures"][0]["errorMessage"]


def test_a_disabled_rule_drops_what_arrives_and_counts_it(world: World) -> None:
    # Developer guide, "Rule metrics": RuleNotFound.
    identity = world.enrolled("gw")
    world.clients.iot.disable_topic_rule(ruleName=world.source.rule)
    with bridged(world) as counters:
        gateway = world.gateway(identity)
        gateway.publish(world.topic(identity.name), b"x")
        counted(counters, "bridge.rule_not_found", 1)
        gateway.close()
    assert world.records() == []


def test_a_rule_that_is_deleted_meanwhile_is_like_a_disabled_one(world: World) -> None:
    identity = world.enrolled("gw")
    with bridged(world) as counters:
        world.clients.iot.delete_topic_rule(ruleName=world.source.rule)
        gateway = world.gateway(identity)

        def dropped() -> bool:
            gateway.publish(world.topic(identity.name), b"x")
            return counters.snapshot().get("bridge.rule_not_found", 0) > 0

        eventually(dropped)
        gateway.close()


@pytest.mark.parametrize("lacking", ["certificate", "policy", "active"])
def test_a_gateway_that_aws_would_not_let_connect_is_refused_and_counted(world: World, lacking: str) -> None:
    identity = world.enrolled("gw")
    arn = f"arn:aws:iot:us-east-1:{engine.ACCOUNT}:cert/{identity.certificate_id}"
    if lacking == "certificate":
        world.clients.iot.detach_thing_principal(thingName=identity.name, principal=arn)
    elif lacking == "policy":
        world.clients.iot.detach_policy(policyName=world.source.policy_name, target=arn)
    else:
        world.clients.iot.update_certificate(certificateId=identity.certificate_id, newStatus="INACTIVE")
    with bridged(world) as counters:
        gateway = world.gateway(identity)
        gateway.publish(world.topic(identity.name), b"x")
        counted(counters, "bridge.refused", 1)
        gateway.close()
    assert world.records() == []


def test_a_topic_that_the_policy_allows_and_the_rule_does_not_know_is_refused_and_counted(
    world: World,
) -> None:
    identity = world.enrolled("gw")
    world.clients.iot.replace_topic_rule(
        ruleName=world.source.rule,
        topicRulePayload=_payload_with_filter(world, "v2/+/m"),
    )
    with bridged(world) as counters:
        gateway = world.gateway(identity)
        gateway.publish(world.topic(identity.name), b"x")
        counted(counters, "bridge.refused", 1)
        gateway.close()


def test_a_rule_that_becomes_something_not_understood_ends_the_part_by_name(world: World) -> None:
    bridge = Bridge(world.clients, world.source, Counters(), lambda: AT_MS)
    bridge.start()
    payload = _payload_with_filter(world, "v1/+/m")
    payload["sql"] = "SELECT * FROM 'v1/+/m'"
    world.clients.iot.replace_topic_rule(ruleName=world.source.rule, topicRulePayload=payload)
    eventually(lambda: bool(bridge.failure()))
    bridge.stop()
    assert bridge.failure().startswith("RuleError: '*' in the SELECT list is not understood")


def test_without_a_broker_the_rules_engine_does_not_begin(world: World) -> None:
    bridge = Bridge(world.clients, replace(world.source, port=free_port()), Counters(), lambda: AT_MS)
    with pytest.raises(BridgeError, match="does not take the connection"):
        bridge.start()
    bridge.stop()


def test_a_gateway_enrolled_a_moment_ago_is_found(world: World) -> None:
    now_s = [100.0]
    principals = Principals(world.clients.iot, world.source.policy_name, lambda: now_s[0])
    assert principals.certificate("newcomer") is None
    identity = enrol(world.clients, "newcomer", world.source.policy_name, world.folder)
    now_s[0] += 1.0
    assert principals.certificate("newcomer") == identity.certificate_id


def test_the_registry_is_not_asked_for_every_message(world: World) -> None:
    identity = world.enrolled("gw")
    now_s = [100.0]
    principals = Principals(world.clients.iot, world.source.policy_name, lambda: now_s[0])
    principals.certificate(identity.name)
    world.clients.iot.update_certificate(certificateId=identity.certificate_id, newStatus="REVOKED")
    answers = []
    for later_s in (5.0, 15.0):
        now_s[0] = 100.0 + later_s
        answers.append(principals.certificate(identity.name))
    assert answers == [identity.certificate_id, None]


def _errors(world: World) -> list[dict[str, Any]]:
    listed = world.clients.s3.list_objects_v2(Bucket=world.source.rule, Prefix="rule-errors/")
    keys = [each["Key"] for each in listed.get("Contents", [])]
    bodies = [world.clients.s3.get_object(Bucket=world.source.rule, Key=key)["Body"].read() for key in keys]
    return [json.loads(body) for body in bodies]


def _payload_with_filter(world: World, topic_filter: str) -> TopicRulePayloadTypeDef:
    rule = world.clients.iot.get_topic_rule(ruleName=world.source.rule)["rule"]
    return {
        "awsIotSqlVersion": rule["awsIotSqlVersion"],
        "actions": rule["actions"],
        "errorAction": rule["errorAction"],
        "sql": SQL.replace("v1/+/m", topic_filter),
    }
