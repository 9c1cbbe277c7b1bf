"""`linkview plan`: the bill from real sizes, the naive one beside it, prices that users can replace."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from cloud import __main__ as linkview
from cloud import plan_aws, plan_model, plan_prices, plan_sample, plan_sizes
from cloud.plan import compare
from cloud.plan_fleet import MONTH_S, ON_DEMAND, Fleet
from edge_agent.contract import METERING_UNIT, decode, encode
from tests.cloud.records import NOW, envelope, fleet_batch, records

if TYPE_CHECKING:
    from tests.cloud.conftest import Cloud


TEMPLATE = Path(__file__).parents[2] / "infrastructure" / "template.yaml"
DEFAULT = Fleet(1_000, 10, 10, 60, 30)
PRICES = plan_prices.load()


def plans(fleet: Fleet = DEFAULT) -> Any:
    return compare(fleet, PRICES).plans


def line(plan: Any, name: str) -> Any:
    return next(each for each in plan.lines if each.name == name)


# --- the figures ----------------------------------------------------------------------------------


def test_a_million_readings_of_the_default_fleet_cost_at_most_5_5_cents() -> None:
    ours, naive, extras = plans()
    names = {each.name for each in ours.lines if not each.fixed}
    assert ours.per_million <= 0.055
    assert {"IoT connectivity", "DynamoDB latest state", "DynamoDB rollups", "DynamoDB storage"} <= names
    assert 2 <= naive.per_million < extras.per_million <= 5.5


def test_the_lines_add_up_to_the_bill_and_fees_stand_apart() -> None:
    for plan in plans():
        assert plan.variable_usd + plan.fixed_usd == pytest.approx(sum(each.usd for each in plan.lines))
    fixed = {each.name for each in plans()[0].lines if each.fixed}
    assert {"Kinesis shards", "CloudWatch alarms", "KMS"} <= fixed
    assert not any(name.startswith(("IoT", "DynamoDB", "Lambda")) for name in fixed)


def test_the_naive_design_agrees_with_the_arithmetic_of_its_parts_by_hand() -> None:
    """evidence/cloud.md section 2: messaging 1.000, rule and action .150 each, a write unit .625."""
    _, naive, _ = plans()
    by_hand = {"IoT messages": 1.0, "IoT rule": 0.15, "IoT action": 0.15, "DynamoDB readings": 0.625}
    per_million = {name: line(naive, name).usd / naive.readings * 1e6 for name in by_hand}
    assert per_million == pytest.approx(by_hand)


def test_a_batch_a_minute_of_60_readings_costs_a_rule_an_action_and_a_write_unit_each() -> None:
    ours, _, _ = plans()
    messages = 1_000 * MONTH_S / 60
    assert line(ours, "IoT rule").quantity == pytest.approx(messages)
    assert line(ours, "DynamoDB readings").quantity == pytest.approx(messages)
    assert line(ours, "IoT connectivity").usd == pytest.approx(1_000 * 730 * 60 * 0.08e-6)


def test_smaller_batches_cost_more_and_twice_the_gateways_cost_twice() -> None:
    each = [plans(Fleet(1_000, 10, 10, batch_s, 30))[0].per_million for batch_s in (120, 60, 30, 10)]
    assert each == sorted(each)
    single, double = plans()[0], plans(Fleet(2_000, 10, 10, 60, 30))[0]
    assert double.variable_usd == pytest.approx(2 * single.variable_usd, rel=0.02)


def test_a_longer_retention_changes_storage_alone() -> None:
    short, long = plans()[0], plans(Fleet(1_000, 10, 10, 60, 300))[0]
    changed = {a.name for a, b in zip(short.lines, long.lines, strict=True) if a.usd != b.usd}
    assert changed == {"DynamoDB storage", "DynamoDB recovery"}
    chunk = plan_sizes.measure(10, 10, 60).chunk + plan_aws.ITEM_OVERHEAD
    more = 270 * 1_000 * 1_440 * chunk / plan_aws.GB
    assert more < long.needs.stored_gb - short.needs.stored_gb < 1.2 * more


def test_an_on_demand_stream_is_billed_by_gb_and_hour() -> None:
    ours, _, _ = plans(Fleet(1_000, 10, 10, 60, 30, ON_DEMAND))
    assert line(ours, "Kinesis stream").usd == pytest.approx(29.20)
    # A record of 1.3 KB counts as 2 KB.
    assert line(ours, "Kinesis records").quantity == pytest.approx(1_000 * MONTH_S / 60 * 2048 / 2**30)


# --- capacity -------------------------------------------------------------------------------------


def test_shards_follow_1000_records_or_1_mb_a_second_each() -> None:
    room = plan_aws.PEAK
    assert plan_aws.shards_for(1, 100) == 1
    assert plan_aws.shards_for(10_000 / room, 100) == 10
    assert plan_aws.shards_for(500 / room, 20 * 2**10) == 10


def test_a_large_fleet_needs_more_shards_functions_and_rollup_schedules() -> None:
    small, large = plans()[0].needs, plans(Fleet(1_000_000, 10, 10, 60, 30))[0].needs
    assert (small.shards, small.passes, small.parallelization) == (1, 1, 1)
    assert large.shards >= 25
    assert large.passes > 1
    assert large.concurrency > small.concurrency
    assert 1 <= large.parallelization <= 10


def test_a_full_batch_or_a_window_with_records_is_an_invocation() -> None:
    busy = 1_000 * MONTH_S
    assert plan_aws.invocations(busy, 1) == pytest.approx(busy / 200)
    steady = 10.0 * MONTH_S
    assert plan_aws.invocations(steady, 1) == pytest.approx(MONTH_S / 5, rel=1e-6)
    assert plan_aws.invocations(100, 1) == pytest.approx(100, rel=0.01)


# --- sizes ----------------------------------------------------------------------------------------


def test_the_planned_sizes_are_those_of_what_the_function_stores(cloud: Cloud) -> None:
    sent = fleet_batch("gateway-00001", NOW - 60_000)
    assert cloud.ingest(records(envelope(sent))) == []
    (chunk,), (state,) = cloud.items("readings"), cloud.items("latest")
    sizes = plan_sizes.measure(10, 10, 60)
    payload = sizes.message - len(plan_sample.TOPIC)
    assert sizes.chunk - payload == plan_sizes.item_size(chunk) - len(encode(sent))
    # The fleet's links have longer names and peers, and every state of its ten is there.
    assert plan_sizes.item_size(state) <= sizes.latest <= 2 * plan_sizes.item_size(state)


def test_a_sample_is_what_the_contract_takes_and_iot_meters_once() -> None:
    for links, interval_s in ((10, 10), (200, 1), (500, 0.5), (1, 300)):
        in_message, batches = plan_sample.batches(links, interval_s, 60)
        assert all(decode(encode(each)) == each for each in batches)
        assert all(len(encode(each)) + len(plan_sample.TOPIC) <= METERING_UNIT for each in batches)
        assert in_message <= len(batches[0].readings) < in_message + 1


def test_item_sizes_are_counted_as_dynamodb_documents_them() -> None:
    """ "the sum of the lengths of its attribute names and values"; a number 1 byte per 2 digits and 1 more;
    a list 3 bytes and 1 for each element (developer guide, DynamoDB item sizes and formats)."""
    assert plan_sizes.item_size({"p": {"S": "é"}}) == 3
    assert plan_sizes.item_size({"b": {"B": b"1234"}}) == 5
    assert plan_sizes.item_size({"n": {"N": "1234"}}) == 4
    assert plan_sizes.item_size({"l": {"L": [{"S": "ab"}]}}) == 7


# --- the template ---------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """CloudFormation's short tags as their plain values."""


