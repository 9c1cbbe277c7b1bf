"""The reviewed list of what the engine leaves of the template, and the verdict on what was found."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from infrastructure.local.deployment.comparison import Difference

REVIEWED = Path(__file__).with_name("differences.toml")
CLASSES = ("dropped", "applied", "modelled")


class DifferencesError(Exception):
    """The reviewed file is wrong, or does not cover what was found; the message has a line for each."""


@dataclass(frozen=True, slots=True)
class Reviewed:
    """One difference that is known, with the reason why it is accepted."""

    type: str
    property: str
    """Covers everything below it."""
    cls: str
    """dropped: the engine ignores it. applied: set through the API after the deployment and checked again.
    modelled: another part of the local cloud does it."""
    reason: str
    model: str = ""
    """The module that does it, when modelled."""

    def covers(self, difference: Difference) -> bool:
        """Whether the difference is this one."""
        rest = difference.property.removeprefix(self.property)
        return (
            difference.kind == self.type
            and difference.property.startswith(self.property)
            and (not rest or rest[0] in ".[")
        )

    def __str__(self) -> str:
        return f"{self.type} {self.property} ({self.cls})"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The found differences, sorted by what the reviewed file says of them."""

    unknown: tuple[Difference, ...]
    to_apply: tuple[Difference, ...]
    accepted: tuple[Difference, ...]
    stale: tuple[Reviewed, ...]
    """Entries that no longer differ in any resource."""


def load(path: Path = REVIEWED) -> tuple[Reviewed, ...]:
    """The reviewed differences; raises DifferencesError naming the entry that is wrong."""
    try:
        entries = tomllib.loads(path.read_text()).get("difference", [])
    except (OSError, tomllib.TOMLDecodeError) as exc:
        raise DifferencesError(f"{path}: {exc}") from exc
    return tuple(_entry(path, number, each) for number, each in enumerate(entries, 1))


def _entry(path: Path, number: int, entry: dict[str, str]) -> Reviewed:
    where = f"{path}: difference {number}"
    fields = {"cls" if key == "class" else key: value for key, value in entry.items()}
    try:
        reviewed = Reviewed(**fields)
    except TypeError as exc:
        raise DifferencesError(f"{where} must have type, property, class and reason: {exc}") from exc
    if reviewed.cls not in CLASSES:
        raise DifferencesError(f"{where}: class {reviewed.cls!r} is not one of {', '.join(CLASSES)}")
    if (reviewed.cls == "modelled") != bool(reviewed.model) or not reviewed.reason.strip():
        raise DifferencesError(f"{where} needs a reason, and a model exactly when it is modelled")
    return reviewed


def judge(found: Iterable[Difference], reviewed: Sequence[Reviewed]) -> Verdict:
    """Sort what was found; what no entry covers is unknown."""
    unknown: list[Difference] = []
    to_apply: list[Difference] = []
    accepted: list[Difference] = []
    used: set[Reviewed] = set()
    for difference in found:
        entry = next((each for each in reviewed if each.covers(difference)), None)
        if entry is None:
            unknown.append(difference)
            continue
        used.add(entry)
        (to_apply if entry.cls == "applied" else accepted).append(difference)
    stale = tuple(each for each in reviewed if each not in used)
    return Verdict(tuple(unknown), tuple(to_apply), tuple(accepted), stale)
