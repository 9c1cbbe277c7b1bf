"""Whether a batch that keeps the contract can be believed: its identity, its way in and its times (pure)."""

from __future__ import annotations

from cloud.decode import Arrival
from cloud.keys import MAX_MS, MIN_MS
from cloud.poison import Rejected

FUTURE_MS = 120_000
"""A last reading that much later than its reception is from a wrong clock."""
LIVE_MS = 900_000
"""A last reading older than that on reception is backlog, not the present."""


def validate(arrival: Arrival, allow_direct: bool) -> Arrival:
    """The arrival itself; raises Rejected when it claims what it is not or has impossible times."""
    envelope, gateway = arrival.envelope, arrival.sealed.gateway
    if envelope.direct and not allow_direct:
        raise Rejected("direct", "it was put into the stream directly, and AllowDirect is false")
    if gateway != envelope.thing:
        raise Rejected(
            "identity", f"the payload claims gateway {gateway!r}, its topic is of {envelope.thing!r}"
        )
    if envelope.client is not None and envelope.client != envelope.thing:
        raise Rejected("identity", f"client {envelope.client!r} published to the topic of {envelope.thing!r}")
    if arrival.first_ms < MIN_MS:
        raise Rejected("time", f"a reading is from before 2020 (at_ms {arrival.first_ms})")
    if arrival.last_ms > MAX_MS:
        raise Rejected("time", f"a reading's time has more than 13 digits (at_ms {arrival.last_ms})")
    return arrival


def is_future(arrival: Arrival) -> bool:
    """Whether the gateway's clock runs ahead."""
    return arrival.last_ms > arrival.envelope.rx_ms + FUTURE_MS


def is_live(arrival: Arrival) -> bool:
    """Whether the batch tells of the present; one from the future does, its clock apart."""
    return arrival.last_ms >= arrival.envelope.rx_ms - LIVE_MS


def present_ms(arrival: Arrival, at_ms: int) -> int:
    """A time of the batch, clamped to its reception when the clock runs ahead: one wrong clock must
    neither freeze the latest state nor keep an item for centuries."""
    return min(at_ms, arrival.envelope.rx_ms) if is_future(arrival) else at_ms
