"""Decides by an AWS IoT policy document what a connection may do, as AWS IoT Core does.

AWS IoT developer guide, "AWS IoT Core policies", "Thing policy variables" and "Action resources": what no
statement allows is denied, and a denial wins; `*` and `?` are wildcards of a resource while MQTT's `+` and
`#` are plain characters; a resource with a variable that has no value matches nothing. What is not
understood is an error, since a decision made without it would be a guess.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from infrastructure.local.iot.policy import ATTACHED, RESOURCE_TYPES, PolicyError

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_THING = "iot:Connection.Thing.ThingName"
_CLIENT = "iot:ClientId"


@dataclass(frozen=True, slots=True)
class Connection:
    """Who is connected, or wants to be."""

    client_id: str
    things: frozenset[str]
    """Things that the certificate is attached to."""

    @property
    def thing(self) -> str | None:
        """The thing that the client id names, if the certificate is attached to it."""
        return self.client_id if self.client_id in self.things else None

    def variables(self) -> dict[str, str]:
        """Values of the policy variables that have one."""
        named = {_THING: self.thing} if self.thing is not None else {}
        return {_CLIENT: self.client_id, **named}


@dataclass(frozen=True, slots=True)
class Rule:
    """One statement of a policy."""

    allow: bool
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    attached: bool | None
    """What the connection's thing must be, attached or not; None when the statement does not ask."""

    def applies(self, connection: Connection, action: str, resource: str) -> bool:
        """Whether the statement is about this."""
        if self.attached is not None and self.attached != (connection.thing is not None):
            return False
        if not any(fnmatchcase(action, _escaped(each)) for each in self.actions):
            return False
        values = connection.variables()
        return any(_matches(each, resource, values) for each in self.resources)


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy as it was attached to a certificate."""

    rules: tuple[Rule, ...]
    prefix: str
    """What every ARN of the account's AWS IoT begins with."""

    def allows(self, connection: Connection, action: str, name: str) -> bool:
        """Whether the connection may do it; name is the client id, topic or topic filter of the action."""
        if action not in RESOURCE_TYPES:
            raise PolicyError(f"{action} is no action of a connection")
        resource = f"{self.prefix}{RESOURCE_TYPES[action]}/{name}"
        found = [rule.allow for rule in self.rules if rule.applies(connection, action, resource)]
        return bool(found) and all(found)


def parse(document: str, region: str, account: str) -> Policy:
    """A policy document (JSON); raises PolicyError naming what is not understood."""
    try:
        statements = _listed(json.loads(document)["Statement"])
        rules = tuple(_rule(number, statement) for number, statement in enumerate(statements, 1))
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise PolicyError(f"the IoT policy is not a policy document: {exc!r}") from exc
    return Policy(rules, f"arn:aws:iot:{region}:{account}:")


def _rule(number: int, statement: Mapping[str, Any]) -> Rule:
    where = f"statement {number} of the IoT policy"
    if unknown := set(statement) - {"Sid", "Effect", "Action", "Resource", "Condition"}:
        raise PolicyError(f"{where}: {', '.join(sorted(unknown))} is not understood")
    if statement["Effect"] not in ("Allow", "Deny"):
        raise PolicyError(f"{where}: Effect {statement['Effect']} is not understood")
    allow = statement["Effect"] == "Allow"
    actions = tuple(_listed(statement["Action"]))
    for action in actions:
        if not any(fnmatchcase(known, _escaped(action)) for known in RESOURCE_TYPES):
            raise PolicyError(f"{where}: action {action} is not understood")
    resources = tuple(_listed(statement["Resource"]))
    for variable in {name for each in resources for name in _VARIABLE.findall(each)}:
        if variable not in (_THING, _CLIENT):
            raise PolicyError(f"{where}: the variable {variable} is not understood")
        if not allow:
            raise PolicyError(f"{where}: a denial with a variable is not understood")
    return Rule(allow, actions, resources, _attached(where, statement.get("Condition", {})))


def _attached(where: str, condition: Mapping[str, Any]) -> bool | None:
    wanted: bool | None = None
    for operator, key, values in _tests(condition):
        if (operator, key) != ("Bool", ATTACHED) or len(values) != 1 or values[0] not in ("true", "false"):
            raise PolicyError(f"{where}: condition {operator} {key} is not understood")
        wanted = values[0] == "true"
    return wanted


def _tests(condition: Mapping[str, Any]) -> Iterator[tuple[str, str, list[str]]]:
    for operator, tests in condition.items():
        for key, values in tests.items():
            yield operator, key, [str(each).lower() for each in _listed(values)]


def _matches(pattern: str, resource: str, values: Mapping[str, str]) -> bool:
    """Whether a resource of a statement covers an ARN; the value of a variable is never a wildcard itself."""
    pieces = _VARIABLE.split(pattern)
    if any(name not in values for name in pieces[1::2]):
        return False
    made = [
        re.escape(values[piece]) if index % 2 else _expression(piece) for index, piece in enumerate(pieces)
    ]
    return re.fullmatch("".join(made), resource, re.S) is not None


def _expression(literal: str) -> str:
    return "".join({"*": ".*", "?": "."}.get(each, re.escape(each)) for each in literal)


def _escaped(pattern: str) -> str:
    """The pattern for fnmatch, where a bracket is a character like any other."""
    return pattern.replace("[", "[[]")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
