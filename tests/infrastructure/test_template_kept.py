"""The template keeps what the design promises: what is kept, parameters, outputs, and no complaint."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.translated import TEMPLATE, Template, arn, of_type, properties, translated

KEPT = ("Stream", "ReadingsTable", "LatestTable", "RegistryTable", "QuarantineTable", "DeadLetters")
TABLES = ("ReadingsTable", "LatestTable", "RegistryTable", "QuarantineTable")


@pytest.fixture(scope="module")
def template() -> Template:
    return translated()


# --- what is kept ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*KEPT, "DeadLettersPolicy"])
def test_what_holds_data_outlives_the_stack(template: Template, name: str) -> None:
    # RetainExceptOnCreate is Retain, but that a first deployment that fails leaves nothing behind.
    assert template["Resources"][name]["DeletionPolicy"] == "RetainExceptOnCreate"
    assert template["Resources"][name]["UpdateReplacePolicy"] == "Retain"


@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_encrypted_recoverable_and_paid_by_use(template: Template, name: str) -> None:
    table = properties(template, name)
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["SSESpecification"] == {"SSEEnabled": True}
    declared = {each["AttributeName"] for each in table["AttributeDefinitions"]}
    assert declared == {each["AttributeName"] for each in table["KeySchema"]}


def test_readings_and_quarantined_records_expire_and_the_registry_does_not(template: Template) -> None:
    assert set(of_type(template, "AWS::DynamoDB::Table")) == set(TABLES)
    expiring = {name for name in TABLES if "TimeToLiveSpecification" in properties(template, name)}
    assert expiring == {"ReadingsTable", "QuarantineTable"}
    for name in expiring:
        ttl = properties(template, name)["TimeToLiveSpecification"]
        assert ttl == {"AttributeName": "e", "Enabled": True}


def test_the_tables_have_the_keys_of_the_design(template: Template) -> None:
    keys = {
        name: [(key["AttributeName"], key["KeyType"]) for key in properties(template, name)["KeySchema"]]
        for name in TABLES
    }
    composite = [("p", "HASH"), ("s", "RANGE")]
    assert keys.pop("LatestTable") == [("gateway", "HASH")]
    assert all(key == composite for key in keys.values())


def test_the_stream_is_encrypted_and_its_mode_is_a_choice(template: Template) -> None:
    assert properties(template, "Stream") == {
        "RetentionPeriodHours": {"Ref": "StreamRetentionHours"},
        "ShardCount": {"Fn::If": ["Provisioned", {"Ref": "StreamShards"}, {"Ref": "AWS::NoValue"}]},
        "StreamModeDetails": {"StreamMode": {"Ref": "StreamMode"}},
        "StreamEncryption": {"EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"},
    }


def test_the_bucket_is_private_encrypted_and_emptied_in_time(template: Template) -> None:
    bucket = properties(template, "DeadLetters")
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    (expiry,) = bucket["LifecycleConfiguration"]["Rules"]
    assert expiry["Status"] == "Enabled"
    assert expiry["ExpirationInDays"] == {"Ref": "DeadLetterDays"}


def test_the_bucket_refuses_plain_http(template: Template) -> None:
    (deny,) = properties(template, "DeadLettersPolicy")["PolicyDocument"]["Statement"]
    assert (deny["Effect"], deny["Principal"], deny["Action"]) == ("Deny", "*", "s3:*")
    assert deny["Resource"] == [arn("DeadLetters"), {"Fn::Sub": "${DeadLetters.Arn}/*"}]
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


# --- parameters and outputs -----------------------------------------------------------------------


def test_every_parameter_has_a_safe_default(template: Template) -> None:
    defaults = {name: each.get("Default") for name, each in template["Parameters"].items()}
    assert defaults == {
        "Stage": "dev",
        "AllowDirect": "false",
        "RetentionDays": 30,
        "LateDays": 35,
        "Rollup5mDays": 35,
        "Rollup1hDays": 400,
        "Rollup1dDays": 1830,
        "LatestDays": 7,
        "ResendHours": 168,
        "StreamMode": "PROVISIONED",
        "StreamShards": 1,
        "StreamRetentionHours": 24,
        "ParallelizationFactor": 1,
        "LogDays": 14,
        "DeadLetterDays": 90,
        "AlarmEmail": "",
        "ChangeEmail": "",
        "RunbookUrl": "infrastructure/runbooks.md",
    }
    assert all(each["Description"] for each in template["Parameters"].values())


@pytest.mark.parametrize(
    ("stage", "fits"),
    [("dev", True), ("p2", True), ("a-b", False), ("Dev", False), ("2p", False), ("", False)],
)
def test_a_stage_is_a_name_that_an_iot_rule_can_hold(template: Template, stage: str, fits: bool) -> None:
    pattern = template["Parameters"]["Stage"]["AllowedPattern"]
    assert bool(re.fullmatch(pattern, stage)) is fits


@pytest.mark.parametrize(("address", "fits"), [("", True), ("a@b.example", True), ("nobody", False)])
def test_the_alarm_address_is_empty_or_an_address(template: Template, address: str, fits: bool) -> None:
    assert bool(re.fullmatch(template["Parameters"]["AlarmEmail"]["AllowedPattern"], address)) is fits


def test_the_outputs_are_those_that_the_tools_read(template: Template) -> None:
    values = {name: each["Value"]["Ref"] for name, each in template["Outputs"].items()}
    assert values == {
        "Stage": "Stage",
        "RuleName": "Rule",
        "StreamName": "Stream",
        "PolicyName": "GatewayPolicy",
        "FunctionName": "IngestFunction",
        "ReadingsTable": "ReadingsTable",
        "LatestTable": "LatestTable",
        "RegistryTable": "RegistryTable",
        "QuarantineTable": "QuarantineTable",
        "DeadLetterBucket": "DeadLetters",
        "AllowDirect": "AllowDirect",
        "RollupFunctionName": "RollupFunction",
        "Dashboard": "Dashboard",
    }


def test_cfn_lint_finds_nothing() -> None:
    linter = Path(sys.executable).parent / "cfn-lint"
    done = subprocess.run([linter, str(TEMPLATE)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_what_checkov_may_pass_over_has_a_reason_and_is_no_more_than_it_would_find() -> None:
    skips = re.findall(r"^ +# checkov:skip=(\w+):(.*)$", TEMPLATE.read_text(), flags=re.M)
    assert all(len(reason) > 40 for _, reason in skips)
    assert {check for check, _ in skips} == {
        "CKV_AWS_18",  # access logs of the bucket
        "CKV_AWS_26",  # an own key for the topic
        "CKV_AWS_115",  # reserved concurrency
        "CKV_AWS_116",  # a queue for asynchronous calls
        "CKV_AWS_117",  # a VPC
        "CKV_AWS_119",  # an own key for tables
        "CKV_AWS_158",  # an own key for logs
        "CKV_AWS_173",  # an own key for names of tables
    }
