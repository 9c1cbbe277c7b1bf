"""Which cloud is meant: the options, the state folder, and one line for each way it can fail."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from cloud.target import Target, TargetError, add_options, failures, from_arguments, resolve

CONNECTION = {
    "endpoint_url": "http://127.0.0.1:1",
    "region": "eu-west-1",
    "access_key_id": "local-key",
    "secret_access_key": "local-secret",
    "stack": "linkpulse-local",
    "mqtt_endpoint": "127.0.0.1",
    "mqtt_port": 18883,
    "ca": "ca.pem",
    "later": "a field that this version does not know",
}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "connection.json").write_text(json.dumps(CONNECTION))
    return tmp_path


def resolved(*arguments: str, environment: dict[str, str] | None = None) -> Target:
    parser = argparse.ArgumentParser()
    add_options(parser)
    return from_arguments(parser.parse_args(arguments), environment or {})


def test_a_named_stack_is_on_aws_even_when_a_local_cloud_is_up(state: Path) -> None:
    target = resolved("--stack", "mine", environment={"LINKPULSE_STATE": str(state)})
    assert (target.stack, target.is_local) == ("mine", False)


def test_without_options_the_local_cloud_that_is_up_is_meant(state: Path) -> None:
    target = resolved(environment={"LINKPULSE_STATE": str(state)})
    assert (target.stack, target.is_local, target.state) == ("linkpulse-local", True, state)
    assert resolved("--local", str(state)) == target


def test_without_options_and_without_a_local_cloud_the_default_stack_is_meant(tmp_path: Path) -> None:
    target = resolved(environment={"LINKPULSE_STATE": str(tmp_path)})
    assert (target.stack, target.is_local) == ("linkpulse-dev", False)


def test_a_local_cloud_that_is_not_there_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=r"no local cloud in .*: start one with `local-cloud up`") as raised:
        resolved("--local", str(tmp_path))
    assert raised.value.code == 1


def test_both_options_are_a_usage_error() -> None:
    with pytest.raises(TargetError, match="not both") as raised:
        resolve("a", "b")
    assert raised.value.code == 2


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"stack": "x"}'])
def test_a_broken_connection_file_is_one_line_that_names_it(tmp_path: Path, content: str) -> None:
    (tmp_path / "connection.json").write_text(content)
    with pytest.raises(TargetError, match=r"connection\.json cannot be read"):
        resolved("--local", str(tmp_path))


def test_the_local_cloud_gets_its_own_credentials_whatever_the_user_has_set(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "AWS_PROFILE": "no-such-profile",
        "AWS_ACCESS_KEY_ID": "REAL",
        "AWS_SECRET_ACCESS_KEY": "REAL",
        "AWS_SESSION_TOKEN": "REAL",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    client: Any = resolved("--local", str(state)).dynamodb()
    credentials = client._request_signer._credentials
    assert (credentials.access_key, credentials.secret_key) == ("local-key", "local-secret")
    assert credentials.token is None
    assert client.meta.endpoint_url == "http://127.0.0.1:1"
    assert client.meta.region_name == "eu-west-1"


def test_secrets_are_not_in_the_representation_of_a_target(state: Path) -> None:
    assert "local-secret" not in repr(resolved("--local", str(state)))


def test_the_brokers_address_and_ca_come_from_the_connection(state: Path) -> None:
    broker = resolved("--local", str(state)).broker()
    assert (broker.endpoint, broker.port) == ("127.0.0.1", 18883)
    assert broker.ca is not None
    assert broker.ca.is_absolute()


def test_a_local_cloud_that_does_not_answer_is_one_line(state: Path) -> None:
    with pytest.raises(
        TargetError, match=r"the local cloud at http://127.0.0.1:1 .* does not answer"
    ) as raised:
        resolved("--local", str(state)).outputs()
    assert "\n" not in str(raised.value)


def test_a_stack_that_is_not_there_is_one_line(aws: None) -> None:
    with pytest.raises(TargetError, match="there is no stack nowhere on AWS"):
        Target("nowhere").outputs()


def test_missing_credentials_are_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(TargetError, match="no AWS credentials: run `aws configure`"):
        Target("any").outputs()


def test_the_region_may_come_from_either_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """boto3 alone reads only AWS_DEFAULT_REGION, while our own message says AWS_REGION."""
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_REGION", "af-south-1")
    assert Target("any").session().region_name == "af-south-1"
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert Target("any").session().region_name == "eu-west-1"


def test_a_missing_region_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(TargetError, match="no AWS region: set AWS_REGION"):
        Target("any").dynamodb()


def test_outputs_are_fetched_once_and_a_missing_one_is_named(stack: Target) -> None:
    assert stack.outputs() is stack.outputs()
    with pytest.raises(TargetError, match="has no output Nothing"):
        stack.output("Nothing")


def test_an_error_of_aws_is_one_line_with_its_code(stack: Target) -> None:
    with pytest.raises(TargetError, match="DescribeTable: ResourceNotFoundException"), failures(stack):
        stack.dynamodb().describe_table(TableName="nowhere")
