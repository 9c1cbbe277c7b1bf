"""The files that a configuration names: credentials and shared keys, missing, foreign or open to others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_agent.config import ConfigError
from edge_agent.config_load import load, missing_library

# --- credentials ----------------------------------------------------------------------------------


@pytest.fixture
def enrolled(authority: Any, tmp_path: Path) -> Callable[..., Path]:
    """A maker of config files whose credentials are real, unless replaced."""
    identity = authority.issue("gw-files")

    def make(**replaced: Path) -> Path:
        files = {"ca": identity.ca, "certificate": identity.certificate, "key": identity.key} | replaced
        path = tmp_path / "agent.toml"
        lines = "".join(f'{key} = "{file}"\n' for key, file in files.items())
        path.write_text(
            f'[gateway]\nname = "g"\n[mqtt]\nendpoint = "b"\nrule = "r"\n{lines}'
            '[[link]]\nid = "l"\ntarget = "t"\nprobes = ["echo"]\n'
        )
        return path

    return make


def with_files(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    return list(caught.value.problems)


def test_sound_credentials_pass(enrolled: Callable[..., Path]) -> None:
    assert load(enrolled(), {}).warnings == ()


def test_missing_credentials_are_all_named_with_their_lines(
    enrolled: Callable[..., Path], tmp_path: Path
) -> None:
    path = enrolled(ca=tmp_path / "ca", key=tmp_path / "key")
    assert with_files(path) == [
        f"{path}:6: [mqtt] ca {tmp_path}/ca: No such file or directory",
        f"{path}:8: [mqtt] key {tmp_path}/key: No such file or directory",
    ]


def test_a_key_of_another_certificate_is_found(enrolled: Callable[..., Path], authority: Any) -> None:
    path = enrolled(key=authority.issue("gw-other").key)
    (problem,) = with_files(path)
    assert problem.startswith(f"{path}:7: [mqtt] certificate ")
    assert "does not go with" in problem


def test_a_ca_that_is_none_is_found(enrolled: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    path = enrolled(ca=tmp_path / "ca.pem")
    (problem,) = with_files(path)
    assert problem.startswith(f"{path}:6: [mqtt] ca {tmp_path}/ca.pem holds no certificate")


def test_a_key_that_others_can_read_is_warned_about(enrolled: Callable[..., Path], authority: Any) -> None:
    key = authority.issue("gw-loose").key
    certificate = key.with_suffix(".crt")
    key.chmod(0o640)
    path = enrolled(key=key, certificate=certificate)
    assert load(path, {}).warnings == (f"{path}:8: [mqtt] key {key} can be read by others; chmod 600 it",)


def test_a_publisher_whose_library_is_missing_is_found() -> None:
    assert missing_library("awsiotsdk", find=lambda name: None).startswith("is awsiotsdk, which is not")
    assert missing_library("awsiotsdk", find=lambda name: name == "awsiot") == ""
    assert missing_library("paho", find=lambda name: None) == ""


# --- shared keys ----------------------------------------------------------------------------------


def test_the_keys_that_probes_and_reflector_share_are_looked_at_where_they_are_used(
    enrolled: Callable[..., Path], tmp_path: Path
) -> None:
    path = enrolled()
    (tmp_path / "short.key").write_text("x")
    path.write_text(
        path.read_text()
        + '[reflector]\nenabled = true\nkey_file = "short.key"\n[probe.stamp]\nkey_file = "nowhere.key"\n'
    )
    (problem,) = with_files(path)
    place = f"{path}:15: [reflector] key_file {tmp_path}/short.key holds 1 bytes, not 16 to 1024"
    assert problem.startswith(place)
    path.write_text(path.read_text().replace('probes = ["echo"]', 'probes = ["echo", "stamp"]'))
    missing = (
        f"{path}:17: [probe.stamp] key_file cannot read {tmp_path}/nowhere.key: No such file or directory"
    )
    assert with_files(path)[1] == missing


def test_a_shared_key_that_others_can_read_is_warned_of(
    enrolled: Callable[..., Path], tmp_path: Path
) -> None:
    path, key_file = enrolled(), tmp_path / "stamp.key"
    key_file.write_text("0123456789abcdef")
    path.write_text(path.read_text() + '[reflector]\nenabled = true\nkey_file = "stamp.key"\n')
    key_file.chmod(0o640)
    told = f"{path}:15: [reflector] key_file {key_file} can be read by others; chmod 600 it"
    assert told in load(path, {}).warnings
    key_file.chmod(0o600)
    assert told not in load(path, {}).warnings
