"""What the policies of the translated template grant."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from tests.translated import Template, properties

IOT = "arn:${AWS::Partition}:iot:${AWS::Region}:${AWS::AccountId}:"


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def statements(template: Template, role: str) -> list[dict[str, Any]]:
    policies = properties(template, role)["Policies"]
    return [each for policy in policies for each in policy["PolicyDocument"]["Statement"]]


def granted(template: Template, role: str) -> dict[str, list[Any]]:
    """Action -> resources of a role."""
    pairs = [(action, each) for each in statements(template, role) for action in listed(each["Action"])]
    assert all(each["Effect"] == "Allow" for _, each in pairs)
    return {
        action: [r for a, each in pairs if a == action for r in listed(each["Resource"])]
        for action, _ in pairs
    }


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from itertools.chain.from_iterable(map(strings, value.values()))
    elif isinstance(value, list):
        yield from itertools.chain.from_iterable(map(strings, value))
    elif isinstance(value, str):
        yield value
