"""Finds where what exists departs from what the template says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

ABSENT = "absent"
NAMED_LISTS = {
    "Tags": "Key",
    "AttributeDefinitions": "AttributeName",
    "Dimensions": "Name",
    "Policies": "PolicyName",
}
"""Lists whose order means nothing, and what names an element."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One property that does not exist as the template says."""

    resource: str
    """Logical id."""
    kind: str
    """Resource type."""
    property: str
    """Path such as ``LifecycleConfiguration.Rules[0].Status``; empty when the whole resource is missing."""
    expected: str
    found: str

    def __str__(self) -> str:
        where = f"{self.resource} ({self.kind}) {self.property}".rstrip()
        return f"{where}: the template says {self.expected}, the engine has {self.found}"


def compare(
    resource: str, kind: str, expected: Mapping[str, Any], found: Mapping[str, Any]
) -> list[Difference]:
    """Every expected property that is not found as it should be; more than expected is no difference."""
    return [
        Difference(resource, kind, path, _short(wanted), _short(got))
        for path, wanted, got in _differing("", expected, found)
    ]


def _differing(path: str, expected: Any, found: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        for key, wanted in expected.items():
            inner = f"{path}.{key}" if path else key
            yield from _differing(inner, *_aligned(key, wanted, found.get(key, ABSENT)))
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for index, (wanted, got) in enumerate(zip(expected, found, strict=True)):
            yield from _differing(f"{path}[{index}]", wanted, got)
    elif _plain(expected) != _plain(found):
        yield path, expected, found


def _aligned(key: str, wanted: Any, got: Any) -> tuple[Any, Any]:
    """Lists of named elements become mappings, in which an element too many is no difference."""
    name = NAMED_LISTS.get(key)
    if name and isinstance(wanted, list) and isinstance(got, list):
        return {each[name]: each for each in wanted}, {each[name]: each for each in got}
    return wanted, got


def _plain(value: Any) -> Any:
    """Scalars in one form: CloudFormation takes "72" for 72 and "true" for true."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return format(value, "g") if float(value) != int(value) else str(int(value))
    return value


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 120 else text[:117] + "..."
