"""What a configuration plans to spend, beside what it allows."""

from __future__ import annotations

from collections.abc import Sequence

from edge_agent.budget.limits import MB
from edge_agent.config import Config
from edge_agent.profile import Profile

UPLINK_MONTH_BYTES = 2_500_000
"""About what connections, keep-alives and hourly batches cost in a month."""


def budget_warnings(place: str, config: Config) -> Sequence[str]:
    """A line for each metered interface whose probes alone would use up its budget before the month ends."""
    profile = Profile(config)
    found = []
    for meter in sorted(profile.meters):
        planned, allowed = profile.probes_month_bytes(meter), profile.limits(meter).month
        if planned + UPLINK_MONTH_BYTES > allowed:
            found.append(
                f"{place}: [budget] the probes on {meter} cost up to {planned / MB:.1f} MB a month, "
                f"of the {allowed / MB:.1f} MB allowed with everything: rounds will be left out"
            )
    return found
