"""The configuration of links, probes and the reflector."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.config import SECTIONS
from edge_agent.config_load import load
from edge_agent.contract import KINDS
from edge_agent.probes import KIND_OF, PROBES, SETTINGS, probe_class
from edge_agent.probes.binding import ProbedLink
from tests.edge_agent.config_files import FOLDER, good, problems

HEAD = '[gateway]\nname="g"\n[mqtt]\nendpoint="b"\nrule="r"\nca="a"\ncertificate="c"\nkey="k"\n'


def many_links(path: Path, count: int) -> Path:
    path.write_text(
        HEAD + "".join(f'[[link]]\nid="l{n}"\ntarget="t"\nprobes=["echo"]\n' for n in range(count))
    )
    return path


def test_thousands_of_links_are_read_and_too_many_are_refused(tmp_path: Path) -> None:
    path = many_links(tmp_path / "agent.toml", 2_000)
    config = load(path, {}, with_files=False)
    assert len(config.links) == 2_000
    assert config.warnings == (
        f"{path}: more than 1,500 links: all is stored, but linkview may not list them all",
    )
    assert problems(many_links(path, 5_001)) == [f"{path}:20009: [[link]] more than 5,000 links"]


def test_a_link_is_probed_as_it_is_kept_on_its_way() -> None:
    assert good().links[0].probed == ProbedLink(
        "north-tower",
        "gw-2",
        "eth0",
        "10.0.0.2",
        "20",
        "10.0.0.2",
        "radio",
        True,
        source="10.0.0.1",
        mark=7,
    )
    assert good().links[0].probed.device == "eth0.20"


def test_a_list_can_come_from_the_environment() -> None:
    environment = {
        "EDGE_AGENT_REFLECTOR__ALLOW": "10.0.0.0/8, fd00::/8",
        "EDGE_AGENT_REFLECTOR__KEY_FILE": "stamp.key",
        "EDGE_AGENT_GATEWAY__PROBES": "",
    }
    config = good(environment)
    assert config.reflector.allow == ("10.0.0.0/8", "fd00::/8")
    assert config.reflector.key_file == FOLDER / "stamp.key"
    assert config.gateway.probes == ()


def test_nobody_is_answered_unless_told(tmp_path: Path) -> None:
    path = many_links(tmp_path / "agent.toml", 1)
    config = load(path, {}, with_files=False)
    assert (config.reflector.enabled, config.reflector.bulk, config.gateway.probes) == (False, False, ())


@pytest.mark.parametrize("name", sorted(PROBES))
def test_every_probe_knows_its_kind_and_its_settings(name: str) -> None:
    kind = getattr(probe_class(name), "kind")  # noqa: B009
    assert kind == KIND_OF[name] and kind in KINDS
    assert SECTIONS[f"probe.{name}"] is SETTINGS[name]
