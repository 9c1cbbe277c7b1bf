"""The subset of AWS IoT SQL gives what the rules engine would give, and refuses everything outside it."""

from __future__ import annotations

import base64
import json
import uuid
from typing import Any

import pytest

from infrastructure.local.deployment.deploy import Plan
from infrastructure.local.iot import topic_rule
from infrastructure.local.iot.rule import Publication, RuleError, Statement, Substitution

VERSION = "2016-03-23"
MESSAGE = Publication("v1/gw-1/m", b"\x00\xffbytes", "gw-1", "c0ffee", 1_795_000_000_123)


def evaluated(sql: str, publication: Publication = MESSAGE) -> Any:
    return json.loads(Statement.parse(sql, VERSION).evaluate(publication))


def test_the_template_s_statement_wraps_the_payload_so_that_nothing_in_it_can_pose_as_a_field(
    plan: Plan,
) -> None:
    payload = plan.document["Resources"]["Rule"]["Properties"]["TopicRulePayload"]
    statement = Statement.parse(payload["Sql"], payload["AwsIotSqlVersion"])
    posing = Publication("v1/gw-1/m", b'{"thing":"other"}', "gw-1", "c0ffee", 5)
    assert json.loads(statement.evaluate(posing)) == {
        "b": base64.b64encode(b'{"thing":"other"}').decode(),
        "thing": "gw-1",
        "client": "gw-1",
        "principal": "c0ffee",
        "rx": 5,
    }


def test_topic_counts_its_levels_from_one_and_without_a_number_is_the_whole() -> None:
    # Developer guide, "topic(Decimal)": the segment of that number, the first is 1; without one, the topic.
    assert evaluated("SELECT topic() AS a, topic(1) AS b, topic(3) AS c FROM '#'") == {
        "a": "v1/gw-1/m",
        "b": "v1",
        "c": "m",
    }


def test_an_undefined_value_is_left_out() -> None:
    assert evaluated("SELECT topic(9) AS none, topic(0) AS zero, clientid() AS c FROM '#'") == {"c": "gw-1"}


def test_keywords_and_functions_are_not_case_sensitive() -> None:
    assert evaluated("select ClientId() as c from '#'") == {"c": "gw-1"}


@pytest.mark.parametrize(
    ("topic_filter", "topic", "taken"),
    [
        ("v1/+/m", "v1/a/m", True),
        ("v1/+/m", "v1/a/b/m", False),
        ("v1/+/m", "v1/a", False),
        ("v1/#", "v1/a/b", True),
        ("v1/#", "v1", True),
        ("v1/+/m", "v2/a/m", False),
        ("v1/a", "v1/a/b", False),
        ("v1/a/b", "v1/a", False),
        ("#", "v1/a", True),
        # MQTT 3.1.1, 4.7.2: what begins with $ is not taken by a filter that begins with a wildcard.
        ("#", "$aws/things/a", False),
        ("+/things/a", "$aws/things/a", False),
        ("$aws/#", "$aws/things/a", True),
    ],
)
def test_the_filter_takes_topics_as_mqtt_does(topic_filter: str, topic: str, taken: bool) -> None:
    assert Statement.parse(f"SELECT topic() AS t FROM '{topic_filter}'", VERSION).matches(topic) is taken


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        ("SELECT * FROM 'a'", r"'\*' in the SELECT list"),
        ("SELECT topic() FROM 'a'", "in the SELECT list"),
        ("SELECT temperature AS t FROM 'a'", "in the SELECT list"),
        ("SELECT encode(*, 'hex') AS b FROM 'a'", r"encode\(\*, 'hex'\)"),
        ("SELECT encode(payload, 'base64') AS b FROM 'a'", r"encode\(payload, 'base64'\)"),
        ("SELECT traceid() AS t FROM 'a'", "the function traceid"),
        ("SELECT topic(x) AS t FROM 'a'", r"topic\(x\)"),
        ("SELECT clientid(1) AS t FROM 'a'", "clientid takes no arguments"),
        ("SELECT topic() AS t FROM 'a' WHERE x > 1", "'WHERE x > 1' after FROM"),
        ("SELECT topic() AS t", "not of the form"),
        ("SELEC nonsense FRM", "not of the form"),
        ("SELECT topic() AS a, FROM 'a'", "in the SELECT list"),
        ("SELECT topic() AS a, clientid() AS a FROM 'a'", "a stands twice"),
        ("SELECT encode(*, 'base64') AS b, * FROM 'a'", r"'\*' in the SELECT list"),
        ("SELECT encode(encode(*, 'base64'), 'base64') AS b FROM 'a'", "in the SELECT list"),
        ("SELECT topic(-1) AS t FROM 'a'", r"topic\(-1\)"),
        ("SELECT get_thing_shadow('a') AS t FROM 'a'", "in the SELECT list"),
        ("SELECT topic() AS t FROM ''", "the filter '' is none"),
        ("SELECT topic() AS t FROM 'a/#/b'", "the filter 'a/#/b' is none"),
        ("SELECT topic() AS t FROM 'a/b+'", r"the filter 'a/b\+' is none"),
        ("SELECT topic() AS t FROM 'a' ORDER BY t", "'ORDER BY t' after FROM"),
    ],
)
def test_what_is_outside_the_subset_is_an_error_that_names_it(sql: str, named: str) -> None:
    with pytest.raises(RuleError, match=named):
        Statement.parse(sql, VERSION)


