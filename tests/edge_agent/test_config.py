"""The configuration: what is right is read exactly, what is wrong is named with its place, all at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.config import SECTIONS
from edge_agent.config_load import load
from edge_agent.contract import Link
from edge_agent.probes import EchoSettings
from edge_agent.toml_lines import line_of, locate
from tests.edge_agent.config_files import FOLDER, good, problems

INVALID = sorted(path.name for path in FOLDER.glob("invalid-*.toml"))
EXPECT = "# expect: "


@pytest.mark.parametrize("name", INVALID)
def test_each_invalid_example_gets_exactly_the_messages_it_expects(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(FOLDER)
    lines = Path(name).read_text().splitlines()
    expected = [line.removeprefix(EXPECT) for line in lines if line.startswith(EXPECT)]
    assert expected
    assert sorted(problems(Path(name))) == sorted(expected)


def test_the_good_example_names_every_key_there_is() -> None:
    text = (FOLDER / "good.toml").read_text()
    lines = locate(text)
    for section, settings in SECTIONS.items():
        for key in settings.__dataclass_fields__:
            assert (*section.split("."), key) in lines, f"[{section}] {key}"


def test_the_good_example_is_read_as_written() -> None:
    config = good()
    assert config.topic == "$aws/rules/linkpulse_dev_ingest/v1/gw-1/m"
    assert config.links[0].link == Link(
        "north-tower", "gw-2", "eth0", "10.0.0.2", "20", "10.0.0.2", "radio", True
    )
    assert config.links[0].probes == ("echo", "interface")
    assert config.probes["echo"] == EchoSettings(period_s=10, timeout_s=5, count=5, spacing_ms=200, size=56)


def test_relative_paths_start_at_the_files_folder() -> None:
    mqtt = good().mqtt
    assert mqtt.ca == FOLDER / "certs/ca.pem"
    assert mqtt.key == Path("/etc/edge-agent/certs/gw-1.key")


def test_what_is_not_given_has_the_documented_default(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(
        '[gateway]\nname="g"\n[mqtt]\nendpoint="b"\nrule="r"\nca="a"\ncertificate="c"\nkey="k"\n'
        '[[link]]\nid="l"\ntarget="t"\nprobes=["echo"]\n'
    )
    config = load(path, {}, with_files=False)
    assert (config.mqtt.port, config.mqtt.publisher, config.mqtt.keepalive_s) == (8883, "paho", 1200)
    assert (config.spool.max_mib, config.spool.commit_s) == (64, 10)
    assert (config.uplink.flush_s, config.uplink.max_in_flight) == (60, 8)
    assert config.probes["echo"] == EchoSettings()


def test_a_variable_goes_over_the_file_and_a_flag_over_both() -> None:
    environment = {"EDGE_AGENT_MQTT__PORT": "1883", "EDGE_AGENT_PROBE_ECHO__COUNT": "7"}
    config = good(environment, ("mqtt.port=8884",))
    assert config.mqtt.port == 8884
    assert config.probes["echo"] == EchoSettings(count=7)


def test_a_variable_can_give_what_the_file_leaves_out(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text((FOLDER / "good.toml").read_text().replace('endpoint = "broker.example.org"\n', ""))
    config = load(path, {"EDGE_AGENT_MQTT__ENDPOINT": "other"}, with_files=False)
    assert config.mqtt.endpoint == "other"


def test_the_place_of_a_wrong_override_is_its_name() -> None:
    environment = {
        "EDGE_AGENT_MQTT__PORT": "x",
        "EDGE_AGENT_MQTT_PORT": "1",
        "EDGE_AGENT_XYZ": "x",
        "EDGE_AGENT_LOG__LEVLE": "info",
        "EDGE_AGENT_CONFIG": "names the file, sets nothing",
    }
    found = problems(FOLDER / "good.toml", environment, ("mqtt.port", "mqt.port=1"))
    assert found == [
        "--set mqt.port: unknown section; did you mean mqtt?",
        "--set mqtt.port: not SECTION.KEY=VALUE",
        "EDGE_AGENT_LOG__LEVLE: [log] levle: unknown key; did you mean level?",
        "EDGE_AGENT_MQTT_PORT: unknown variable, not EDGE_AGENT_SECTION__KEY; "
        "did you mean EDGE_AGENT_MQTT__PORT?",
        "EDGE_AGENT_MQTT__PORT: [mqtt] port 'x' is not an integer",
        "EDGE_AGENT_XYZ: unknown variable, not EDGE_AGENT_SECTION__KEY",
    ]


def test_a_file_that_is_missing_or_no_text_is_one_line(tmp_path: Path) -> None:
    missing, binary = tmp_path / "missing.toml", tmp_path / "binary.toml"
    binary.write_bytes(b"name = \xff")
    assert problems(missing) == [f"{missing}: No such file or directory"]
    assert problems(binary) == [f"{binary}: not UTF-8 text: byte 7 is 0xff"]
    assert problems(tmp_path) == [f"{tmp_path}: Is a directory"]


@pytest.mark.parametrize("digits", ["9" * 5000, "9" * 400, "0x" + "f" * 5000])
@pytest.mark.parametrize("place", ["[mqtt]\nport", "[spool]\ncommit_s", "[probe.echo]\ncount"])
def test_a_number_beyond_all_bounds_is_one_line(tmp_path: Path, place: str, digits: str) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(f"{place} = {digits}\n")
    wrong = [problem for problem in problems(path) if "missing" not in problem]
    assert len(wrong) == 1
    assert "more than 64 bits" in wrong[0] or "too many digits" in wrong[0]


def test_a_path_that_cannot_be_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text('[spool]\npath = "a\\u0000b"\n')
    found = problems(path, {"EDGE_AGENT_MQTT__CA": "~no-such-user/ca.pem"})
    assert f"{path}:2: [spool] path 'a\\x00b' cannot be a path" in found
    assert "EDGE_AGENT_MQTT__CA: [mqtt] ca '~no-such-user/ca.pem' has no home directory" in found


def test_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_bytes(b"\xef\xbb\xbf[gateway]\nname = 5\n")
    assert f"{path}:2: [gateway] name 5 is not a text in quotes" in problems(path)


def test_a_deeply_nested_file_is_refused_like_any_other(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text("a = " + "[" * 100_000)
    assert len(problems(path)) == 1


def test_a_configuration_without_links_is_warned_about(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text('[gateway]\nname="g"\n[mqtt]\nendpoint="b"\nrule="r"\nca="a"\ncertificate="c"\nkey="k"\n')
    assert load(path, {}, with_files=False).warnings == (f"{path}: no [[link]]: no link is measured",)


def test_lines_are_found_through_strings_arrays_and_dotted_keys() -> None:
    text = """\
a.b = 1
[t."quoted key"] # comment
x = '''
[not.a.table]
y = 1
'''
list = [
  "# ]", # ]
  { z = 1 },
]
after = "a # b"
[[link]]
id = 1
[[link]]
id = 2
[link.more]
deep = 1
"""
    lines = locate(text)
    assert lines[("a", "b")] == 1
    assert lines[("t", "quoted key")] == 2
    assert lines[("t", "quoted key", "x")] == 3
    assert ("not", "a", "table") not in lines
    assert lines[("t", "quoted key", "after")] == 11
    assert lines[("link", 0, "id")] == 13
    assert lines[("link", 1, "id")] == 15
    assert lines[("link", 1, "more", "deep")] == 17
    assert line_of(lines, ("t", "quoted key", "list", 1, "z")) == 7
    assert line_of(lines, ("nowhere",)) is None
