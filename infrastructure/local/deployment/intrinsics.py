"""Resolves the intrinsic functions of a template, independently of the engine that is checked with it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from infrastructure.local.state import REGION

_PLACEHOLDER = re.compile(r"\$\{(!?)([^}]+)\}")
NO_VALUE = object()
"""What AWS::NoValue resolves to: the property is as if it had not been written."""


class TemplateError(Exception):
    """The template cannot be read, or uses something that is not understood here."""


class Deployed(Protocol):
    """What the template's references point to, once deployed."""

    def physical_id(self, logical_id: str) -> str:
        """What Ref gives for a resource."""
        ...

    def attribute(self, logical_id: str, name: str) -> str:
        """What Fn::GetAtt gives for a resource."""
        ...


def parameter_values(document: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, str]:
    """All parameters of the template with their values, given or default; raises TemplateError."""
    declared = document.get("Parameters", {})
    if unknown := sorted(set(given) - set(declared)):
        raise TemplateError(
            f"the template has no parameter {', '.join(unknown)}; it has {', '.join(declared)}"
        )
    values = {name: str(given.get(name, spec.get("Default", ""))) for name, spec in declared.items()}
    for name, spec in declared.items():
        _check_parameter(name, values[name], spec, name in given)
    return values


def _check_parameter(name: str, value: str, spec: Mapping[str, Any], given: bool) -> None:
    if not given and "Default" not in spec:
        raise TemplateError(f"parameter {name} has no default: give it with --parameter {name}=VALUE")
    allowed = [str(each) for each in spec.get("AllowedValues", [])]
    if allowed and value not in allowed:
        raise TemplateError(f"parameter {name} is {value!r}, not one of {', '.join(allowed)}")
    pattern = spec.get("AllowedPattern")
    if pattern and not re.fullmatch(pattern, value):
        raise TemplateError(
            f"parameter {name} is {value!r}: {spec.get('ConstraintDescription', f'must match {pattern}')}"
        )
    if spec["Type"] == "Number":
        _check_number(name, value, spec)


def _check_number(name: str, value: str, spec: Mapping[str, Any]) -> None:
    low, high = spec.get("MinValue", "-inf"), spec.get("MaxValue", "inf")
    try:
        within = float(low) <= float(value) <= float(high)
    except ValueError:
        within = False
    if not within:
        raise TemplateError(f"parameter {name} is {value!r}, not a number from {low} to {high}")


class Resolver:
    """Gives the value that a part of the template stands for; raises TemplateError."""

    def __init__(
        self,
        document: Mapping[str, Any],
        parameters: Mapping[str, str],
        account: str,
        stack: str,
        deployed: Deployed,
    ) -> None:
        self._conditions = document.get("Conditions", {})
        self._parameters = parameters
        self._deployed = deployed
        self._pseudo = {
            "AWS::AccountId": account,
            "AWS::Region": REGION,
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::StackName": stack,
        }
        self._functions: dict[str, Callable[[Any], Any]] = {
            "Ref": self._ref,
            "Fn::GetAtt": self._get_att,
            "Fn::Sub": self._sub,
            "Fn::If": self._if,
            "Fn::Join": self._join,
            "Fn::Select": lambda given: self.resolve(given[1])[int(self.resolve(given[0]))],
            "Fn::Split": lambda given: self.resolve(given[1]).split(given[0]),
            "Fn::Equals": lambda given: self.resolve(given[0]) == self.resolve(given[1]),
            "Fn::Not": lambda given: not self.resolve(given[0]),
            "Fn::And": lambda given: all(self.resolve(each) for each in given),
            "Fn::Or": lambda given: any(self.resolve(each) for each in given),
            "Condition": self.condition,
        }

    def condition(self, name: str) -> bool:
        """Whether a named condition holds."""
        if name not in self._conditions:
            raise TemplateError(f"condition {name} is not defined")
        return bool(self.resolve(self._conditions[name]))

    def resolve(self, value: Any) -> Any:
        """The value with every intrinsic function replaced by its result."""
        if isinstance(value, Mapping):
            return self._resolve_mapping(value)
        if isinstance(value, list):
            return [found for each in value if (found := self.resolve(each)) is not NO_VALUE]
        return value

    def _resolve_mapping(self, value: Mapping[str, Any]) -> Any:
        if len(value) == 1:
            name, argument = next(iter(value.items()))
            # "Condition" is a function only where its argument is the name of one; in a policy it is a block.
            if name in self._functions and not (name == "Condition" and not isinstance(argument, str)):
                return self._functions[name](argument)
            if name.startswith("Fn::"):
                raise TemplateError(f"the function {name} is not understood by the local cloud")
        resolved = {key: self.resolve(each) for key, each in value.items()}
        return {key: each for key, each in resolved.items() if each is not NO_VALUE}

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return NO_VALUE
        if name in self._pseudo:
            return self._pseudo[name]
        if name in self._parameters:
            return self._parameters[name]
        return self._deployed.physical_id(name)

    def _get_att(self, given: str | list[str]) -> str:
        logical_id, attribute = given.split(".", 1) if isinstance(given, str) else given
        return self._deployed.attribute(logical_id, attribute)

    def _sub(self, given: Any) -> str:
        text, own = (given, {}) if isinstance(given, str) else given

        def replace(match: re.Match[str]) -> str:
            literal, name = match[1], match[2].strip()
            if literal:
                return "${" + match[2] + "}"
            if name in own:
                return str(self.resolve(own[name]))
            return str(self._get_att(name) if "." in name else self._ref(name))

        return _PLACEHOLDER.sub(replace, text)

    def _if(self, given: list[Any]) -> Any:
        condition, then, otherwise = given
        return self.resolve(then if self.condition(condition) else otherwise)

    def _join(self, given: list[Any]) -> str:
        separator, parts = given
        return str(separator).join(str(each) for each in self.resolve(parts))
