"""The kinds of reading of what the agent itself knows: readings lost, links that change state, its health."""

from __future__ import annotations

from enum import IntEnum

from edge_agent.contract.column import Column, Kind


class Loss(IntEnum):
    """Why readings are missing: the reason of a gap."""

    FULL = 1
    """The spool was full and dropped the oldest."""
    THINNED = 2
    """The spool was full and made old readings coarser."""
    DAMAGED = 3
    """The medium gave back something else than was written."""
    MEMORY = 4
    """The spool took nothing for so long that memory was full: they were never numbered."""
    REFUSED = 5
    """The broker refused the batch for good."""
    IMPOSSIBLE = 6
    """The reading broke the contract: a fault of the agent."""


def _since_start(name: str) -> Column:
    return Column(name, 8, "1", 1, "not told")


def _now(name: str, unit: str = "1", scale: float = 1, null: str = "not told") -> Column:
    return Column(name, 4, unit, scale, null)


GATEWAY_KINDS = (
    Kind(
        "gap",
        13,
        (
            Column("reason", 1, "1", 1, "not told"),
            Column("epoch", 8, "1", 1, "they were never numbered"),
            Column("first_sequence", 8, "1", 1, "they were never numbered"),
            Column("count", 8, "1", 1, "not known how many"),
            Column("from_ms", 8, "s", 1e-3, "not known"),
            Column("until_ms", 8, "s", 1e-3, "not known"),
        ),
    ),
    Kind(
        "state",
        14,
        (
            Column("up", 1, "1", 1, "not known"),
            Column("was_up", 1, "1", 1, "not known before"),
            Column("lasted_s", 4, "s", 1, "not known before"),
            Column("rounds", 2, "1", 1, "not told"),
        ),
    ),
    Kind(
        "agent",
        15,
        (
            _now("uptime_s", "s"),
            _now("clock_error_us", "s", 1e-6, "not synchronised"),
            _now("waiting"),
            _now("unsealed"),
            _now("batches"),
            _now("spool_kib", "B", 1024),
            _now("spool_max_kib", "B", 1024),
            _now("oldest_s", "s", 1, "nothing waits"),
            _since_start("accepted"),
            _since_start("acked"),
            _since_start("dropped_full"),
            _since_start("dropped_thinned"),
            _since_start("dropped_damaged"),
            _since_start("dropped_memory"),
            _since_start("dropped_refused"),
            _now("published"),
            _now("refused"),
            _now("failed"),
            _now("connects"),
            _now("resent"),
            _now("hour_kib", "B", 1024, "nothing is metered"),
            _now("day_kib", "B", 1024, "nothing is metered"),
            _now("month_kib", "B", 1024, "nothing is metered"),
            _now("month_limit_kib", "B", 1024, "no limit"),
            _now("lasts_s", "s", 1, "to the end of the month"),
        ),
    ),
)
