"""The subset of AWS IoT SQL and of substitution templates that the template uses, evaluated.

``SELECT function AS name, ... FROM 'filter'`` with the functions encode(*, 'base64'), topic(n), topic(),
clientid(), principal() and timestamp(); ``${topic(n)}``, ``${newuuid()}`` and the like in templates
(AWS IoT developer guide, "SQL reference" and "Substitution templates"). Anything else is an error: a rule
that works here must not depend on something that was skipped.
"""

from __future__ import annotations

import base64
import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass

VERSION = "2016-03-23"
_SELECT = re.compile(r"\s*SELECT\s+(?P<items>.+?)\s+FROM\s+'(?P<filter>[^']*)'\s*(?P<rest>.*)", re.I | re.S)
_ITEM = re.compile(r"\s*(?P<call>[a-z0-9]+\s*\([^()]*\))\s+AS\s+(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*", re.I)
_CALL = re.compile(r"(?P<name>[a-z0-9]+)\s*\((?P<arguments>[^()]*)\)", re.I)
_SPLIT_ITEMS = re.compile(r",(?![^(]*\))")
_SUBSTITUTION = re.compile(r"\$\{([^}]*)\}")


class RuleError(Exception):
    """The rule uses something outside the subset; the message says what."""


@dataclass(frozen=True, slots=True)
class Publication:
    """One message as the rules engine sees it."""

    topic: str
    """Without the Basic Ingest prefix, which does not count (AWS IoT developer guide, "Basic Ingest")."""
    payload: bytes
    client: str
    principal: str
    """Id of the certificate."""
    at_ms: int
    """When the rules engine saw it, ms since 1970."""

    def segment(self, number: int) -> str | None:
        """A level of the topic, from 1; None where there is none."""
        levels = self.topic.split("/")
        return levels[number - 1] if 1 <= number <= len(levels) else None


Value = str | int | None
Expression = Callable[[Publication], Value]
"""None is SQL's Undefined: the field is left out."""


def _encode(arguments: str) -> Expression:
    if re.sub(r"\s", "", arguments) != "*,'base64'":
        raise RuleError(f"encode({arguments}): only encode(*, 'base64') is understood")
    return lambda publication: base64.b64encode(publication.payload).decode()


def _topic(arguments: str) -> Expression:
    if not arguments.strip():
        return lambda publication: publication.topic
    if not arguments.strip().isdecimal():
        raise RuleError(f"topic({arguments}): only topic() and topic(n) are understood")
    number = int(arguments)
    return lambda publication: publication.segment(number)


def _bare(name: str, value: Expression) -> Callable[[str], Expression]:
    def build(arguments: str) -> Expression:
        if arguments.strip():
            raise RuleError(f"{name}({arguments}): {name} takes no arguments")
        return value

    return build


FUNCTIONS: dict[str, Callable[[str], Expression]] = {
    "encode": _encode,
    "topic": _topic,
    "clientid": _bare("clientid", lambda publication: publication.client),
    "principal": _bare("principal", lambda publication: publication.principal),
    "timestamp": _bare("timestamp", lambda publication: publication.at_ms),
    "newuuid": _bare("newuuid", lambda publication: str(uuid.uuid4())),
}


def _call(text: str) -> Expression:
    match = _CALL.fullmatch(text.strip())
    if match is None:
        raise RuleError(f"{text.strip()!r} is not understood: only calls of {', '.join(FUNCTIONS)} are")
    function = FUNCTIONS.get(match["name"].lower())
    if function is None:
        raise RuleError(f"the function {match['name']} is not understood: only {', '.join(FUNCTIONS)} are")
    return function(match["arguments"])


def _check_filter(topic_filter: str) -> None:
    """A wildcard is a whole level, and # the last one (MQTT 3.1.1, 4.7.1)."""
    levels = topic_filter.split("/")
    for index, level in enumerate(levels):
        plain = not set(level) & {"+", "#"}
        if not (plain or level == "+" or (level == "#" and index == len(levels) - 1)) or not topic_filter:
            raise RuleError(f"the filter {topic_filter!r} is none: + is a whole level, # the last one")


@dataclass(frozen=True, slots=True)
class Statement:
    """A parsed SELECT statement."""

    fields: tuple[tuple[str, Expression], ...]
    topic_filter: str

    @classmethod
    def parse(cls, sql: str, version: str) -> Statement:
        """Parse the SQL of a rule; raises RuleError naming what is outside the subset."""
        if version != VERSION:
            raise RuleError(f"SQL version {version} is not understood: only {VERSION} is")
        match = _SELECT.fullmatch(sql)
        if match is None:
            raise RuleError(f"not of the form SELECT ... FROM '...': {sql!r}")
        if match["rest"].strip():
            raise RuleError(f"{match['rest'].strip()!r} after FROM is not understood")
        fields = tuple(cls._field(item) for item in _SPLIT_ITEMS.split(match["items"]))
        names = [name for name, _ in fields]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise RuleError(f"{', '.join(twice)} stands twice in the SELECT list")
        _check_filter(match["filter"])
        return cls(fields, match["filter"])

    @staticmethod
    def _field(item: str) -> tuple[str, Expression]:
        match = _ITEM.fullmatch(item)
        if match is None:
            raise RuleError(
                f"{item.strip()!r} in the SELECT list is not understood: only FUNCTION(...) AS NAME is"
            )
        return match["name"], _call(match["call"])

    def matches(self, topic: str) -> bool:
        """Whether the FROM filter takes the topic (MQTT 3.1.1, 4.7: + is one level, # is the rest).

        A filter that begins with a wildcard takes no topic that begins with $ (4.7.2).
        """
        if topic.startswith("$") and self.topic_filter.startswith(("+", "#")):
            return False
        filters, levels = self.topic_filter.split("/"), topic.split("/")
        for index, wanted in enumerate(filters):
            if wanted == "#":
                return True
            if index >= len(levels) or wanted not in ("+", levels[index]):
                return False
        return len(filters) == len(levels)

    def evaluate(self, publication: Publication) -> bytes:
        """The JSON object that the rule hands to its action."""
        values = {name: expression(publication) for name, expression in self.fields}
        return json.dumps(
            {name: value for name, value in values.items() if value is not None}, separators=(",", ":")
        ).encode()


@dataclass(frozen=True, slots=True)
class Substitution:
    """A text with ``${...}`` in it."""

    parts: tuple[str | Expression, ...]

    @classmethod
    def parse(cls, text: str) -> Substitution:
        """Parse a parameter of an action; raises RuleError naming what is outside the subset."""
        pieces = _SUBSTITUTION.split(text)
        literals = pieces[0::2]
        if any("${" in literal for literal in literals):
            raise RuleError(f"{text!r} has a substitution that does not end")
        # split() alternates: text, expression, text, ...
        return cls(tuple(_call(piece) if index % 2 else piece for index, piece in enumerate(pieces)))

    def render(self, publication: Publication) -> str:
        """The text for one message; an Undefined value leaves nothing."""
        values = (part if isinstance(part, str) else part(publication) for part in self.parts)
        return "".join("" if value is None else str(value) for value in values)