def _plain(loader: _Loader, _: str, node: Any) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_mapping(node, deep=True)


_Loader.add_multi_constructor("!", _plain)


def test_the_plan_reckons_with_the_template_that_is_deployed() -> None:
    resources = yaml.load(TEMPLATE.read_text(encoding="utf-8"), _Loader)["Resources"]
    of_type = [each["Type"] for each in resources.values()]
    ingest = resources["IngestFunction"]["Properties"]
    mapping = ingest["Events"]["Mapping"]["Properties"]
    assert of_type.count("AWS::DynamoDB::Table") == plan_aws.TABLES
    assert of_type.count("AWS::CloudWatch::Alarm") == plan_aws.ALARMS
    assert of_type.count("AWS::CloudWatch::Dashboard") == plan_aws.DASHBOARDS
    shown = re.findall(r'"Linkpulse", "(\w+)"', resources["Dashboard"]["Properties"]["DashboardBody"])
    assert len(set(shown)) == plan_aws.METRICS, "tests of the runbooks hold the dashboard to the code"
    assert ingest["MemorySize"] / 1024 == plan_aws.INGEST_GB
    assert mapping["BatchSize"] == plan_aws.BATCH_RECORDS
    assert mapping["MaximumBatchingWindowInSeconds"] == plan_aws.BATCH_WINDOW_S
    if rollup := resources.get("RollupFunction"):
        assert rollup["Properties"]["MemorySize"] / 1024 == plan_model.ROLLUP_GB


# --- the command ----------------------------------------------------------------------------------


def test_plan_shows_needs_and_bill_by_line_with_the_naive_design_beside_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["plan", "--gateways", "10,000", "--links", "8", "--interval", "10s"]
    assert linkview.main(arguments) == 0
    out = capsys.readouterr().out
    assert "10,000 gateways of 8 links" in out
    for told in ("Kinesis shards", "Lambda concurrency", "DynamoDB rollups", "fixed fees", "us-east-1"):
        assert told in out
    assert "per million readings, against $2." in out


def test_plan_for_machines_is_the_same_bill(capsys: pytest.CaptureFixture[str]) -> None:
    assert linkview.main(["plan", "--batch", "30s", "--interval", "500ms", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["fleet"]["interval_s"] == 0.5
    assert found["fleet"]["batch_s"] == 30
    ours = found["designs"]["Linkpulse"]
    assert ours["usd_month"] + ours["usd_month_fixed"] == pytest.approx(
        sum(each["usd"] for each in ours["lines"])
    )


def test_a_region_that_the_prices_are_not_of_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert linkview.main(["plan", "--region", "af-south-1"]) == 0
    assert "the prices are those of us-east-1: give af-south-1's with --prices" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["--gateways", "0"],
        ["--gateways", "many"],
        ["--interval", "0s"],
        ["--interval", "ten"],
        ["--batch", "2h"],
        ["--retention", "1"],
        ["--stream", "big"],
    ],
)
def test_a_wrong_option_is_exit_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        linkview.main(["plan", *arguments])
    assert caught.value.code == 2
    assert arguments[0] in capsys.readouterr().err
