"""The configuration: what is right is read exactly, what is wrong is named with its place, all at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_agent.config import SECTIONS, Config, ConfigError
from edge_agent.config_load import load, missing_library
from edge_agent.contract import KINDS, Link
from edge_agent.probes import KIND_OF, PROBES, SETTINGS, EchoSettings, probe_class
from edge_agent.probes.binding import ProbedLink
from edge_agent.toml_lines import line_of, locate

FOLDER = Path(__file__).parent.parent / "config"
INVALID = sorted(path.name for path in FOLDER.glob("invalid-*.toml"))
EXPECT = "# expect: "


def problems(path: Path, environment: dict[str, str] | None = None, flags: tuple[str, ...] = ()) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path, environment or {}, flags, with_files=False)
    return list(caught.value.problems)


def good(environment: dict[str, str] | None = None, flags: tuple[str, ...] = ()) -> Config:
    return load(FOLDER / "good.toml", environment or {}, flags, with_files=False)


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


# --- places ---------------------------------------------------------------------------------------


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


# --- links, probes and the reflector --------------------------------------------------------------

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
