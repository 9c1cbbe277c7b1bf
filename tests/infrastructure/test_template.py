"""The template keeps what the design promises: a message's path, the mapping, the functions."""

from __future__ import annotations

import pytest

from cloud import rollup_settings
from cloud.settings import SettingsError
from infrastructure.local.function.schedule import interval_s
from tests.translated import Template, arn, code_of, of_type, properties, translated, written

SQL = (
    "SELECT encode(*, 'base64') AS b, topic(2) AS thing, clientid() AS client, principal() AS principal, "
    "timestamp() AS rx FROM 'v1/+/m'"
)


@pytest.fixture(scope="module")
def template() -> Template:
    return translated()


@pytest.fixture(scope="module")
def source() -> Template:
    return written()


# --- the path of a message ------------------------------------------------------------------------


def test_the_rule_wraps_the_payload_with_the_sql_of_the_design(template: Template) -> None:
    payload = properties(template, "Rule")["TopicRulePayload"]
    assert payload["Sql"] == SQL
    assert payload["AwsIotSqlVersion"] == "2016-03-23"
    assert payload["RuleDisabled"] is False


def test_the_rule_puts_one_gateway_under_one_partition_key(template: Template) -> None:
    (action,) = properties(template, "Rule")["TopicRulePayload"]["Actions"]
    assert action == {
        "Kinesis": {
            "StreamName": {"Ref": "Stream"},
            "PartitionKey": "${topic(2)}",
            "RoleArn": arn("RuleRole"),
        }
    }


def test_failed_messages_go_to_s3_under_keys_that_cannot_collide(template: Template) -> None:
    error = properties(template, "Rule")["TopicRulePayload"]["ErrorAction"]
    assert error == {
        "S3": {
            "BucketName": {"Ref": "DeadLetters"},
            "Key": "rule-errors/${newuuid()}",
            "RoleArn": arn("RuleRole"),
        }
    }


def test_only_the_rule_and_the_policy_have_names_and_they_hold_the_stage(template: Template) -> None:
    naming = {"RuleName", "PolicyName", "Name", "StreamName", "TableName", "BucketName", "FunctionName"}
    naming |= {"RoleName", "LogGroupName", "TopicName", "AlarmName", "DashboardName"}
    named = {
        (name, key): value
        for name, each in template["Resources"].items()
        for key, value in each.get("Properties", {}).items()
        if key in naming and isinstance(value, (str, dict)) and "Ref" not in value
    }
    assert named == {
        ("Rule", "RuleName"): {"Fn::Sub": "linkpulse_${Stage}_ingest"},
        ("GatewayPolicy", "PolicyName"): {"Fn::Sub": "linkpulse-${Stage}-gateway"},
    }


# --- the ingest function and its mapping ----------------------------------------------------------


def test_the_function_is_what_the_package_builds(template: Template, source: Template) -> None:
    function = properties(template, "IngestFunction")
    assert function["Handler"] == "cloud.ingest.handler"
    assert function["Runtime"] == "python3.13"
    assert function["Architectures"] == ["arm64"]
    assert function["MemorySize"] == 512
    assert source["Resources"]["IngestFunction"]["Properties"]["CodeUri"] == "../build/lambda"
    assert source["Resources"]["IngestFunction"]["Metadata"]["SkipBuild"] is True


def test_the_function_is_told_its_tables_and_its_stage(template: Template) -> None:
    assert properties(template, "IngestFunction")["Environment"]["Variables"] == {
        "STAGE": {"Ref": "Stage"},
        "READINGS_TABLE": {"Ref": "ReadingsTable"},
        "LATEST_TABLE": {"Ref": "LatestTable"},
        "REGISTRY_TABLE": {"Ref": "RegistryTable"},
        "QUARANTINE_TABLE": {"Ref": "QuarantineTable"},
        "ALLOW_DIRECT": {"Ref": "AllowDirect"},
        "RETENTION_DAYS": {"Ref": "RetentionDays"},
        "LATE_DAYS": {"Ref": "LateDays"},
        "LATEST_DAYS": {"Ref": "LatestDays"},
    }


