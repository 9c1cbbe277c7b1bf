"""The bill and needs of this pipeline for a fleet, from real sizes and the way it works (pure)."""

from __future__ import annotations

import math

from cloud import plan_aws as aws
from cloud.buckets import SHORT_MS
from cloud.plan_fleet import MONTH_DAYS, MONTH_H, MONTH_S, Fleet, Line, Needs, Plan
from cloud.plan_prices import Prices
from cloud.plan_sizes import READ_UNIT, Sizes, units

# As shipped; tests/cloud/test_plan.py holds template and plan together.
PASS_S = 300
"""The rollup function runs so often."""
ROLLUP_GB = 1769 / 1024
ROLLUP_DAYS = {"5m": 35, "1h": 400, "1d": 1830}
"""Days that rollups of a step are kept."""
GRAPH_PAGE = 200
"""Gateways whose links are one item of the graph."""
WORKERS = 8
"""Calls of a function at once."""

# Measured here, with room: see `make bench` and README.
INGEST_PER_VCPU_S = 40_000
"""Readings a second of one vCPU from the event to the endpoint of DynamoDB: the floor of `make bench`."""
ROLLUP_PER_VCPU_S = 60_000
"""Readings a second of one vCPU from stored chunks to rollups."""

# Assumed.
BATCH_WRITE_S, CALL_S, INVOCATION_S = 0.010, 0.005, 0.003
"""Time that a BatchWriteItem of 25 items, a call for one item and an invocation take by themselves."""
FULL = 0.7
"""Part of its time that a rollup pass may need."""
LATE = 0.02
"""Part of the hours of a gateway whose chunks came late, after an outage: a mark and a recomputation."""
CHANGES_A_DAY = 1.0
"""Changes of state of a link, each an event."""
HISTORIES_A_DAY = 1.0
"""Histories of 24 hours that people look at, of each gateway."""
LOOKS_A_DAY = 48.0
"""Looks at the latest state of all links."""
REGISTRY_EVERY_S = 900
"""The ingest function asks for a gateway's site and links so often (cloud/registry.py)."""


def plan(fleet: Fleet, sizes: Sizes, prices: Prices) -> Plan:
    """The plan of this pipeline for a fleet."""
    messages = fleet.readings / sizes.readings
    shards = aws.shards_for(messages / MONTH_S, sizes.record)
    ingests, passes = aws.invocations(messages, shards), MONTH_S / PASS_S
    ingest_s, pass_s = _ingest_s(fleet, sizes, messages / ingests), _pass_s(fleet)
    gb_s = ingests * ingest_s * aws.INGEST_GB + passes * pass_s * ROLLUP_GB
    writes, reads = _writes(fleet, sizes, messages), _reads(fleet, sizes, messages)
    stored = _stored_gb(fleet, sizes, messages)
    events = fleet.gateways * fleet.links * CHANGES_A_DAY * MONTH_DAYS
    lines = [
        *aws.iot_lines(fleet, messages, sizes.message, True, prices),
        *aws.stream_lines(fleet, messages, sizes.record, shards, prices),
        aws.lambda_line(gb_s, ingests + passes, prices),
        *(aws.write_line(what, amount, prices) for what, amount in writes.items()),
        *(aws.read_line(what, amount, prices) for what, amount in reads.items()),
        *aws.storage_lines(stored, prices),
        Line("EventBridge", events, "events", prices.of("event", events)),
        aws.logs_line(ingests + passes, 0, prices),
        *aws.watch_lines(prices),
        Line("Scheduler", passes, "invocations", prices.of("schedule", passes), fixed=True),
    ]
    busy, schedules = ingests / MONTH_S * ingest_s * aws.PEAK, math.ceil(pass_s / PASS_S / FULL)
    needs = Needs(
        messages_s=messages / MONTH_S,
        shards=shards,
        parallelization=min(max(math.ceil(busy / shards), 1), aws.MOST_PARALLEL),
        concurrency=math.ceil(busy) + schedules,
        passes=schedules,
        writes_s=sum(writes.values()) / MONTH_S,
        reads_s=sum(reads.values()) / MONTH_S,
        stored_gb=stored,
    )
    return Plan(fleet.readings, tuple(lines), needs)


