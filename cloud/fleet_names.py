"""The names of all gateways that a stack knows: enrolled, or with a latest state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from cloud import keys, queries
from cloud.target import Target, TargetError, failures
from edge_agent.contract import GATEWAY_PATTERN


def gateways(target: Target) -> list[str]:
    """Every gateway's name, sorted; a state that cannot be read still has its name."""
    enrolled = _scan(
        target,
        TableName=target.output("RegistryTable"),
        FilterExpression="s = :gateway",
        ExpressionAttributeValues={":gateway": {"S": keys.GATEWAY}},
        ProjectionExpression=keys.PARTITION,
    )
    heard = _scan(target, TableName=target.output("LatestTable"), ProjectionExpression=keys.LATEST_KEY)
    names = {item[keys.PARTITION]["S"] for item in enrolled} | {item[keys.LATEST_KEY]["S"] for item in heard}
    return sorted(name for name in names if GATEWAY_PATTERN.fullmatch(name))


def require(target: Target, gateway: str) -> None:
    """Raise TargetError when nobody enrolled the gateway and it has no latest state: a name mistyped.

    For where nothing was found: one that was never enrolled may have sent nothing but what was delayed.
    """
    if queries.latest_state(target, gateway) is None and gateway not in {
        each.gateway for each in queries.enrolments(target)
    }:
        raise TargetError(f"no gateway {gateway} on {target.place}: see `linkview gateways`")


def _scan(target: Target, **request: Any) -> Iterator[keys.Item]:
    with failures(target):
        for page in target.dynamodb().get_paginator("scan").paginate(**request):
            yield from cast(list[keys.Item], page["Items"])
