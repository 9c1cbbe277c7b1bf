"""From what was given to a checked Config: types, ranges, required and unknown keys, and across sections."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

from edge_agent.config import SECTIONS, Config, ConfigError, LinkSettings
from edge_agent.config_budget import budget_warnings
from edge_agent.config_links import check_links, link_warnings, place_of
from edge_agent.config_sources import Given, Table, collect, suggestion
from edge_agent.credentials import inspect
from edge_agent.probes import ProbeError
from edge_agent.probes.shared_key import exposed, read_key

T = TypeVar("T")

_PROFILES = ("probe", "metered")
_YES = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def load(
    path: Path, environment: Mapping[str, str], flags: Sequence[str] = (), *, with_files: bool = True
) -> Config:
    """The configuration in effect: flags over environment over file; raises ConfigError with every problem.

    ``with_files`` also looks for what the publisher needs: its library, the certificate, the key, the CA;
    and for the keys that probes and reflector share.
    """
    sources = collect(path, environment, flags)
    problems = sources.problems
    sections: dict[str, Any] = {
        name: build(sources.tables[name], settings, path.parent, problems)
        for name, settings in SECTIONS.items()
    }
    links = [build(table, LinkSettings, path.parent, problems) for table in sources.links]
    check_links(links, sources)
    warnings = link_warnings(str(path), len(links))
    if with_files and sections["mqtt"] is not None:
        if missing := missing_library(sections["mqtt"].publisher):
            problems.append(place_of(sources.tables["mqtt"], "publisher", missing))
        for key, message, is_fatal in inspect(sections["mqtt"]):
            line = place_of(sources.tables["mqtt"], key, message)
            (problems if is_fatal else warnings).append(line)
    if with_files:
        for line, is_fatal in _key_findings(sections, links, sources.tables):
            (problems if is_fatal else warnings).append(line)
    if problems:
        raise ConfigError(sorted(problems, key=_by_line))
    plain = {name: each for name, each in sections.items() if "." not in name}
    config = Config(
        **plain,
        probes=_below("probe.", sections),
        metered=_below("metered.", sections),
        links=tuple(link for link in links if link),
        warnings=tuple(warnings),
    )
    return replace(config, warnings=(*warnings, *budget_warnings(str(path), config)))


def _below(prefix: str, sections: Mapping[str, Any]) -> dict[str, Any]:
    """The sections whose name begins so, by the rest of it."""
    return {name.removeprefix(prefix): each for name, each in sections.items() if name.startswith(prefix)}


def _key_findings(
    sections: Mapping[str, Any], links: Sequence[LinkSettings | None], tables: Mapping[str, Table]
) -> Iterator[tuple[str, bool]]:
    """What is wrong with the shared keys of the probes that are used, and of the reflector where enabled.

    Each with whether the agent cannot run so.
    """
    used = {f"{table}.{name}" for link in links if link for name in link.probes for table in _PROFILES}
    reflector = sections["reflector"]
    for name in sorted(used & sections.keys()) + (["reflector"] if reflector and reflector.enabled else []):
        path = getattr(sections[name], "key_file", None)
        if path is None:
            continue
        try:
            read_key(path)
        except ProbeError as exc:
            yield place_of(tables[name], "key_file", exc.message.replace("key_file ", "", 1)), True
        else:
            if exposure := exposed(path):
                yield place_of(tables[name], "key_file", exposure), False


def _by_line(problem: str) -> tuple[str, int]:
    match = re.match(r"(.*?):(\d+): ", problem)
    return (match[1], int(match[2])) if match else (problem.partition(": ")[0], 0)


def missing_library(publisher: str, find: Callable[[str], object] = find_spec) -> str:
    """What to install before the publisher can work, as the end of a sentence; or nothing."""
    if publisher == "awsiotsdk" and find("awsiot") is None:
        return "is awsiotsdk, which is not installed: pip install 'linkpulse[aws]', or use paho"
    return ""


# --- one section ----------------------------------------------------------------------------------


def build(table: Table, settings: type[T], base: Path, problems: list[str]) -> T | None:
    """The dataclass of a table, paths from ``base`` on; None after its problems have been listed."""
    known = {each.name: each for each in fields(settings)}  # type: ignore[arg-type]
    unknown: list[str] = []
    before = len(problems)
    values: dict[str, Any] = {}
    types = get_type_hints(settings, include_extras=True)
    for key, given in table.keys.items():
        if key not in known:
            hint = suggestion(key, list(known))
            unknown.append(f"{given.place}: {table.name} {key}: unknown key{hint}")
            continue
        try:
            values[key] = _checked(given, types[key], base)
        except ValueError as exc:
            problems.append(place_of(table, key, str(exc)))
    for key, each in known.items():
        if key not in table.keys and each.default is MISSING:
            problems.append(f"{table.place}: {table.name} {key} is missing")
    made = _made(table, settings, values, problems) if len(problems) == before else None
    problems.extend(unknown)
    return None if unknown else made


def _made(table: Table, settings: type[T], values: dict[str, Any], problems: list[str]) -> T | None:
    """Build it; a ValueError of its own names the setting, which is left out to find what else is wrong."""
    found = False
    while True:
        try:
            made = settings(**values)
        except ValueError as exc:
            message = str(exc).partition(": ")[2]
            key = message.partition(" ")[0]
            place = table.keys[key].place if key in table.keys else table.place
            problems.append(f"{place}: {table.name} {message}")
            found = True
            if key not in values:
                return None
            del values[key]
        else:
            return None if found else made


def _checked(given: Given, hint: Any, base: Path) -> Any:
    """The value, when it is of the type and passes the check that the field is annotated with."""
    kind, *checks = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    value = _converted(given, kind, base)
    for check in checks:
        complaint = check(value)
        if complaint:
            raise ValueError(complaint)
    return value


def _converted(given: Given, kind: Any, base: Path) -> Any:
    """The value in the setting's type; raises ValueError with the end of a sentence."""
    if kind in (Path, Path | None):
        return _path(given, base)
    if kind is str:
        return _text(given)
    reader: Callable[[Given], Any] = {int: _integer, float: _number, bool: _truth}.get(kind, _names)
    return reader(given)


