"""What a million readings cost, us-east-1, beside the naive design; see `linkview plan`."""

from __future__ import annotations

from cloud import plan_prices
from cloud.plan import compare
from cloud.plan_fleet import Fleet
from tests.benchmarks.paired import Row

MOST_USD = 0.055
DEFAULT = Fleet(gateways=1_000, links=10, interval_s=10, batch_s=60, retention_days=30)
"""The default fleet: 10 links a gateway, a reading of each every 10 s, a batch a minute."""


def rows() -> list[Row]:
    """US cents for a million readings with connectivity, rollups, latest state and 30 days; fees apart."""
    ours, naive, extras = compare(DEFAULT, plan_prices.load()).plans
    cents = 100 * ours.per_million
    what, unit = "a million readings, model", "US cents"
    return [
        Row(what, unit, cents, 100 * naive.per_million, "item a reading", most=100 * MOST_USD),
        Row("... usual extras", unit, cents, 100 * extras.per_million, "latest, index, idempotency, log"),
        Row("... fixed fees a month", "US dollars", ours.fixed_usd, naive.fixed_usd, "item a reading"),
    ]
