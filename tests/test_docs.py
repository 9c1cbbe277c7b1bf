"""What users can type is written down: commands, options, settings, variables, make targets, links."""

import json
import re
import subprocess
import sys
import tomllib
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest

from edge_agent.config import SECTIONS, LinkSettings
from edge_agent.config_load import load

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SAMPLE = ROOT / "systemd" / "agent.toml"
SCRIPTS: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]

# Every program is started without arguments, in a process of its own, and tells what its parser knows
# at the moment when it would parse.
TELL = """
import argparse, importlib, json, sys

def tell(parser, path):
    found = {path: [option for action in parser._actions for option in action.option_strings[-1:]]}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                found.update(tell(inner, f"{path} {name}"))
    return found

def parse_args(self, *arguments, **settings):
    print(json.dumps(tell(self, sys.argv[1])))
    raise SystemExit(0)

argparse.ArgumentParser.parse_args = parse_args
module, _, function = sys.argv[2].partition(":")
getattr(importlib.import_module(module), function)([])
"""


def section(title: str) -> str:
    """The README's text from a heading to the next one of its level or above."""
    match = re.search(rf"^(#+) .*`?{re.escape(title)}`?.*\n", README, re.MULTILINE)
    assert match, f"README.md has no section on {title}"
    rest = README[match.end() :]
    following = re.search(rf"^#{{1,{len(match[1])}}} ", rest, re.MULTILINE)
    return rest[: following.start()] if following else rest