def _text(given: Given) -> str:
    if isinstance(given.value, str):
        return given.value
    raise ValueError(f"{given.value!r} is not a text in quotes")


def _path(given: Given, base: Path) -> Path:
    text = _text(given)
    if "\0" in text:
        raise ValueError(f"{text!r} cannot be a path")
    try:
        return base / Path(text).expanduser()
    except RuntimeError as exc:
        raise ValueError(f"{text!r} has no home directory") from exc


def _bounded(value: T) -> T:
    """The value; raises ValueError for an integer that TOML does not have, and no float can hold."""
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        raise ValueError("is an integer of more than 64 bits")
    return value


def _integer(given: Given) -> int:
    try:
        value = int(given.value) if given.is_text else given.value
    except ValueError:
        value = None
    if isinstance(value, int) and not isinstance(value, bool):
        return _bounded(value)
    raise ValueError(f"{given.value!r} is not an integer")


def _number(given: Given) -> float:
    try:
        value = float(given.value) if given.is_text else given.value
    except ValueError:
        value = None
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(_bounded(value)):
        return value
    raise ValueError(f"{given.value!r} is not a number")


def _truth(given: Given) -> bool:
    value = _YES.get(given.value.lower()) if given.is_text else given.value
    if isinstance(value, bool):
        return value
    raise ValueError(f"{given.value!r} is not true or false")


def _names(given: Given) -> tuple[str, ...]:
    if given.is_text:
        return tuple(each.strip() for each in given.value.split(",") if each.strip())
    if isinstance(given.value, list) and all(isinstance(each, str) for each in given.value):
        return tuple(given.value)
    raise ValueError(f"{given.value!r} is not a list of texts")
