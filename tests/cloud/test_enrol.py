"""Enrolment against the engine of the local cloud: what it makes, and what it refuses."""

from __future__ import annotations

import re
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cloud.target import Target, TargetError
from edge_agent.config_load import load
from infrastructure.local.engine import device_ca
from tests.cloud.enrol_cloud import call, certificates, key_of, registry, things
from tests.deployed import deployed


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with deployed(tmp_path_factory.mktemp("engine")) as made:
        yield Target(made.stack, made)


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
