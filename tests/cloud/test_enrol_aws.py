"""Enrolment against moto, for what only AWS has."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto import mock_aws

from cloud.enrolment import Enrolment
from cloud.target import Target
from tests.cloud.enrol_cloud import call, certificates, things


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    """A stack's outputs and parts on moto, reached as AWS is: by default credentials."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    outputs = {"Stage": "dev", "PolicyName": "linkpulse-dev-gateway", "RuleName": "linkpulse_dev_ingest"}
    with mock_aws():
        target = Target(
            "linkpulse-dev", _made={"outputs": {**outputs, "RegistryTable": "r", "LatestTable": "l"}}
        )
        target.client("iot").create_policy(policyName=outputs["PolicyName"], policyDocument="{}")
        target.dynamodb().create_table(
            TableName="r",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("p", "s")],
            KeySchema=[
                {"AttributeName": "p", "KeyType": "HASH"},
                {"AttributeName": "s", "KeyType": "RANGE"},
            ],
        )
        yield target


def test_on_aws_the_config_names_the_accounts_endpoint_and_amazons_root(aws: Target, tmp_path: Path) -> None:
    assert call(aws, "add", "roof-9", "--output", str(tmp_path)) == 0
    mqtt = tomllib.loads((tmp_path / "roof-9" / "agent.toml").read_text())["mqtt"]
    assert mqtt["endpoint"].endswith("-ats.iot.eu-west-1.amazonaws.com")
    assert mqtt["port"] == 8883
    assert mqtt["ca"] == "/etc/ssl/certs/Amazon_Root_CA_1.pem"
    assert not (tmp_path / "roof-9" / "ca.pem").exists()


def test_deleting_waits_for_a_detachment_to_spread(aws: Target, tmp_path: Path) -> None:
    call(aws, "add", "slow", "--output", str(tmp_path))
    (arn,) = certificates(aws, "slow")
    iot = aws.client("iot")
    waits: list[float] = []

    def sleep(wait_s: float) -> None:
        waits.append(wait_s)
        iot.detach_thing_principal(thingName="slow", principal=arn)

    Enrolment(aws, sleep)._patiently(lambda: iot.delete_thing(thingName="slow"))
    assert waits == [0.5]
    assert "slow" not in things(aws)
