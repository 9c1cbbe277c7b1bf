"""The deployed IoT policy becomes access rules of the broker, or an error: never less or more in silence.

AWS IoT developer guide, "AWS IoT Core policy variables" and "AWS IoT Core action resources".
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from infrastructure.local.iot.policy import BrokerPolicy, Grant, PolicyError, translate

ACCOUNT = "000000000000"
PREFIX = f"arn:aws:iot:us-east-1:{ACCOUNT}:"
THING = "${iot:Connection.Thing.ThingName}"
CONNECT = {"Effect": "Allow", "Action": "iot:Connect", "Resource": f"{PREFIX}client/{THING}"}
TOPIC = f"{PREFIX}topic/$aws/rules/linkpulse_local_ingest/v1/{THING}/m"
PUBLISH = {"Effect": "Allow", "Action": "iot:Publish", "Resource": TOPIC}


def translated(*statements: dict[str, Any]) -> BrokerPolicy:
    document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    return translate(document, "us-east-1", ACCOUNT)


def test_the_template_s_policy_lets_a_gateway_use_its_own_topics_and_nothing_else(
    rights: BrokerPolicy,
) -> None:
    assert rights.grants == (
        Grant("iot:Connect", "%u"),
        Grant("iot:Publish", "$aws/rules/linkpulse_local_ingest/v1/%u/m"),
        Grant("iot:Publish", "linkpulse/v1/%u/gone"),
        Grant("iot:Subscribe", "linkpulse/v1/%u/resend"),
        Grant("iot:Receive", "linkpulse/v1/%u/resend"),
    )


SUBSCRIBE = {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": f"{PREFIX}topicfilter/v1/{THING}/do"}
RECEIVE = {"Effect": "Allow", "Action": ["iot:Receive"], "Resource": [f"{PREFIX}topic/v1/{THING}/do"]}


def test_the_access_file_has_a_pattern_for_each_grant_and_the_other_side_of_each_for_the_cloud() -> None:
    gone = {**PUBLISH, "Resource": f"{PREFIX}topic/v1/{THING}/gone"}
    assert translated(CONNECT, PUBLISH, gone, SUBSCRIBE, RECEIVE).acl("rules.engine.1").splitlines() == [
        "pattern write $aws/rules/linkpulse_local_ingest/v1/%u/m",
        "pattern write v1/%u/gone",
        "pattern read v1/%u/do",
        "",
        "user rules.engine.1",
        "topic read $aws/rules/#",
        "topic read v1/+/gone",
        "topic write v1/+/do",
    ]


@pytest.mark.parametrize("half", [SUBSCRIBE, RECEIVE])
def test_a_topic_is_read_only_where_both_subscribing_and_receiving_are_allowed(half: dict[str, Any]) -> None:
    assert "pattern read" not in translated(CONNECT, PUBLISH, half).acl("rules.engine.1")


@pytest.mark.parametrize(
    ("topic", "publisher"),
    [
        ("$aws/rules/linkpulse_local_ingest/v1/a/m", "a"),
        ("$aws/rules/linkpulse_local_ingest/v1/a/n", None),
        ("$aws/rules/linkpulse_local_ingest/v1/a/m/x", None),
        ("$aws/rules/linkpulse_other_ingest/v1/a/m", None),
        ("v1/a/m", None),
    ],
)
def test_a_topic_tells_the_only_gateway_that_may_publish_to_it(topic: str, publisher: str | None) -> None:
    assert translated(CONNECT, PUBLISH).publisher(topic) == publisher


def test_a_topic_that_names_the_thing_twice_must_name_it_the_same() -> None:
    twice = {**PUBLISH, "Resource": f"{PREFIX}topic/{THING}/{THING}"}
    policy = translated(CONNECT, twice)
    assert (policy.publisher("a/a"), policy.publisher("a/b")) == ("a", None)


def test_the_condition_that_the_thing_is_attached_is_understood() -> None:
    condition = {"Bool": {"iot:Connection.Thing.IsAttached": ["true"]}}
    assert translated({**CONNECT, "Condition": condition}, PUBLISH) == translated(CONNECT, PUBLISH)


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ({**PUBLISH, "Effect": "Deny"}, "Effect Deny"),
        ({**PUBLISH, "Action": "iot:*"}, r"action iot:\* "),
        ({**PUBLISH, "Action": "iot:RetainPublish"}, "action iot:RetainPublish"),
        ({**PUBLISH, "Resource": "*"}, r"iot:Publish on \* is not understood"),
        ({**PUBLISH, "Resource": f"{PREFIX}topic/v1/*"}, r"'\*' in a resource"),
        ({**PUBLISH, "Resource": f"{PREFIX}topic/v1/x-{THING}"}, "x-"),
        ({**PUBLISH, "Resource": f"{PREFIX}topic/v1/${{iot:ClientId}}"}, "iot:ClientId"),
        ({**PUBLISH, "Resource": f"{PREFIX}topic/v1/%u"}, "'%u' in a resource"),
        ({**PUBLISH, "Resource": f"{PREFIX}topic/v1/all"}, "is not bound to"),
        ({**PUBLISH, "Resource": TOPIC.replace("us-east-1", "eu-west-1")}, "must begin with"),
        ({**PUBLISH, "Resource": f"{PREFIX}topicfilter/v1/{THING}"}, "must begin with"),
        ({**PUBLISH, "NotResource": "*"}, "NotResource is not understood"),
        ({**PUBLISH, "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}, "IpAddress aws:SourceIp"),
        (
            {**PUBLISH, "Condition": {"Bool": {"iot:Connection.Thing.IsAttached": "false"}}},
            "iot:Connection.Thing.IsAttached",
        ),
        ({**CONNECT, "Resource": f"{PREFIX}client/any"}, "iot:Connect must be on client/"),
    ],
)
def test_what_the_broker_cannot_enforce_is_an_error_that_names_it(
    statement: dict[str, Any], named: str
) -> None:
    with pytest.raises(PolicyError, match=named):
        translated(CONNECT, statement)


def test_a_policy_that_lets_nobody_connect_is_an_error() -> None:
    with pytest.raises(PolicyError, match="lets nobody connect"):
        translated(PUBLISH)


@pytest.mark.parametrize("document", ["", "[]", "{}"])
def test_what_is_no_policy_document_is_an_error(document: str) -> None:
    with pytest.raises(PolicyError, match="not a policy document"):
        translate(document, "us-east-1", ACCOUNT)