def _ingest_s(fleet: Fleet, sizes: Sizes, records: float) -> float:
    """Seconds of an invocation with so many records: its own, computing, and waiting for DynamoDB."""
    computing_s = records * sizes.readings / INGEST_PER_VCPU_S * aws.VCPU_GB / aws.INGEST_GB
    states = min(records, fleet.gateways)
    waiting_s = math.ceil(records / 25) * BATCH_WRITE_S + math.ceil(states / WORKERS) * CALL_S
    return INVOCATION_S + computing_s + waiting_s


def _pass_s(fleet: Fleet) -> float:
    """Seconds of a rollup pass over the fleet; chunks that begin before the period are read too."""
    readings = fleet.readings_s * (PASS_S + SHORT_MS / 1000)
    return readings / ROLLUP_PER_VCPU_S + fleet.gateways * 2 * CALL_S / WORKERS


def _writes(fleet: Fleet, sizes: Sizes, messages: float) -> dict[str, float]:
    """Write units a month, by what for."""
    periods, hours = fleet.gateways * MONTH_S / PASS_S, fleet.gateways * MONTH_H
    fine, hour, day = map(units, (sizes.rollup_5m, sizes.rollup_1h, sizes.rollup_1d))
    paged = min(fleet.gateways, GRAPH_PAGE)
    # The parts of a batch that did not fit into one message arrive together: one update.
    states = min(messages, fleet.gateways * MONTH_S / fleet.batch_s)
    return {
        "readings": messages * sizes.chunk_writes,
        "latest state": states * units(sizes.latest),
        "rollups": min(periods, messages) * fine + min(hours, messages) * hour + hours / 24 * day,
        "graph": periods / paged * units(sizes.graph * paged),
        "late data": hours * LATE * (1 + 12 * fine + hour + day),
        # Once an hour what a gateway has sent is noted; with a few holes it is far below 1 KB.
        "gaps": min(hours, messages),
    }


def _reads(fleet: Fleet, sizes: Sizes, messages: float) -> dict[str, float]:
    """Read units a month, by what for; the rollup function reads consistently."""
    periods, hours = fleet.gateways * MONTH_S / PASS_S, fleet.gateways * MONTH_H
    in_period = messages / periods * sizes.chunk
    swept = units(in_period * (1 + SHORT_MS / 1000 / PASS_S), READ_UNIT) + sizes.latest / READ_UNIT
    hour = units(12 * sizes.rollup_5m, READ_UNIT)
    late = units(24 * in_period, READ_UNIT) + hour + units(24 * sizes.rollup_1h, READ_UNIT)
    history = units(288 * sizes.rollup_5m, READ_UNIT)
    look = sizes.latest / READ_UNIT / 2
    days = fleet.gateways * MONTH_DAYS
    return {
        "rollup reads": periods * swept + hours * hour + days * units(24 * sizes.rollup_1h, READ_UNIT),
        "late data reads": hours * LATE * late,
        # The hour's chunks again, and what was noted of those before.
        "gap reads": hours * (units(12 * in_period, READ_UNIT) + 1),
        # The gateway's enrolment and its links, eventually consistent.
        "registry reads": fleet.gateways * MONTH_S / REGISTRY_EVERY_S,
        "reads by people": days * (HISTORIES_A_DAY * history + LOOKS_A_DAY * look),
    }


def _stored_gb(fleet: Fleet, sizes: Sizes, messages: float) -> float:
    """GB in the tables once all is there that is kept."""
    daily = messages / MONTH_DAYS
    kept_5m = max(ROLLUP_DAYS["5m"], fleet.retention_days + 1)
    return aws.stored_gb(
        (
            (daily * fleet.retention_days, sizes.chunk),
            (min(fleet.gateways * 288, daily) * kept_5m, sizes.rollup_5m),
            (min(fleet.gateways * 24, daily) * ROLLUP_DAYS["1h"], sizes.rollup_1h),
            (fleet.gateways * ROLLUP_DAYS["1d"], sizes.rollup_1d),
            (fleet.gateways, sizes.latest + sizes.graph),
        )
    )
