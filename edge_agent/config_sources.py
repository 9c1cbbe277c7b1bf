"""Where settings come from: the file, the environment and flags, each value with its place."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from edge_agent.config import SECTIONS, ConfigError
from edge_agent.toml_lines import KeyPath, line_of, locate

PREFIX = "EDGE_AGENT_"
CONFIG_VARIABLE = "EDGE_AGENT_CONFIG"
"""Names the file; every other EDGE_AGENT_ variable is a setting."""
_LINE = re.compile(r" \(at line (\d+), column (\d+)\)| \(at end of document\)")


@dataclass(frozen=True, slots=True)
class Given:
    """A value as it was given."""

    value: Any
    place: str
    """As "agent.toml:12" or the name of a variable or flag."""
    is_text: bool = False
    """From a variable or flag: always a string, to be read as the setting's type."""


@dataclass(slots=True)
class Table:
    """The keys of one table of the file, with its overrides."""

    name: str
    place: str
    """Where a missing key is missed."""
    keys: dict[str, Given] = field(default_factory=dict)


@dataclass(slots=True)
class Sources:
    """All that was given, and what could not be placed."""

    tables: dict[str, Table]
    links: list[Table]
    problems: list[str]


def suggestion(word: str, known: Sequence[str]) -> str:
    """A hint for a misspelt word, or nothing."""
    from difflib import get_close_matches  # only mistakes need it

    close = get_close_matches(word, known, 1)
    return f"; did you mean {close[0]}?" if close else ""


def collect(path: Path, environment: Mapping[str, str], flags: Sequence[str]) -> Sources:
    """All settings of the file, overridden by variables, overridden by SECTION.KEY=VALUE flags.

    Raises ConfigError when the file cannot be read or is not TOML: then nothing else can be said.
    """
    text = _read(path)
    data = _parse(path, text)
    reader = _FileReader(str(path), locate(text))
    sources = Sources({name: Table(f"[{name}]", str(path)) for name in SECTIONS}, [], [])
    reader.read(data, sources)
    _override_by_variables(environment, sources)
    _override_by_flags(flags, sources)
    return sources


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")  # some editors begin a file with a byte order mark
    except OSError as exc:
        raise ConfigError([f"{path}: {exc.strerror}"]) from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(
            [f"{path}: not UTF-8 text: byte {exc.start} is {exc.object[exc.start]:#04x}"]
        ) from exc


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        message = str(exc)
        at = _LINE.search(message)
        line = at[1] if at and at[1] else text.count("\n") + 1
        raise ConfigError([f"{path}:{line}: not TOML: {_LINE.sub('', message)}"]) from exc
    except ValueError as exc:  # not tomllib's own: int() refuses thousands of digits
        raise ConfigError([f"{path}: not TOML: a number has too many digits"]) from exc
    except RecursionError as exc:
        raise ConfigError([f"{path}: not TOML: nested too deeply"]) from exc


class _FileReader:
    """Distributes the parsed file over the known tables."""

    def __init__(self, name: str, lines: Mapping[KeyPath, int]) -> None:
        self._name = name
        self._lines = lines

    def read(self, data: Mapping[str, Any], sources: Sources) -> None:
        for key, value in data.items():
            if key == "link":
                self._read_links(value, sources)
            elif key in ("probe", "metered") and isinstance(value, dict):
                for probe, settings in value.items():
                    self._read_section((key, probe), settings, sources)
            else:
                self._read_section((key,), value, sources)

    def _read_section(self, path: KeyPath, value: Any, sources: Sources) -> None:
        name = ".".join(map(str, path))
        place = self._place(path)
        if name not in SECTIONS and not isinstance(value, dict):
            sources.problems.append(f"{place}: {name}: unknown key outside of a section")
        elif name not in SECTIONS:
            hint = suggestion(name, [*SECTIONS, "link"])
            sources.problems.append(f"{place}: [{name}]: unknown section{hint}")
        elif not isinstance(value, dict):
            sources.problems.append(f"{place}: [{name}]: not a section but {value!r}")
        else:
            sources.tables[name] = self._table(f"[{name}]", path, value)

    def _read_links(self, value: Any, sources: Sources) -> None:
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            sources.problems.append(
                f"{self._place(('link',))}: [link]: a link is written as [[link]], in double brackets"
            )
            return
        sources.links = [self._table("[[link]]", ("link", index), each) for index, each in enumerate(value)]

    def _table(self, name: str, path: KeyPath, value: Mapping[str, Any]) -> Table:
        keys = {key: Given(given, self._place((*path, key))) for key, given in value.items()}
        return Table(name, self._place(path), keys)

    def _place(self, path: KeyPath) -> str:
        line = line_of(self._lines, path)
        return f"{self._name}:{line}" if line else self._name


def _override_by_variables(environment: Mapping[str, str], sources: Sources) -> None:
    sections = {name.upper().replace(".", "_"): name for name in SECTIONS}
    for variable, value in sorted(environment.items()):
        if not variable.startswith(PREFIX) or variable == CONFIG_VARIABLE:
            continue
        section, separator, key = variable.removeprefix(PREFIX).partition("__")
        if not separator or section not in sections:
            hint = suggestion(variable.removeprefix(PREFIX), _settings()).replace("mean ", f"mean {PREFIX}")
            sources.problems.append(f"{variable}: unknown variable, not EDGE_AGENT_SECTION__KEY{hint}")
        else:
            sources.tables[sections[section]].keys[key.lower()] = Given(value, variable, is_text=True)


def _settings() -> list[str]:
    """Every setting as variables name it, without the prefix, which would make all of them look alike."""
    return [
        f"{name.upper().replace('.', '_')}__{key.name.upper()}"
        for name, settings in SECTIONS.items()
        for key in fields(settings)
    ]


def _override_by_flags(flags: Sequence[str], sources: Sources) -> None:
    for flag in flags:
        name, separator, value = flag.partition("=")
        section, dot, key = name.strip().rpartition(".")
        if not (separator and dot):
            sources.problems.append(f"--set {flag}: not SECTION.KEY=VALUE")
        elif section not in SECTIONS:
            sources.problems.append(f"--set {name}: unknown section{suggestion(section, list(SECTIONS))}")
        else:
            sources.tables[section].keys[key] = Given(value, f"--set {name}", is_text=True)