def test_the_mapping_retries_in_bounds_and_keeps_what_it_gives_up_on(template: Template) -> None:
    (mapping,) = of_type(template, "AWS::Lambda::EventSourceMapping").values()
    assert mapping["Properties"] == {
        "EventSourceArn": arn("Stream"),
        "FunctionName": {"Ref": "IngestFunction"},
        "StartingPosition": "TRIM_HORIZON",
        "BatchSize": 200,
        "MaximumBatchingWindowInSeconds": 5,
        "ParallelizationFactor": {"Ref": "ParallelizationFactor"},
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "BisectBatchOnFunctionError": True,
        "MaximumRetryAttempts": 100,
        "MaximumRecordAgeInSeconds": 43200,
        "DestinationConfig": {"OnFailure": {"Destination": arn("DeadLetters")}},
        "MetricsConfig": {"Metrics": ["EventCount"]},
    }


def test_the_stream_keeps_records_longer_than_the_mapping_retries(template: Template) -> None:
    (mapping,) = of_type(template, "AWS::Lambda::EventSourceMapping").values()
    age_s = mapping["Properties"]["MaximumRecordAgeInSeconds"]
    assert template["Parameters"]["StreamRetentionHours"]["MinValue"] * 3600 > age_s


def test_the_logs_of_the_function_are_its_own_and_end(template: Template) -> None:
    assert properties(template, "IngestFunction")["LoggingConfig"] == {"LogGroup": {"Ref": "IngestLogs"}}
    assert properties(template, "IngestLogs")["RetentionInDays"] == {"Ref": "LogDays"}


# --- the rollup function and its schedule ---------------------------------------------------------


def test_the_rollup_function_is_called_every_five_minutes_and_ends_before_the_next_call(
    template: Template,
) -> None:
    schedule = properties(template, "RollupSchedule")
    assert (schedule["ScheduleExpression"], schedule["State"]) == ("rate(5 minutes)", "ENABLED")
    assert schedule["Target"]["Arn"] == arn("RollupFunction")
    assert properties(template, "RollupFunction")["Timeout"] < interval_s(schedule["ScheduleExpression"])


def test_a_call_that_failed_is_left_to_the_next_one(template: Template) -> None:
    retry = properties(template, "RollupSchedule")["Target"]["RetryPolicy"]
    invoked = properties(template, "RollupFunctionEventInvokeConfig")
    assert retry["MaximumRetryAttempts"] == invoked["MaximumRetryAttempts"] == 0


def test_the_rollup_function_s_variables_are_those_that_its_settings_ask_for(template: Template) -> None:
    variables = properties(template, "RollupFunction")["Environment"]["Variables"]
    defaults = {name: str(each.get("Default")) for name, each in template["Parameters"].items()}
    given = {name: defaults.get(value["Ref"], value["Ref"]) for name, value in variables.items()}
    settings = rollup_settings.load(given)
    assert (settings.fine_days, settings.hour_days, settings.day_days) == (35, 400, 1830)
    assert (settings.retention_days, settings.late_days, settings.stage) == (30, 35, "dev")
    for name in ("STAGE", "READINGS_TABLE", "LATEST_TABLE", "LATE_DAYS"):
        with pytest.raises(SettingsError):
            rollup_settings.load({key: value for key, value in given.items() if key != name})


@pytest.mark.parametrize("function", ["IngestFunction", "RollupFunction"])
def test_every_variable_of_a_function_is_read_by_the_code(template: Template, function: str) -> None:
    code = code_of(properties(template, function)["Handler"])
    variables = properties(template, function)["Environment"]["Variables"]
    assert [name for name in variables if f'"{name}"' not in code] == []


def test_the_logs_of_the_rollup_function_are_its_own_and_end(template: Template) -> None:
    assert properties(template, "RollupFunction")["LoggingConfig"] == {"LogGroup": {"Ref": "RollupLogs"}}
    assert properties(template, "RollupLogs")["RetentionInDays"] == {"Ref": "LogDays"}
