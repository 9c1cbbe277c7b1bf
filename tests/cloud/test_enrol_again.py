"""Enrolment that fails half way, is renewed, and is removed, against the engine of the local cloud."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509

from cloud.enrolment import Enrolment
from cloud.target import Target, TargetError
from tests.cloud.enrol_cloud import (
    all_certificates,
    call,
    certificates,
    key_of,
    registry,
    things,
    without_policy,
)
from tests.deployed import deployed


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with deployed(tmp_path_factory.mktemp("engine")) as made:
        yield Target(made.stack, made)


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
