"""Certificates: only what is missing, or of another CA, is enrolled."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator.certificates import Identity, enrol, missing
from simulator.target import SimulatorError, Target


def enrolled(folder: Path, gateway: str, ca: bytes = b"CA") -> None:
    (folder / gateway).mkdir(parents=True)
    for name, content in (("gateway.pem", b"C"), ("gateway.key", b"K"), ("ca.pem", ca)):
        (folder / gateway / name).write_bytes(content)


def test_gateways_without_files_or_of_another_ca_are_missing(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(b"CA")
    enrolled(tmp_path, "good")
    enrolled(tmp_path, "stale", b"older CA")
    enrolled(tmp_path, "half")
    Identity.of(tmp_path, "half").key.unlink()
    assert missing(tmp_path, ["good", "stale", "half", "new"], ca) == ["stale", "half", "new"]


def test_a_ca_that_is_not_compared_leaves_the_files_as_they_are(tmp_path: Path) -> None:
    enrolled(tmp_path, "good")
    assert missing(tmp_path, ["good"], tmp_path / "no such file") == []


def test_a_failed_enrolment_says_the_last_line_of_linkview(tmp_path: Path) -> None:
    target = Target("none", tmp_path, None)
    with pytest.raises(SimulatorError, match=r"^cannot enrol 1 gateways: linkview: .*"):
        enrol(target, tmp_path, ["not a name"])
