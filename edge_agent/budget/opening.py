"""The budget of a configuration, where anything is metered."""

from __future__ import annotations

from edge_agent.budget.budget import SETTLE_S, Budget
from edge_agent.budget.ledger_file import LedgerFile, place
from edge_agent.clock import Clock
from edge_agent.config import Config
from edge_agent.profile import Profile
from edge_agent.profile_way_out import WayOut


def open_budget(config: Config, clock: Clock, way: WayOut) -> Budget | None:
    """The budget with its ledger beside the spool; None where nothing is metered."""
    profile = Profile(config)
    if not profile.is_anything_metered:
        return None
    timeouts = [each.timeout_s for each in (*config.metered.values(), *config.probes.values())]
    return Budget(
        LedgerFile(place(config.spool.path)),
        clock,
        profile.limits,
        sorted(profile.meters),
        reset_day=config.budget.reset_day,
        settle_s=max(SETTLE_S, *timeouts),
        holds_backfill=way.holds_backfill,
    )
