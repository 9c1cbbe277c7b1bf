"""From the spool to the cloud: what goes when, what comes back, and what it costs."""

from __future__ import annotations

from edge_agent.publisher import Publisher, PublishError, PublishRefused, Traffic
from edge_agent.uplink.backoff import FIRST_BACKOFF_S
from edge_agent.uplink.state import UplinkCounts
from edge_agent.uplink.uplink import Uplink, not_metered

__all__ = [
    "FIRST_BACKOFF_S",
    "PublishError",
    "PublishRefused",
    "Publisher",
    "Traffic",
    "Uplink",
    "UplinkCounts",
    "not_metered",
]
