"""Enrolment against the engine of the local cloud, and against moto for what only AWS has."""

from __future__ import annotations

import argparse
import re
import stat
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from moto import mock_aws

from cloud import enrol
from cloud.enrolment import Enrolment
from cloud.target import Connection, Target, TargetError
from edge_agent.config_load import load
from infrastructure.local.engine import device_ca
from tests.deployed import deployed


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    with deployed(tmp_path_factory.mktemp("engine")) as made:
        yield made


@pytest.fixture(scope="module")
def target(connection: Connection) -> Target:
    return Target(connection.stack, connection)


def call(target: Target, *arguments: str) -> int:
    """Run `gateways …` as linkview would."""
    parser = argparse.ArgumentParser()
    enrol.add_parser(parser.add_subparsers())
    args = parser.parse_args(arguments)
    enrol.check_names(args.names)
    code: int = args.enrolment(args, target)
    return code


def certificates(target: Target, gateway: str) -> list[str]:
    """Certificate ARNs of a thing; [] when there is no thing."""
    iot = target.client("iot")
    try:
        found: list[str] = iot.list_thing_principals(thingName=gateway)["principals"]
    except iot.exceptions.ResourceNotFoundException:
        return []
    return found


def things(target: Target) -> set[str]:
    return {thing["thingName"] for thing in target.client("iot").list_things(maxResults=250)["things"]}


def all_certificates(target: Target) -> set[str]:
    listed = target.client("iot").list_certificates(pageSize=250)["certificates"]
    return {each["certificateArn"] for each in listed}


def registry(target: Target, gateway: str) -> dict[str, Any]:
    key = {"p": {"S": gateway}, "s": {"S": "GATEWAY"}}
    found = target.dynamodb().get_item(TableName=target.output("RegistryTable"), Key=key)
    item: dict[str, Any] = found.get("Item", {})
    return item


def without_policy(target: Target) -> Target:
    """The target with outputs that name a policy that does not exist."""
    return replace(target, _made={**target._made, "outputs": {**target.outputs(), "PolicyName": "gone"}})


