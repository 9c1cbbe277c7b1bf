"""What parts of AWS cost and take: the lines of a bill that every design has, from its amounts (pure)."""

from __future__ import annotations

import math
from collections.abc import Iterable

from cloud.plan_fleet import MONTH_H, MONTH_S, ON_DEMAND, Fleet, Line
from cloud.plan_prices import Prices
from cloud.plan_sizes import units
from edge_agent.contract import METERING_UNIT

GB = 1 << 30
PUT_UNIT = 25 * 1024
ITEM_OVERHEAD = 100
"""Bytes stored beside each item (DynamoDB developer guide, "DynamoDB item sizes and formats")."""
VCPU_GB = 1769 / 1024
"""Memory with which a function has one vCPU (Lambda developer guide, "Configure Lambda function memory")."""
PEAK = 1.5
"""What stream and functions must take beside the mean: gateways that come back with a backlog."""
MOST_PARALLEL = 10
"""Concurrent batches of a shard (Lambda API reference, ParallelizationFactor)."""

# The template as shipped; tests/cloud/test_plan.py holds the two together.
INGEST_GB = 512 / 1024
BATCH_RECORDS, BATCH_WINDOW_S = 200, 5
TABLES = 4
ALARMS, METRICS, DASHBOARDS = 18, 27, 1

# Assumed: what an invocation logs (START, END, REPORT and a line of metrics), bytes, and how often each
# caller of a stream or table asks for its data key (Kinesis developer guide, "How do I get started with
# server-side encryption": about every five minutes).
LOG_BYTES = 1_500
KMS_CALLERS, KMS_EVERY_S = 2, 300


def iot_lines(fleet: Fleet, messages: float, size: float, basic_ingest: bool, prices: Prices) -> list[Line]:
    """AWS IoT Core: connections, messages, a rule and its action, in units of 5 KB."""
    minutes, metered = fleet.gateways * MONTH_H * 60.0, messages * units(size, METERING_UNIT)
    if basic_ingest:
        received = Line("IoT messages", 0, "Basic Ingest", 0.0)
    else:
        received = Line("IoT messages", metered, "5 KB units", prices.of("iot_message", metered))
    return [
        Line("IoT connectivity", minutes, "minutes", prices.of("iot_connection", minutes)),
        received,
        Line("IoT rule", metered, "5 KB units", prices.of("iot_rule", metered)),
        Line("IoT action", metered, "5 KB units", prices.of("iot_action", metered)),
    ]


def shards_for(records_s: float, size: float) -> int:
    """Shards for so many records a second: each takes 1,000, or 1 MB (Kinesis quotas)."""
    peak = records_s * PEAK
    return max(math.ceil(peak / 1_000), math.ceil(peak * size / 2**20), 1)


def stream_lines(fleet: Fleet, records: float, size: float, shards: int, prices: Prices) -> list[Line]:
    """Kinesis: what is put a month, and the fee of shards or stream."""
    if fleet.stream == ON_DEMAND:
        into = records * units(size) * 1024 / GB
        usd = prices.of("kinesis_in", into) + prices.of("kinesis_out", records * size / GB)
        fee = Line("Kinesis stream", MONTH_H, "hours", prices.of("kinesis_stream", MONTH_H), fixed=True)
        return [Line("Kinesis records", into, "GB", usd), fee]
    puts, hours = records * units(size, PUT_UNIT), float(shards * MONTH_H)
    fee = Line("Kinesis shards", hours, "hours", prices.of("kinesis_shard", hours), fixed=True)
    return [Line("Kinesis records", puts, "25 KB units", prices.of("kinesis_put", puts)), fee]


def invocations(records: float, shards: int) -> float:
    """Invocations a month of a function on a stream: for each full batch, or window with records."""
    in_window = records / MONTH_S / shards * BATCH_WINDOW_S
    windows = MONTH_S / BATCH_WINDOW_S * shards
    return max(records / BATCH_RECORDS, windows * -math.expm1(-in_window))


def lambda_line(gb_s: float, requests: float, prices: Prices) -> Line:
    """Lambda: duration times memory, and requests."""
    usd = prices.of("lambda_gb_second", gb_s) + prices.of("lambda_request", requests)
    return Line("Lambda", gb_s, "GB s", usd)


def write_line(what: str, amount: float, prices: Prices) -> Line:
    """DynamoDB write request units."""
    return Line(f"DynamoDB {what}", amount, "WRU", prices.of("dynamodb_write", amount))


def read_line(what: str, amount: float, prices: Prices) -> Line:
    """DynamoDB read request units."""
    return Line(f"DynamoDB {what}", amount, "RRU", prices.of("dynamodb_read", amount))


def stored_gb(kept: Iterable[tuple[float, float]]) -> float:
    """GB of (items, bytes of each)."""
    return sum(count * (size + ITEM_OVERHEAD) for count, size in kept) / GB


def storage_lines(gb: float, prices: Prices) -> list[Line]:
    """DynamoDB storage and point-in-time recovery."""
    return [
        Line("DynamoDB storage", gb, "GB", prices.of("dynamodb_storage", gb)),
        Line("DynamoDB recovery", gb, "GB", prices.of("dynamodb_backup", gb)),
    ]


def logs_line(requests: float, more_bytes: float, prices: Prices) -> Line:
    """CloudWatch Logs: what functions log."""
    taken = (requests * LOG_BYTES + more_bytes) / GB
    return Line("CloudWatch logs", taken, "GB", prices.of("logs", taken))


def watch_lines(prices: Prices) -> list[Line]:
    """What a stack costs even when nothing is sent, beside its stream."""
    asked = (TABLES + 1) * KMS_CALLERS * MONTH_S / KMS_EVERY_S
    return [
        Line("CloudWatch alarms", ALARMS, "alarms", prices.of("alarm", ALARMS), fixed=True),
        Line("CloudWatch metrics", METRICS, "metrics", prices.of("metric", METRICS), fixed=True),
        Line("CloudWatch dashboard", DASHBOARDS, "", prices.of("dashboard", DASHBOARDS), fixed=True),
        Line("KMS", asked, "requests", prices.of("kms_request", asked), fixed=True),
    ]
