"""The bill of the usual design for a fleet: a message, a record and an item for each reading (pure)."""

from __future__ import annotations

import math

from cloud import plan_aws as aws
from cloud.plan_fleet import MONTH_DAYS, MONTH_S, Fleet, Line, Needs, Plan
from cloud.plan_prices import Prices
from cloud.plan_sizes import Sizes, units

TOPIC_BYTES = 40
PER_VCPU_S = 8_000
"""Readings a second of one vCPU: boto3's batch_writer (7,900 items/s, evidence/cloud.md section 5)."""
BATCH_WRITE_S = 0.010
"""Time that a BatchWriteItem of 25 items takes."""
PRINTED_BYTES = 1024
"""Of a record, base64 and its fields, in print(event)."""


def plan(fleet: Fleet, sizes: Sizes, prices: Prices, extras: bool = False) -> Plan:
    """The plan of the naive design; ``extras`` adds what such designs usually have beside it.

    These are an item for the latest state, one index with all attributes, an idempotency record (2 write
    units a reading, Powertools for AWS Lambda) and a log line of each event.
    """
    readings = fleet.readings
    shards = aws.shards_for(readings / MONTH_S, sizes.naive_record)
    invocations = aws.invocations(readings, shards)
    in_each = readings / invocations
    seconds = in_each / PER_VCPU_S * aws.VCPU_GB / aws.INGEST_GB + math.ceil(in_each / 25) * BATCH_WRITE_S
    writes = {"readings": readings * units(sizes.naive_item)}
    if extras:
        writes |= {"latest state": readings, "index": readings, "idempotency": 2 * readings}
    copies = 2 if extras else 1
    stored = aws.stored_gb([(readings / MONTH_DAYS * fleet.retention_days * copies, sizes.naive_item)])
    lines: list[Line] = [
        *aws.iot_lines(fleet, readings, sizes.naive_record + TOPIC_BYTES, False, prices),
        *aws.stream_lines(fleet, readings, sizes.naive_record, shards, prices),
        aws.lambda_line(invocations * seconds * aws.INGEST_GB, invocations, prices),
        *(aws.write_line(what, amount, prices) for what, amount in writes.items()),
        *aws.storage_lines(stored, prices),
        aws.logs_line(invocations, readings * PRINTED_BYTES if extras else 0, prices),
    ]
    busy = invocations / MONTH_S * seconds * aws.PEAK
    needs = Needs(
        messages_s=readings / MONTH_S,
        shards=shards,
        parallelization=min(max(math.ceil(busy / shards), 1), aws.MOST_PARALLEL),
        concurrency=math.ceil(busy),
        passes=0,
        writes_s=sum(writes.values()) / MONTH_S,
        reads_s=0,
        stored_gb=stored,
    )
    return Plan(readings, tuple(lines), needs)
