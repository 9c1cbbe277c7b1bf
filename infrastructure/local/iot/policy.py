"""Translates the deployed AWS IoT policy into access rules that mosquitto enforces.

The part of the policy language that is understood is small on purpose (AWS IoT developer guide, "AWS IoT
Core policies"): Allow statements about connecting as the certificate's thing, and about publishing to or
receiving from topics that are literal but for the thing's name. Everything else is an error, because a rule
that the local broker drops in silence would let pass here what AWS refuses, or the other way round.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

THING = "${iot:Connection.Thing.ThingName}"
ATTACHED = "iot:Connection.Thing.IsAttached"
USERNAME = "%u"
"""mosquitto replaces it by the user name, here the common name (mosquitto.conf(5), acl_file)."""
RESOURCE_TYPES = {
    "iot:Connect": "client",
    "iot:Publish": "topic",
    "iot:Receive": "topic",
    "iot:Subscribe": "topicfilter",
}
_LITERAL = re.compile(r"[^*?+#%{}]+")


class PolicyError(Exception):
    """The policy says something that the local broker cannot be made to enforce."""


@dataclass(frozen=True, slots=True)
class Grant:
    """One action on one topic; a level of ``%u`` is the thing's own name."""

    action: str
    topic: str

    def thing(self, topic: str) -> str | None:
        """The thing to which this grants the action on the topic, None when it grants it to nobody."""
        ours, given = self.topic.split("/"), topic.split("/")
        if len(ours) != len(given):
            return None
        names = set()
        for level, value in zip(ours, given, strict=True):
            if level == USERNAME:
                names.add(value)
            elif level != value:
                return None
        return names.pop() if len(names) == 1 else None


@dataclass(frozen=True, slots=True)
class BrokerPolicy:
    """What every gateway may do, with its own name filled in."""

    grants: tuple[Grant, ...]

    def acl(self, bridge: str) -> str:
        """The acl_file of mosquitto: the grants for everybody, and the other side of them for the cloud.

        mosquitto does not refuse subscriptions, it delivers nothing on them: a topic may be read where the
        policy allows both to subscribe to it and to receive from it.
        """
        writes = [each.topic for each in self.grants if each.action == "iot:Publish"]
        reads = [
            each.topic
            for each in self.grants
            if each.action == "iot:Receive" and Grant("iot:Subscribe", each.topic) in self.grants
        ]
        lines = [*(f"pattern write {each}" for each in writes), *(f"pattern read {each}" for each in reads)]
        cloud = ["topic read $aws/rules/#"]
        cloud += [f"topic read {_of_all(each)}" for each in writes if not each.startswith("$aws/rules/")]
        cloud += [f"topic write {_of_all(each)}" for each in reads]
        return "\n".join([*lines, "", f"user {bridge}", *cloud, ""])

    def publisher(self, topic: str) -> str | None:
        """The only thing that may publish to the topic, None when nobody may."""
        for grant in self.grants:
            if grant.action == "iot:Publish" and (thing := grant.thing(topic)):
                return thing
        return None


def translate(document: str, region: str, account: str) -> BrokerPolicy:
    """The policy document (JSON) as grants; raises PolicyError naming what is not understood."""
    try:
        statements = json.loads(document)["Statement"]
    except (ValueError, KeyError, TypeError) as exc:
        raise PolicyError(f"the IoT policy is not a policy document: {exc}") from exc
    grants = [
        grant
        for number, statement in enumerate(_listed(statements), 1)
        for grant in _grants(
            f"statement {number} of the IoT policy", statement, f"arn:aws:iot:{region}:{account}:"
        )
    ]
    if Grant("iot:Connect", USERNAME) not in grants:
        raise PolicyError(f"the IoT policy lets nobody connect: it needs iot:Connect on client/{THING}")
    return BrokerPolicy(tuple(grants))


def _grants(where: str, statement: dict[str, Any], prefix: str) -> Iterable[Grant]:
    unknown = set(statement) - {"Sid", "Effect", "Action", "Resource", "Condition"}
    if unknown or statement.get("Effect") != "Allow":
        what = ", ".join(sorted(unknown)) or f"Effect {statement.get('Effect')}"
        raise PolicyError(f"{where}: {what} is not understood by the local broker")
    _check_condition(where, statement.get("Condition", {}))
    for action in _listed(statement.get("Action", [])):
        for resource in _listed(statement.get("Resource", [])):
            yield _grant(where, action, resource, prefix)


def _grant(where: str, action: str, resource: str, prefix: str) -> Grant:
    kind = RESOURCE_TYPES.get(action)
    if kind is None:
        raise PolicyError(f"{where}: action {action} is not understood by the local broker")
    expected = f"{prefix}{kind}/"
    if not resource.startswith(expected):
        raise PolicyError(f"{where}: {action} on {resource} is not understood; it must begin with {expected}")
    levels = [_level(where, level) for level in resource.removeprefix(expected).split("/")]
    grant = Grant(action, "/".join(levels))
    if action == "iot:Connect" and grant.topic != USERNAME:
        # Only a client id that equals the certificate's name can be enforced (use_username_as_clientid).
        raise PolicyError(f"{where}: iot:Connect must be on client/{THING}, not on {resource}")
    if action == "iot:Publish" and USERNAME not in levels:
        raise PolicyError(
            f"{where}: iot:Publish on {resource} is not bound to {THING}; nothing would tell who published"
        )
    return grant


def _level(where: str, level: str) -> str:
    if level == THING:
        return USERNAME
    if not _LITERAL.fullmatch(level):
        raise PolicyError(f"{where}: {level!r} in a resource is not understood by the local broker")
    return level


def _check_condition(where: str, condition: dict[str, Any]) -> None:
    """Only "the thing is attached to the certificate" is understood; the bridge enforces it."""
    for operator, tests in condition.items():
        for key, values in tests.items():
            truth = [str(each).lower() for each in _listed(values)]
            if operator != "Bool" or key != ATTACHED or truth != ["true"]:
                raise PolicyError(
                    f"{where}: condition {operator} {key} is not understood by the local broker"
                )


def _of_all(topic: str) -> str:
    """A topic filter for the same topic of every thing."""
    return topic.replace(USERNAME, "+")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
