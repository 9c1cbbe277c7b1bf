"""Asking a gateway to send readings again, over AWS IoT Data: what, when, and how often."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any, Protocol

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from cloud.dynamo import ATTEMPTS, CONNECT_S, READ_S
from cloud.gap_ranges import Hole
from cloud.gaps_state import Gaps, ask, due
from cloud.gaps_store import GapStore

HOUR_MS = 3_600_000
AGAIN_MS = HOUR_MS - 600_000
"""A hole is asked for at most once in that time: once an hour, by a pass that may come a little early."""
SETTLED_MS = HOUR_MS // 2
"""A younger hole may be on its way: the newest goes first, and backlog follows."""
MOST = 8
"""Holes of a gateway asked for at once; it keeps 16 requests (edge_agent/uplink/resends.py)."""


class PublishError(Exception):
    """A request could not be published; the message says why."""


class Publish(Protocol):
    """Publishes at QoS 1; raises PublishError."""

    def __call__(self, topic: str, payload: bytes) -> None:
        """Publish one message."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Which holes are asked for by themselves."""

    young_ms: int
    """Older ones are not: the gateway's spool no longer has them."""
    settled_ms: int = SETTLED_MS
    again_ms: int = AGAIN_MS
    most: int = MOST

    def due(self, gaps: Gaps, now_ms: int) -> list[tuple[int, Hole]]:
        """(epoch, hole) to ask for now."""
        return due(gaps, now_ms, self.young_ms, self.settled_ms, self.again_ms, self.most)


def topic(gateway: str) -> str:
    """Where a gateway hears requests; the policy lets no other hear them."""
    return f"linkpulse/v1/{gateway}/resend"


def request(epoch: int, hole: Hole) -> bytes:
    """The request for a hole, both ends included."""
    return json.dumps({"epoch": f"{epoch:016x}", "first": hole.first, "last": hole.end - 1}).encode()


def over(client: Any) -> Publish:
    """Publishing through a client of IoT Data (API reference, Publish)."""

    def publish(topic: str, payload: bytes) -> None:
        with _failures():
            client.publish(topic=topic, qos=1, payload=payload)

    return publish


class Create(Protocol):
    """Makes a client of an AWS service."""

    def __call__(self, service: str, endpoint_url: str | None) -> Any:
        """Make one that speaks to an endpoint, by default to the region's."""


def create(service: str, endpoint_url: str | None) -> Any:
    """A client with short limits, as that of DynamoDB."""
    config = Config(
        connect_timeout=CONNECT_S,
        read_timeout=READ_S,
        retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
    )
    session = botocore.session.get_session()
    return session.create_client(service, endpoint_url=endpoint_url, config=config)


def connect(environment: Mapping[str, str], create: Create = create) -> Publish:
    """Publishing from a function, connected when there is something to publish.

    "For production code it is strongly recommended to use the custom endpoint for your account" (AWS CLI
    reference, iot-data); the variable names another one (AWS SDKs and tools reference guide,
    "Service-specific endpoints").
    """
    made: list[Publish] = []
    lock = Lock()

    def first() -> Publish:
        with lock, _failures():
            if not made:
                url = environment.get("AWS_ENDPOINT_URL_IOT_DATA_PLANE")
                if not url:
                    answer = create("iot", None).describe_endpoint(endpointType="iot:Data-ATS")
                    url = f"https://{answer['endpointAddress']}"
                made.append(over(create("iot-data", url)))
            return made[0]

    return lambda topic, payload: first()(topic, payload)


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except ClientError as exc:
        raise PublishError(f"{exc.operation_name}: {exc.response['Error'].get('Code')}") from exc
    except BotoCoreError as exc:
        raise PublishError(type(exc).__name__) from exc


def ask_gateway(
    store: GapStore,
    publish: Publish,
    gateway: str,
    choose: Callable[[Gaps], Sequence[tuple[int, Hole]]],
    now_ms: int,
) -> list[tuple[int, Hole]]:
    """Ask a gateway for the chosen holes; returns them. Raises PublishError, and what the store raises.

    The note is saved before: of two who ask at once only one does, and a crash in between costs an hour.
    """
    wanted: list[tuple[int, Hole]] = []

    def change(gaps: Gaps) -> Gaps:
        wanted[:] = choose(gaps)
        return ask(gaps, wanted, now_ms) if wanted else gaps

    store.change(gateway, change, now_ms)
    for epoch, hole in wanted:
        publish(topic(gateway), request(epoch, hole))
    return wanted