def test_the_older_version_of_the_language_is_refused() -> None:
    # Developer guide, "SQL versions": a rule that names none has 2015-10-08, which treats binary otherwise.
    with pytest.raises(RuleError, match="2015-10-08"):
        Statement.parse("SELECT topic() AS t FROM 'a'", "2015-10-08")


def test_a_substitution_is_replaced_for_each_message() -> None:
    assert Substitution.parse("a-${topic(2)}-b").render(MESSAGE) == "a-gw-1-b"


def test_a_new_uuid_is_new_each_time() -> None:
    key = Substitution.parse("rule-errors/${newuuid()}")
    first, second = (key.render(MESSAGE).removeprefix("rule-errors/") for _ in range(2))
    assert first != second
    assert {uuid.UUID(first).version, uuid.UUID(second).version} == {4}


@pytest.mark.parametrize("text", ["${topic(2)", "${payload.x}", "${}", "${now()}"])
def test_a_substitution_outside_the_subset_is_an_error(text: str) -> None:
    with pytest.raises(RuleError):
        Substitution.parse(text)


# --- the deployed rule ------------------------------------------------------------------------------

KINESIS = {"kinesis": {"streamName": "s", "partitionKey": "${topic(2)}", "roleArn": "r"}}
S3 = {"bucketName": "b", "key": "k", "roleArn": "r"}
SQL = {"sql": "SELECT topic() AS t FROM 'v1/+/m'", "awsIotSqlVersion": VERSION}


def test_a_rule_is_read_with_its_action_and_its_error_action() -> None:
    rule = topic_rule.parse("r", {**SQL, "actions": [KINESIS], "errorAction": {"s3": S3}})
    assert (rule.stream, rule.partition_key.render(MESSAGE), rule.disabled) == ("s", "gw-1", False)
    assert rule.errors is not None
    assert rule.errors.bucket == "b"


@pytest.mark.parametrize(
    ("payload", "named"),
    [
        ({**SQL, "actions": []}, "exactly one action, kinesis; it has none"),
        ({**SQL, "actions": [{"sqs": {}}]}, "it has sqs"),
        ({**SQL, "actions": [KINESIS, KINESIS]}, "it has kinesis, kinesis"),
        ({**SQL, "actions": [KINESIS], "errorAction": {"sqs": {}}}, "must be s3, not sqs"),
        ({"sql": SQL["sql"], "actions": [KINESIS]}, "SQL version 2015-10-08"),
        ({**SQL, "actions": [{"kinesis": {"streamName": "s", "roleArn": "r"}}]}, "has no partitionKey"),
        ({**SQL, "actions": [{"kinesis": {**KINESIS["kinesis"], "x": 1}}]}, "x of its kinesis action"),
        (
            {**SQL, "actions": [KINESIS], "errorAction": {"s3": {**S3, "cannedAcl": "private"}}},
            "cannedAcl of its s3 action",
        ),
    ],
)
def test_a_rule_that_is_not_understood_is_an_error(payload: dict[str, Any], named: str) -> None:
    with pytest.raises(RuleError, match=named):
        topic_rule.parse("r", payload)
