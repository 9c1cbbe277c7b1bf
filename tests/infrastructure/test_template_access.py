"""Who may do what in a deployed stack: no more than it does."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

import pytest

from infrastructure.package import FILES, ROOT
from tests.translated import Template, arn, of_type, properties, translated

IOT = "arn:${AWS::Partition}:iot:${AWS::Region}:${AWS::AccountId}:"
THING = "${!iot:Connection.Thing.ThingName}"
READ_ONE_STREAM = {
    "kinesis:DescribeStream",
    "kinesis:DescribeStreamSummary",
    "kinesis:GetRecords",
    "kinesis:GetShardIterator",
    "kinesis:ListShards",
}


@pytest.fixture(scope="module")
def template() -> Template:
    return translated()


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def statements(template: Template, role: str) -> list[dict[str, Any]]:
    policies = properties(template, role)["Policies"]
    return [each for policy in policies for each in policy["PolicyDocument"]["Statement"]]


def granted(template: Template, role: str) -> dict[str, list[Any]]:
    """Action -> resources of a role."""
    pairs = [(action, each) for each in statements(template, role) for action in listed(each["Action"])]
    assert all(each["Effect"] == "Allow" for _, each in pairs)
    return {
        action: [r for a, each in pairs if a == action for r in listed(each["Resource"])]
        for action, _ in pairs
    }


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from itertools.chain.from_iterable(map(strings, value.values()))
    elif isinstance(value, list):
        yield from itertools.chain.from_iterable(map(strings, value))
    elif isinstance(value, str):
        yield value


def test_the_gateway_policy_allows_one_client_id_and_its_own_topics_and_nothing_else(
    template: Template,
) -> None:
    connect, publish, subscribe, receive = properties(template, "GatewayPolicy")["PolicyDocument"][
        "Statement"
    ]
    assert connect == {
        "Effect": "Allow",
        "Action": "iot:Connect",
        "Resource": {"Fn::Sub": f"{IOT}client/{THING}"},
        "Condition": {"Bool": {"iot:Connection.Thing.IsAttached": "true"}},
    }
    assert publish == {
        "Effect": "Allow",
        "Action": "iot:Publish",
        "Resource": [
            {"Fn::Sub": f"{IOT}topic/$aws/rules/linkpulse_${{Stage}}_ingest/v1/{THING}/m"},
            {"Fn::Sub": f"{IOT}topic/linkpulse/v1/{THING}/gone"},
        ],
    }
    assert subscribe == {
        "Effect": "Allow",
        "Action": "iot:Subscribe",
        "Resource": {"Fn::Sub": f"{IOT}topicfilter/linkpulse/v1/{THING}/resend"},
    }
    assert receive == {
        "Effect": "Allow",
        "Action": "iot:Receive",
        "Resource": {"Fn::Sub": f"{IOT}topic/linkpulse/v1/{THING}/resend"},
    }


def test_every_role_names_its_resources(template: Template) -> None:
    roles = of_type(template, "AWS::IAM::Role")
    assert set(roles) == {"RuleRole", "IngestRole"}
    for name, role in roles.items():
        assert "ManagedPolicyArns" not in role["Properties"]
        for statement in statements(template, name):
            assert "*" not in listed(statement["Resource"])
            assert not [action for action in listed(statement["Action"]) if "*" in action]
            for resource in strings(statement["Resource"]):
                assert not re.search(r":\*$|^\*", resource)


def test_the_rule_may_only_put_into_its_stream_and_its_prefix_and_only_for_itself(template: Template) -> None:
    assert granted(template, "RuleRole") == {
        "kinesis:PutRecord": [arn("Stream")],
        "s3:PutObject": [{"Fn::Sub": "${DeadLetters.Arn}/rule-errors/*"}],
    }
    (trust,) = properties(template, "RuleRole")["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "iot.amazonaws.com"}
    assert trust["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    assert trust["Condition"]["ArnEquals"] == {
        "aws:SourceArn": {"Fn::Sub": f"{IOT}rule/linkpulse_${{Stage}}_ingest"}
    }


def test_the_ingest_function_may_only_what_it_does(template: Template) -> None:
    given = granted(template, "IngestRole")
    writes = {action: given.pop(action) for action in sorted(given) if action.startswith("dynamodb:")}
    assert given == {
        **{action: [arn("Stream")] for action in READ_ONE_STREAM},
        "logs:CreateLogStream": [arn("IngestLogs")],
        "logs:PutLogEvents": [arn("IngestLogs")],
        "s3:PutObject": [{"Fn::Sub": "${DeadLetters.Arn}/aws/lambda/*"}],
        "s3:ListBucket": [arn("DeadLetters")],
    }
    assert writes == {
        "dynamodb:BatchWriteItem": [arn("ReadingsTable"), arn("QuarantineTable")],
        "dynamodb:PutItem": [arn("ReadingsTable"), arn("QuarantineTable"), arn("RegistryTable")],
        "dynamodb:UpdateItem": [arn("LatestTable")],
        "dynamodb:BatchGetItem": [arn("RegistryTable")],
    }
    assert properties(template, "IngestFunction")["Role"] == arn("IngestRole")


def test_the_ingest_function_may_do_what_its_code_asks_of_dynamodb(template: Template) -> None:
    code = "".join((ROOT / name).read_text() for name in FILES)
    asked = {name.replace("_", " ").title().replace(" ", "") for name in re.findall(r"client\.(\w+)\(", code)}
    allowed = {action.partition(":")[2] for action in granted(template, "IngestRole") if "dynamodb" in action}
    assert asked == allowed
