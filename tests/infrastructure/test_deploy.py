"""The template is deployed whole: what the engine leaves is in differences.toml, or the deployment fails."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infrastructure.local.deployment import deploy, differences, template
from infrastructure.local.deployment.completion import COMPLETIONS
from infrastructure.local.deployment.deploy import DeployError, Deployment, Plan
from infrastructure.local.deployment.differences import DifferencesError, Reviewed
from infrastructure.local.deployment.intrinsics import TemplateError
from infrastructure.local.deployment.inventory import READERS
from infrastructure.local.function.schedule import parse
from tests.infrastructure.parts import ROOT, Engine

TABLE = "AWS::DynamoDB::Table"
Change = Callable[[dict[str, Any]], None]


def staged(plan: Plan, stage: str, change: Change | None = None) -> Plan:
    """The plan for a stack of its own, with a change made to it."""
    document = copy.deepcopy(dict(plan.document))
    if change:
        change(document)
    return Plan(f"linkpulse-{stage}", {**plan.parameters, "Stage": stage}, document, plan.artifacts)


# --- the real template --------------------------------------------------------------------------------


def test_the_template_deploys_with_no_difference_that_is_not_reviewed(deployment: Deployment) -> None:
    assert deployment.outputs["Stage"] == "local"
    assert deployment.outputs["AllowDirect"] == "true"
    assert deployment.properties > 200


def test_no_entry_of_the_reviewed_file_is_out_of_date(deployment: Deployment) -> None:
    assert deployment.stale == ()


def test_what_is_said_to_be_applied_is_there(running_engine: Engine, deployment: Deployment) -> None:
    dynamodb, kinesis = running_engine.clients.dynamodb, running_engine.clients.kinesis
    table, stream = deployment.outputs["ReadingsTable"], deployment.outputs["StreamName"]
    expiry = dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    backups = dynamodb.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
    encrypted = kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
    lifecycle = running_engine.clients.s3.get_bucket_lifecycle_configuration(
        Bucket=deployment.outputs["DeadLetterBucket"]
    )
    assert (expiry["TimeToLiveStatus"], expiry["AttributeName"]) == ("ENABLED", "e")
    assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"
    assert (encrypted["EncryptionType"], encrypted["KeyId"]) == ("KMS", "alias/aws/kinesis")
    assert lifecycle["Rules"][0]["Expiration"]["Days"] == 90


def test_the_engine_s_own_poller_is_held(running_engine: Engine, deployment: Deployment) -> None:
    mapping = running_engine.clients.lambda_.get_event_source_mapping(
        UUID=deployment.physical_ids["IngestFunctionMapping"]
    )
    assert mapping["State"] == "Disabled"


def test_the_engine_s_own_scheduler_is_held_and_the_schedule_is_else_as_written(
    running_engine: Engine, deployment: Deployment
) -> None:
    found = running_engine.clients.scheduler.get_schedule(Name=deployment.physical_ids["RollupSchedule"])
    assert found["State"] == "DISABLED"
    assert parse(found).event == {}


def test_changes_of_link_states_are_mailed_when_there_is_an_address(
    running_engine: Engine, built: dict[Path, bytes]
) -> None:
    given = {"Stage": "mailed", "ChangeEmail": "a@b.example"}
    mailed = deploy.plan(deploy.TEMPLATE, given, built)
    made = deploy.deploy(running_engine.clients, mailed, differences.load())
    assert {"ChangeRule", "ChangeTopic", "ChangeTopicPolicy"} <= set(made.physical_ids)


def test_the_function_has_the_built_archive_byte_for_byte(
    running_engine: Engine, deployment: Deployment, built: dict[Path, bytes]
) -> None:
    (archive,) = built.values()
    key = hashlib.sha256(archive).hexdigest()
    stored = running_engine.clients.s3.get_object(Bucket=template.ARTIFACTS, Key=key)["Body"].read()
    configured = running_engine.clients.lambda_.get_function_configuration(
        FunctionName=deployment.outputs["FunctionName"]
    )
    assert stored == archive
    assert configured["CodeSize"] == len(archive)


def test_every_type_of_the_template_can_be_read_back(plan: Plan) -> None:
    assert set(plan.types.values()) <= set(READERS)


def test_everything_that_is_said_to_be_applied_can_be() -> None:
    applied = {(each.type, each.property) for each in differences.load() if each.cls == "applied"}
    assert applied == set(COMPLETIONS)


def test_the_model_of_each_modelled_difference_exists() -> None:
    assert all((ROOT / each.model).is_file() for each in differences.load() if each.model)


# --- what must fail -----------------------------------------------------------------------------------


def test_a_difference_that_is_not_reviewed_fails_and_names_resource_and_property(
    running_engine: Engine, plan: Plan
) -> None:
    reviewed = tuple(each for each in differences.load() if each.property != "TimeToLiveSpecification")
    with pytest.raises(DeployError, match=r"ReadingsTable \(AWS::DynamoDB::Table\) TimeToLiveSpecification"):
        deploy.deploy(running_engine.clients, staged(plan, "ttl"), reviewed)


def test_an_entry_that_no_longer_differs_is_reported(running_engine: Engine, plan: Plan) -> None:
    outdated = Reviewed(TABLE, "KeySchema", "dropped", "was so once")
    made = deploy.deploy(running_engine.clients, staged(plan, "stale"), (*differences.load(), outdated))
    assert made.stale == (outdated,)


def test_a_resource_that_the_engine_does_not_know_fails(running_engine: Engine, plan: Plan) -> None:
    def add(document: dict[str, Any]) -> None:
        document["Resources"]["Odd"] = {"Type": "AWS::Linkpulse::Unheard", "Properties": {}}

    with pytest.raises((DeployError, TemplateError), match="Unheard"):
        deploy.deploy(running_engine.clients, staged(plan, "odd", add), differences.load())


def test_a_resource_that_nothing_reads_back_fails(running_engine: Engine, plan: Plan) -> None:
    def add(document: dict[str, Any]) -> None:
        document["Resources"]["Extra"] = {"Type": "AWS::SQS::Queue", "Properties": {"DelaySeconds": 1}}

    with pytest.raises(TemplateError, match="Extra: no reader for AWS::SQS::Queue"):
        deploy.deploy(running_engine.clients, staged(plan, "extra", add), differences.load())


def test_a_property_that_the_engine_drops_fails(running_engine: Engine, plan: Plan) -> None:
    def add(document: dict[str, Any]) -> None:
        stream = document["Resources"]["Stream"]["Properties"]
        stream["DesiredShardLevelMetrics"] = ["IncomingBytes"]

    with pytest.raises(DeployError, match=r"Stream \(AWS::Kinesis::Stream\) DesiredShardLevelMetrics"):
        deploy.deploy(running_engine.clients, staged(plan, "metric", add), differences.load())


def test_what_is_said_to_be_applied_and_cannot_be_fails(running_engine: Engine, plan: Plan) -> None:
    reviewed = tuple(
        replace(each, cls="applied", model="") if each.property == "MetricsConfig" else each
        for each in differences.load()
    )
    with pytest.raises(DifferencesError, match="MetricsConfig is applied, but"):
        deploy.deploy(running_engine.clients, staged(plan, "cannot", None), reviewed)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"Stge": "x"}, "no parameter Stge; it has Stage, AllowDirect"),
        ({"Stage": "Dev"}, "parameter Stage is 'Dev': up to 16 lower-case letters"),
        ({"AllowDirect": "maybe"}, "'maybe', not one of true, false"),
        ({"StreamShards": "0"}, "'0', not a number from 1 to 500"),
        ({"RetentionDays": "soon"}, "'soon', not a number"),
    ],
)
def test_a_wrong_parameter_is_named(built: dict[Path, bytes], given: dict[str, str], named: str) -> None:
    with pytest.raises(TemplateError, match=named):
        deploy.plan(deploy.TEMPLATE, given, built)


@pytest.mark.parametrize(
    ("text", "named"),
    [(None, "cannot be read: No such file"), ("{", "is not YAML"), ("a: 1", "has no Resources")],
)
def test_a_template_that_cannot_be_read_is_named(tmp_path: Path, text: str | None, named: str) -> None:
    path = tmp_path / "template.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(TemplateError, match=named):
        deploy.plan(path, {}, {})


def test_a_function_whose_code_is_not_built_is_named() -> None:
    with pytest.raises(TemplateError, match=r"IngestFunction: CodeUri is .*lambda, which .*package"):
        deploy.plan(deploy.TEMPLATE, {}, {})
