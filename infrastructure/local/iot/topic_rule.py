"""Reads the deployed topic rule: what the rules engine is to do with a message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infrastructure.local.iot.rule import RuleError, Statement, Substitution

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

GONE = ("ResourceNotFoundException", "UnauthorizedException")
"""What GetTopicRule answers when there is no such rule (AWS says the second)."""


@dataclass(frozen=True, slots=True)
class ErrorAction:
    """Where a message goes that the action could not deliver."""

    bucket: str
    key: Substitution


@dataclass(frozen=True, slots=True)
class TopicRule:
    """A rule with one Kinesis action and, when it has one, an S3 error action."""

    name: str
    disabled: bool
    statement: Statement
    stream: str
    partition_key: Substitution
    errors: ErrorAction | None

    @property
    def prefix(self) -> str:
        """What a Basic Ingest topic of this rule begins with."""
        return f"$aws/rules/{self.name}/"


def read(iot: IoTClient, name: str) -> TopicRule:
    """The rule as it is deployed now; raises RuleError when it uses what is not understood here."""
    return parse(name, dict(iot.get_topic_rule(ruleName=name)["rule"]))


def parse(name: str, payload: dict[str, Any]) -> TopicRule:
    """A rule from the answer of GetTopicRule."""
    actions = payload.get("actions", [])
    if len(actions) != 1 or set(actions[0]) != {"kinesis"}:
        kinds = ", ".join(kind for action in actions for kind in action) or "none"
        raise RuleError(f"rule {name} must have exactly one action, kinesis; it has {kinds}")
    action = actions[0]["kinesis"]
    _known(name, "kinesis", action, {"roleArn", "streamName", "partitionKey"})
    return TopicRule(
        name=name,
        disabled=bool(payload.get("ruleDisabled", False)),
        statement=Statement.parse(payload["sql"], payload.get("awsIotSqlVersion", "2015-10-08")),
        stream=action["streamName"],
        partition_key=Substitution.parse(action["partitionKey"]),
        errors=_error_action(name, payload.get("errorAction") or {}),
    )


def _error_action(name: str, action: dict[str, Any]) -> ErrorAction | None:
    if not action:
        return None
    if set(action) != {"s3"}:
        raise RuleError(f"the error action of rule {name} must be s3, not {', '.join(action)}")
    _known(name, "s3", action["s3"], {"roleArn", "bucketName", "key"})
    return ErrorAction(action["s3"]["bucketName"], Substitution.parse(action["s3"]["key"]))


def _known(name: str, kind: str, action: dict[str, Any], wanted: set[str]) -> None:
    """Each parameter of an action is one that is carried out here, and none of them is missing."""
    if unknown := sorted(set(action) - wanted):
        raise RuleError(f"rule {name}: {', '.join(unknown)} of its {kind} action is not understood")
    if missing := sorted(wanted - set(action)):
        raise RuleError(f"rule {name}: its {kind} action has no {', '.join(missing)}")