def key_of(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


# --- add ------------------------------------------------------------------------------------------


def test_the_certificate_is_the_gateways_by_name_by_key_and_by_signature(
    target: Target, tmp_path: Path
) -> None:
    assert call(target, "add", "roof-1", "--output", str(tmp_path)) == 0
    certificate = x509.load_pem_x509_certificate((tmp_path / "roof-1" / "gateway.pem").read_bytes())
    (name,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert name.value == "roof-1"
    assert certificate.public_key() == key_of(tmp_path / "roof-1" / "gateway.key").public_key()
    assert target.connection is not None
    ca = x509.load_pem_x509_certificate(device_ca(target.connection.endpoint_url))
    certificate.verify_directly_issued_by(ca)


def test_the_key_is_an_ec_p256_key_that_only_its_owner_reads(target: Target, tmp_path: Path) -> None:
    call(target, "add", "roof-2", "--output", str(tmp_path))
    path = tmp_path / "roof-2" / "gateway.key"
    assert isinstance(key_of(path).curve, ec.SECP256R1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_the_thing_has_one_active_certificate_with_the_policy_of_the_stack(
    target: Target, tmp_path: Path
) -> None:
    call(target, "add", "roof-3", "--output", str(tmp_path))
    iot = target.client("iot")
    (arn,) = certificates(target, "roof-3")
    described = iot.describe_certificate(certificateId=arn.rpartition("/")[2])["certificateDescription"]
    assert described["status"] == "ACTIVE"
    policies = iot.list_attached_policies(target=arn)["policies"]
    assert [each["policyName"] for each in policies] == ["linkpulse-local-gateway"]
    assert registry(target, "roof-3")["certificate"]["S"] == arn.rpartition("/")[2]


def test_the_config_names_the_broker_the_rule_and_the_files(target: Target, tmp_path: Path) -> None:
    call(target, "add", "roof-4", "--output", str(tmp_path))
    folder = tmp_path / "roof-4"
    assert target.connection is not None
    config = tomllib.loads((folder / "agent.toml").read_text())
    assert config["gateway"] == {"name": "roof-4"}
    assert config["mqtt"] == {
        "publisher": "paho",
        "endpoint": "127.0.0.1",
        "port": target.connection.mqtt_port,
        "rule": "linkpulse_local_ingest",
        "ca": "ca.pem",
        "certificate": "gateway.pem",
        "key": "gateway.key",
    }
    assert (folder / "ca.pem").read_bytes() == Path(target.connection.ca).read_bytes()
    assert not list(folder.glob("*.part"))


def test_the_agent_takes_the_config_and_the_sample_link_once_uncommented(
    target: Target, tmp_path: Path
) -> None:
    call(target, "add", "roof-5", "--output", str(tmp_path))
    path = tmp_path / "roof-5" / "agent.toml"
    text, mark, sample = path.read_text().partition("# [[link]]")
    path.write_text(text + re.sub("^# ", "", mark + sample, flags=re.MULTILINE))
    config = load(path, {})
    assert config.gateway.name == "roof-5"
    assert config.mqtt.key == tmp_path / "roof-5" / "gateway.key"
    assert config.spool.path == tmp_path / "roof-5" / "spool"
    (link,) = config.links
    assert (link.id, link.probes) == ("roof-5:eth0", ("echo", "interface"))


def test_fifty_gateways_are_enrolled_in_one_call(target: Target, tmp_path: Path) -> None:
    names = [f"many-{number}" for number in range(50)]
    assert call(target, "add", *names, "--output", str(tmp_path), "--site", "field") == 0
    assert set(names) <= things(target)
    keys = {(tmp_path / name / "gateway.key").read_bytes() for name in names}
    assert len(keys) == 50
    assert all(registry(target, name)["site"]["S"] == "field" for name in names)


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "-a", "a b", "a/b", "a+", "a#", "../a", "x" * 64, "é"])
def test_a_name_that_a_topic_or_path_cannot_hold_is_refused(
    target: Target, name: str, tmp_path: Path
) -> None:
    with pytest.raises(TargetError, match="cannot name a gateway") as refusal:
        call(target, "add", "--output", str(tmp_path), "--", "good-one", name)
    assert refusal.value.code == 2
    assert "good-one" not in things(target)


def test_a_name_given_twice_is_refused(target: Target, tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="twin is given twice"):
        call(target, "add", "twin", "twin", "--output", str(tmp_path))
    assert "twin" not in things(target)


def test_an_enrolled_name_is_refused_before_anything_is_made(target: Target, tmp_path: Path) -> None:
    call(target, "add", "taken", "--output", str(tmp_path))
    before = (tmp_path / "taken" / "gateway.key").read_bytes()
    with pytest.raises(TargetError, match="taken is enrolled already"):
        call(target, "add", "free", "taken", "--output", str(tmp_path / "other"))
    assert "free" not in things(target)
    assert (tmp_path / "taken" / "gateway.key").read_bytes() == before


def test_a_key_in_the_folder_is_never_overwritten_unasked(target: Target, tmp_path: Path) -> None:
    (tmp_path / "held").mkdir()
    (tmp_path / "held" / "gateway.key").write_text("mine")
    with pytest.raises(TargetError, match="holds a key already"):
        call(target, "add", "held", "--output", str(tmp_path))
    assert (tmp_path / "held" / "gateway.key").read_text() == "mine"
    assert "held" not in things(target)


def test_a_thing_that_is_not_this_stacks_is_neither_renewed_nor_removed(
    target: Target, tmp_path: Path
) -> None:
    target.client("iot").create_thing(thingName="pump")
    with pytest.raises(TargetError, match="pump names a thing that is not of stack linkpulse-local"):
        call(target, "add", "pump", "--renew", "--output", str(tmp_path))
    with pytest.raises(TargetError, match="pump names a thing that is not of"):
        call(target, "remove", "pump")
    assert "pump" in things(target)
    assert not (tmp_path / "pump").exists()


# --- failures half way ----------------------------------------------------------------------------


def test_a_policy_that_is_gone_leaves_no_thing_certificate_item_or_file(
    target: Target, tmp_path: Path
) -> None:
    broken = without_policy(target)
    before = all_certificates(target)
    with pytest.raises(TargetError, match="AttachPolicy"):
        Enrolment(broken).add("half", tmp_path)
    assert "half" not in things(target)
    assert all_certificates(target) == before
    assert registry(target, "half") == {}
    assert not (tmp_path / "half").exists()


def test_a_file_that_cannot_be_written_undoes_the_certificate(target: Target, tmp_path: Path) -> None:
    assert target.connection is not None
    missing = replace(target.connection, ca=str(tmp_path / "no-such-ca.pem"))
    before = all_certificates(target)
    with pytest.raises(TargetError, match=r"no-such-ca\.pem: No such file"):
        Enrolment(replace(target, connection=missing)).add("unwritten", tmp_path)
    assert "unwritten" not in things(target)
    assert all_certificates(target) == before
    assert registry(target, "unwritten") == {}
    assert not (tmp_path / "unwritten").exists()


def test_of_several_gateways_each_is_whole_or_not_there(
    target: Target, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad").write_text("a file where a folder should be")
    with pytest.raises(TargetError, match=r"bad: .*\(\d of 3 gateways are enrolled\)"):
        call(target, "add", "ok-1", "ok-2", "bad", "--output", str(tmp_path))
    said = {line.split()[0] for line in capsys.readouterr().out.splitlines()}
    assert said == {"ok-1", "ok-2"} & things(target)
    assert all(len(certificates(target, name)) == 1 for name in said)
    assert "bad" not in things(target)


# --- renewal and removal --------------------------------------------------------------------------


def test_renewal_replaces_key_and_certificate_and_keeps_the_config(target: Target, tmp_path: Path) -> None:
    call(target, "add", "renewed", "--output", str(tmp_path), "--site", "mast")
    folder = tmp_path / "renewed"
    (folder / "agent.toml").write_text("# with links\n")
    (old,) = certificates(target, "renewed")
    added = registry(target, "renewed")["added_ms"]
    old_key = (folder / "gateway.key").read_bytes()
    assert call(target, "add", "renewed", "--renew", "--output", str(tmp_path)) == 0
    (new,) = certificates(target, "renewed")
    assert new != old
    assert old not in all_certificates(target)
    assert (folder / "gateway.key").read_bytes() != old_key
    certificate = x509.load_pem_x509_certificate((folder / "gateway.pem").read_bytes())
    assert certificate.public_key() == key_of(folder / "gateway.key").public_key()
    assert (folder / "agent.toml").read_text() == "# with links\n"
    item = registry(target, "renewed")
    assert (item["site"]["S"], item["added_ms"], item["certificate"]["S"]) == (
        "mast",
        added,
        new.rpartition("/")[2],
    )


def test_a_renewal_that_fails_leaves_the_old_certificate_and_files(target: Target, tmp_path: Path) -> None:
    call(target, "add", "steady", "--output", str(tmp_path))
    folder = tmp_path / "steady"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    broken = without_policy(target)
    (old,) = certificates(target, "steady")
    with pytest.raises(TargetError, match="AttachPolicy"):
        Enrolment(broken).add("steady", tmp_path)
    assert certificates(target, "steady") == [old]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_renewing_a_new_name_enrols_it(target: Target, tmp_path: Path) -> None:
    assert call(target, "add", "fresh", "--renew", "--output", str(tmp_path)) == 0
    assert len(certificates(target, "fresh")) == 1


def test_removal_revokes_and_forgets(target: Target, tmp_path: Path) -> None:
    call(target, "add", "gone-1", "--output", str(tmp_path))
    (arn,) = certificates(target, "gone-1")
    latest = target.output("LatestTable")
    target.dynamodb().put_item(TableName=latest, Item={"gateway": {"S": "gone-1"}, "ver": {"S": "1"}})
    assert call(target, "remove", "gone-1") == 0
    assert "gone-1" not in things(target)
    assert arn not in all_certificates(target)
    assert registry(target, "gone-1") == {}
    assert "Item" not in target.dynamodb().get_item(TableName=latest, Key={"gateway": {"S": "gone-1"}})
    assert call(target, "add", "gone-1", "--output", str(tmp_path / "again")) == 0


def test_removing_what_is_not_there_says_so_and_fails(
    target: Target, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(target, "remove", "nobody") == 1
    assert "nobody  is not enrolled" in capsys.readouterr().out


# --- what only AWS has ----------------------------------------------------------------------------


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
        attributes = [{"AttributeName": name, "AttributeType": "S"} for name in ("p", "s")]
        target.dynamodb().create_table(
            TableName="r",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=attributes,  # type: ignore[arg-type]
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
