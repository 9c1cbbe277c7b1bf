"""What each role of a deployed stack may do: no more than it does."""

from __future__ import annotations

import fnmatch
import re

import pytest

from cloud import announce, keys
from tests.infrastructure.policies import IOT, granted, statements
from tests.translated import Template, arn, code_of, of_type, properties, translated

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


def test_the_roles_are_ours_and_have_no_managed_policies(template: Template) -> None:
    # SAM makes roles of its own, with managed policies, for what names no role.
    assert set(of_type(template, "AWS::IAM::Role")) == {
        "RuleRole",
        "IngestRole",
        "RollupRole",
        "RollupScheduleRole",
    }
    assert not of_type(template, "AWS::IAM::ManagedPolicy")
    assert "ManagedPolicyArns" not in str(template)
    assert ":aws:policy/" not in str(template)


@pytest.mark.parametrize(
    ("role", "service"),
    [
        ("RuleRole", "iot"),
        ("IngestRole", "lambda"),
        ("RollupRole", "lambda"),
        ("RollupScheduleRole", "scheduler"),
    ],
)
def test_a_role_is_taken_by_one_service_and_nobody_else(template: Template, role: str, service: str) -> None:
    (trust,) = properties(template, role)["AssumeRolePolicyDocument"]["Statement"]
    assert (trust["Effect"], trust["Action"]) == ("Allow", "sts:AssumeRole")
    assert trust["Principal"] == {"Service": f"{service}.amazonaws.com"}
    # IAM user guide, "The confused deputy problem": who acts for many accounts is told for which.
    guarded = trust.get("Condition", {}).get("StringEquals", {})
    assert (guarded == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}) is (service != "lambda")


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
        "events:PutEvents": [
            {"Fn::Sub": "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:event-bus/default"}
        ],
    }
    assert writes == {
        "dynamodb:BatchWriteItem": [arn("ReadingsTable"), arn("QuarantineTable")],
        "dynamodb:PutItem": [
            arn("ReadingsTable"),
            arn("QuarantineTable"),
            arn("LatestTable"),
            arn("RegistryTable"),
        ],
        "dynamodb:UpdateItem": [arn("LatestTable")],
        "dynamodb:BatchGetItem": [arn("LatestTable"), arn("RegistryTable")],
    }
    assert properties(template, "IngestFunction")["Role"] == arn("IngestRole")


def test_events_go_out_under_the_name_that_the_code_gives_and_that_the_rule_waits_for(
    template: Template,
) -> None:
    for role in ("IngestRole", "RollupRole"):
        (put,) = (each for each in statements(template, role) if each["Action"] == "events:PutEvents")
        assert put["Condition"] == {"StringEquals": {"events:source": announce.SOURCE}}
    pattern = properties(template, "ChangeRule")["EventPattern"]
    assert (pattern["source"], pattern["detail-type"]) == ([announce.SOURCE], [announce.DETAIL_TYPE])
    assert pattern["detail"] == {"stage": [{"Ref": "Stage"}]}


def test_the_topic_of_changes_takes_messages_from_its_rule_alone(template: Template) -> None:
    (allow,) = properties(template, "ChangeTopicPolicy")["PolicyDocument"]["Statement"]
    assert allow == {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": {"Ref": "ChangeTopic"},
        "Condition": {"ArnEquals": {"aws:SourceArn": arn("ChangeRule")}},
    }


def test_the_rollup_function_may_only_what_it_does(template: Template) -> None:
    assert granted(template, "RollupRole") == {
        "dynamodb:Scan": [arn("LatestTable")],
        "dynamodb:UpdateItem": [arn("LatestTable")],
        "events:PutEvents": [
            {"Fn::Sub": "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:event-bus/default"}
        ],
        "dynamodb:GetItem": [arn("ReadingsTable")],
        "dynamodb:Query": [arn("ReadingsTable")],
        "iot:Publish": [{"Fn::Sub": f"{IOT}topic/linkpulse/v1/*/resend"}],
        "iot:DescribeEndpoint": ["*"],
        "dynamodb:PutItem": [arn("ReadingsTable")],
        "dynamodb:DeleteItem": [arn("ReadingsTable")],
        "logs:CreateLogStream": [arn("RollupLogs")],
        "logs:PutLogEvents": [arn("RollupLogs")],
    }
    assert properties(template, "RollupFunction")["Role"] == arn("RollupRole")


def test_the_rollup_function_may_remove_marks_alone_and_no_readings(template: Template) -> None:
    (delete,) = (each for each in statements(template, "RollupRole") if "DeleteItem" in str(each["Action"]))
    patterns = delete["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
    # ForAllValues holds for a request without the key as well (IAM user guide): it must have it.
    assert delete["Condition"]["Null"] == {"dynamodb:LeadingKeys": "false"}

    def allowed(partition: str) -> bool:
        return any(fnmatch.fnmatchcase(partition, pattern) for pattern in patterns)

    assert all(allowed(keys.mark_partition(shard)) for shard in range(keys.MARK_SHARDS))
    chunk = keys.chunk_partition("D", 1_795_000_000_000)
    rollup = keys.rollup_partition("D", "5m", 1_795_000_000_000)
    assert not any(map(allowed, (chunk, rollup, keys.CURSOR_PARTITION)))


def test_the_schedule_may_invoke_the_rollup_function_alone(template: Template) -> None:
    assert granted(template, "RollupScheduleRole") == {"lambda:InvokeFunction": [arn("RollupFunction")]}
    assert properties(template, "RollupSchedule")["Target"]["RoleArn"] == arn("RollupScheduleRole")


@pytest.mark.parametrize("function", ["Ingest", "Rollup"])
def test_a_function_may_do_what_its_code_asks_of_dynamodb_and_nothing_else(
    template: Template, function: str
) -> None:
    code = code_of(properties(template, f"{function}Function")["Handler"])
    asked = {name.replace("_", " ").title().replace(" ", "") for name in re.findall(r"client\.(\w+)\(", code)}
    asked -= {"PutEvents", "Publish"}  # of EventBridge, and of AWS IoT Data
    given = granted(template, f"{function}Role")
    assert asked == {action.partition(":")[2] for action in given if action.startswith("dynamodb:")}
