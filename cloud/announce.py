"""Tells EventBridge of changes of link states: one event each, with an id that is always the same.

EventBridge neither removes duplicates nor promises to deliver once ("at least once", user guide, "Event
delivery"); whoever must not act twice keeps the ``id`` of the event's detail. An event on the default bus:

- source ``linkpulse``, detail-type ``Link state changed``, time that of the reading, resources
  ``["<gateway>/<link>"]``;
- detail: ``id`` (gateway, spool epoch and number of the reading), ``stage``, ``gateway``, ``link``, ``peer``,
  ``medium``, ``capacity_kbps`` (null: not known), ``site``, ``region``, ``latitude`` and ``longitude``
  (degrees, null: not known), ``before`` and ``after`` (unknown, up, degraded, down), ``at_ms`` (ms since
  1970) and ``at`` (the same for people, UTC).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from cloud.dynamo import ATTEMPTS, CONNECT_S, READ_S, RefusedError, TransientError, attempt
from cloud.latest import Latest
from cloud.link_change import Change

SOURCE = "linkpulse"
DETAIL_TYPE = "Link state changed"
ENTRIES_IN_CALL = 10
"""PutEvents takes so many (EventBridge API reference, PutEvents)."""


def connect() -> Any:
    """A client of EventBridge with short limits, as that of DynamoDB; loaded when it is needed."""
    import botocore.session
    from botocore.config import Config

    config = Config(
        connect_timeout=CONNECT_S,
        read_timeout=READ_S,
        retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
    )
    return cast(Any, botocore.session.get_session()).create_client("events", config=config)


class EventBus:
    """The default bus of the account; a client is made when there is something to tell."""

    def __init__(
        self,
        stage: str,
        make: Callable[[], Any] = connect,
        say: Callable[[dict[str, object]], None] | None = None,
    ) -> None:
        self._stage = stage
        self._make = make
        self._say = say
        self._client: Any = None

    def tell(
        self, changes: Sequence[Change], states: Mapping[str, Latest], remains: Callable[[], bool]
    ) -> set[str]:
        """Tell of changes while time remains; returns the ids of those that it has taken."""
        told: set[str] = set()
        for at in range(0, len(changes), ENTRIES_IN_CALL):
            if not remains():
                break
            group = changes[at : at + ENTRIES_IN_CALL]
            try:
                told |= self._put(
                    group, [entry(each, states.get(each.gateway), self._stage) for each in group]
                )
            except (TransientError, RefusedError) as exc:
                self._warn(len(group), str(exc))
                break  # the rest would wait for the same limits: it waits in the items instead
        return told

    def _put(self, group: Sequence[Change], entries: list[dict[str, Any]]) -> set[str]:
        """One PutEvents; each entry is taken or not, in the order of the request (user guide, PutEvents)."""
        client = self._client = self._client or attempt(self._make)
        answers = attempt(lambda: client.put_events(Entries=entries))["Entries"]
        refused = [str(answer["ErrorCode"]) for answer in answers if "ErrorCode" in answer]
        if refused:
            self._warn(len(refused), refused[0])
        return {each.id for each, answer in zip(group, answers, strict=True) if "ErrorCode" not in answer}

    def _warn(self, count: int, reason: str) -> None:
        if self._say:
            self._say({"level": "WARNING", "event": "changes wait", "count": count, "reason": reason})


def entry(change: Change, state: Latest | None, stage: str) -> dict[str, Any]:
    """The entry of PutEvents for a change; times in ms since 1970, rates in kbit/s."""
    link = state.links.get(change.link) if state else None
    place = state.place if state else None
    detail = {
        "id": change.id,
        "stage": stage,
        "gateway": change.gateway,
        "link": change.link,
        "peer": link.peer if link else "",
        "medium": link.medium if link else "",
        "capacity_kbps": link.capacity_kbps if link else None,
        "site": place.site if place else "",
        "region": place.region if place else "",
        "latitude": place.latitude if place else None,
        "longitude": place.longitude if place else None,
        "before": change.before.name.lower(),
        "after": change.after.name.lower(),
        "at_ms": change.at_ms,
        "at": f"{datetime.fromtimestamp(change.at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC",
    }
    return {
        "Source": SOURCE,
        "DetailType": DETAIL_TYPE,
        "Time": datetime.fromtimestamp(change.at_ms / 1000, UTC),
        "Resources": [f"{change.gateway}/{change.link}"],
        "Detail": json.dumps(detail, separators=(",", ":")),
    }