def commands(program: str) -> dict[str, list[str]]:
    """Each command of a program with its options, in their long form."""
    told = subprocess.run(
        [sys.executable, "-c", TELL, program, SCRIPTS[program]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert told.returncode == 0, told.stderr
    found: dict[str, list[str]] = json.loads(told.stdout)
    return found


# --- commands -------------------------------------------------------------------------------------


@pytest.mark.parametrize("program", SCRIPTS)
def test_every_command_and_option_is_in_the_programs_section(program: str) -> None:
    text = section(program)
    missing = []
    for command, options in commands(program).items():
        if command != program and command not in text:
            missing.append(command)
        for option in options:
            if option not in ("--help", "--version") and not re.search(rf"{option}(?![\w-])", text):
                missing.append(f"{command} {option}")
    assert not missing


@pytest.mark.parametrize("program", SCRIPTS)
def test_every_option_that_the_programs_section_names_exists(program: str) -> None:
    known = {option for options in commands(program).values() for option in options}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", section(program)))

    assert named <= known


@pytest.mark.parametrize("name", ["README.md", "infrastructure/runbooks.md", "infrastructure/template.yaml"])
def test_every_linkview_command_that_is_written_down_exists(name: str) -> None:
    known = commands("linkview")
    text = (ROOT / name).read_text(encoding="utf-8")
    written = re.findall(r"(?:^|`|; )(linkview [a-z]+)(?: ([a-z]+))?([^`#\n]*)", text, re.MULTILINE)

    assert written
    for command, second, rest in written:
        assert command in known
        inner = f"{command} {second}"
        options = known[inner] if inner in known else known[command]
        assert set(re.findall(r"--[a-z-]+", rest)) <= set(options), (command, rest)


def test_every_option_of_the_installer_is_in_the_readme() -> None:
    script = ROOT / "systemd" / "install.sh"
    text = subprocess.run([str(script), "--help"], capture_output=True, text=True, timeout=60).stdout
    options = set(re.findall(r"^  (--[a-z-]+)", text, re.MULTILINE))

    assert options
    assert not {option for option in options - {"--help"} if option not in README}


# --- settings -------------------------------------------------------------------------------------


KEY = r"(# )?[a-z_]+ = "
PROFILES = ("probe", "metered")


def uncommented() -> str:
    """The sample config with every key that it shows as a default given for real."""
    return re.sub(r"^# (?=[a-z_]+ = )", "", SAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE)


def shown() -> dict[str, dict[str, Any]]:
    """Section to key to value, as the sample shows them; [[link]] as "link"."""
    data = tomllib.loads(uncommented())
    below = [(f"{table}.{name}", keys) for table in PROFILES for name, keys in data.pop(table).items()]
    (link,) = data.pop("link")
    return {**data, **dict(below), "link": link}


def test_the_sample_config_shows_every_key_and_no_other() -> None:
    known = {name: {each.name for each in fields(kind)} for name, kind in SECTIONS.items()}
    known["link"] = {each.name for each in fields(LinkSettings)}

    assert {name: set(keys) for name, keys in shown().items()} == known


def test_the_sample_config_shows_the_defaults_that_hold() -> None:
    wrong = []
    for name, kind in SECTIONS.items():
        for each in fields(kind):
            value = shown()[name][each.name]
            value = tuple(value) if isinstance(value, list) else value
            # What is not set by default has no form in TOML: an example stands there.
            if each.default not in (MISSING, None) and str(each.default) != str(value):
                wrong.append(f"[{name}] {each.name} = {value}, but {each.default}")
    assert not wrong


def test_every_key_of_the_sample_config_is_explained_above_it() -> None:
    unexplained, previous = [], ""
    for number, line in enumerate(SAMPLE.read_text(encoding="utf-8").splitlines(), 1):
        # Keys in a row share the comment above the first of them.
        if re.match(KEY, line) and not previous.startswith("#") and not re.match(KEY, previous):
            unexplained.append(f"{number}: {line}")
        previous = line
    assert unexplained == []


@pytest.mark.parametrize("change", [False, True], ids=["as it is", "all keys"])
def test_the_sample_config_loads(change: bool, tmp_path: Path) -> None:
    sample = tmp_path / "agent.toml"
    sample.write_text(uncommented() if change else SAMPLE.read_text(), encoding="utf-8")

    assert load(sample, {}, with_files=False).gateway.name == "CHANGE-ME"


def test_every_environment_variable_is_written_down() -> None:
    sources = [path for folder in MAPPED for path in (ROOT / folder).rglob("*.py")]
    code = "".join(path.read_text(encoding="utf-8") for path in sources)
    variables = set(re.findall(r"[\"']((?:EDGE_AGENT|LINKPULSE)_[A-Z_]*[A-Z])[\"']", code))

    assert "LINKPULSE_STATE" in variables
    assert {name for name in variables if name not in README} == set()
    assert "EDGE_AGENT_SECTION__KEY" in README


MAPPED = ("edge_agent", "cloud", "simulator", "infrastructure")


# --- make and links -------------------------------------------------------------------------------


def makefiles() -> str:
    return (ROOT / "Makefile").read_text() + (ROOT / "infrastructure" / "deploy.mk").read_text()


def test_the_readme_and_make_know_the_same_targets() -> None:
    documented = set(re.findall(r"^([a-z][a-z-]*):.*## ", makefiles(), re.MULTILINE))
    prose = re.sub(r"^```.*?^```$", "", README, flags=re.MULTILINE | re.DOTALL)
    named = set(re.findall(r"\bmake ([a-z][a-z-]*)", " ".join(re.findall(r"`[^`]+`", prose))))
    named |= set(re.findall(r"^make ([a-z][a-z-]*)", README, re.MULTILINE))

    assert named == documented


def test_every_variable_that_make_takes_is_in_the_readme() -> None:
    variables = set(re.findall(r"^([A-Z]+) \?=", makefiles(), re.MULTILINE)) | {"SECONDS"}

    assert {name for name in variables if f"{name}=" not in README} == set()


def test_every_link_within_the_repository_leads_somewhere() -> None:
    for path in [ROOT / "README.md", *ROOT.glob("infrastructure/diagrams/*.md"), *ROOT.glob("tests/**/*.md")]:
        text = path.read_text(encoding="utf-8")
        headings = {
            re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-")
            for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        }
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            target, _, anchor = link.partition("#")
            if link.startswith(("https://", "http://")):
                continue
            assert not target or (path.parent / target).exists(), f"{path.name}: {link}"
            assert target or anchor in headings, f"{path.name}: {link}"
