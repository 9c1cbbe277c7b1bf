"""Both publishers as gateway gw-1, to be held to the same tests against a real broker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from edge_agent.mqtt_aws import AwsPublisher
from edge_agent.mqtt_paho import PahoPublisher
from edge_agent.publisher import Publisher, PublishError

P = TypeVar("P", bound=Publisher)
T = TypeVar("T")
TOPIC = "$aws/rules/demo_ingest/v1/gw-1/m"
FOREIGN = "$aws/rules/demo_ingest/v1/gw-2/m"
GONE = "linkpulse/v1/gw-1/gone"
RESEND = "linkpulse/v1/gw-1/resend"
WITHIN_S = 30
"""A hang is a failure, not a test that never ends."""

MQTT: dict[str, Callable[..., Publisher]] = {"paho": PahoPublisher, "awsiotsdk": AwsPublisher}


def mqtt(kind: str, broker: Any, identity: Any = None, **changes: Any) -> Publisher:
    """A publisher of gw-1 with its own certificate, unless changed."""
    identity = identity or broker.authority.issue("gw-1")
    arguments = {
        "endpoint": "localhost",
        "port": broker.port,
        "client_id": "gw-1",
        "ca": identity.ca,
        "certificate": identity.certificate,
        "key": identity.key,
        "keepalive_s": 60,
        "timeout_s": 10.0,
    }
    return MQTT[kind](**(arguments | changes))


def run(publisher: P, work: Callable[[P], Awaitable[T]]) -> T:
    """Run the work on a publisher and close it, within a bound."""

    async def whole() -> T:
        async with asyncio.timeout(WITHIN_S):
            try:
                return await work(publisher)
            finally:
                await publisher.close()

    return asyncio.run(whole())


def failure(publisher: Publisher) -> str:
    """What connecting fails with."""

    async def work(publisher: Publisher) -> str:
        with pytest.raises(PublishError) as caught:
            await publisher.connect()
        return str(caught.value)

    return run(publisher, work)
