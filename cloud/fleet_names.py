"""The names of all gateways that a stack knows: enrolled, or with a latest state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from cloud import keys
from cloud.target import Target, failures
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


def _scan(target: Target, **request: Any) -> Iterator[keys.Item]:
    with failures(target):
        for page in target.dynamodb().get_paginator("scan").paginate(**request):
            yield from cast(list[keys.Item], page["Items"])
