"""Gaps in the table: kept by the rollup pass and by a scan alike, asked for at most once an hour, shown."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from cloud import gaps_item, gaps_reading, gaps_scan, keys, resend, rollup
from cloud.dynamo import TransientError
from cloud.gaps_item import GapsError, Stored
from cloud.gaps_state import Gaps, observe
from cloud.gaps_store import GapStore
from cloud.gaps_watch import COUNTS, GapWatch
from cloud.resend import Policy, PublishError
from cloud.rollup_store import RollupStore
from cloud.target import Connection, Target, TargetError
from edge_agent.contract import Batch, Loss
from edge_agent.uplink.resends import parse_command
from infrastructure.local.iot.data_plane import DataPlane
from tests.cloud import aside_cloud
from tests.cloud.aside_cloud import Aside
from tests.cloud.conftest import Cloud, Faulty, patience
from tests.cloud.records import EPOCH, batch, echo
from tests.cloud.rollup_cloud import Rolled, in_memory
from tests.cloud.test_gaps import telling, told

HOUR = 3_600_000
NOON = 1_795_262_400_000 + 12 * HOUR
"""2026-11-21T12:00Z."""


def minute(number: int, gateway: str = "gw-1") -> Batch:
    """Six readings of the ``number``th minute after noon, numbered from noon on."""
    readings = [echo(at_ms=NOON + number * 60_000 + step * 10_000) for step in range(6)]
    return batch(gateway, readings, number * 6)


@pytest.fixture
def cloud() -> Cloud:
    """The tables in memory; what `linkview` shows comes from moto (``aside``)."""
    return in_memory().cloud


class Published:
    """Keeps what is published; may fail."""

    def __init__(self, fails: bool = False) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.fails = fails

    def __call__(self, topic: str, payload: bytes) -> None:
        self.sent.append((topic, payload))
        if self.fails:
            raise PublishError("Throttling")


def store(cloud: Cloud, client: Any = None) -> GapStore:
    return GapStore(client or cloud.client, cloud.settings.readings_table, 31)


def watch(cloud: Cloud, now_ms: int, **changes: Any) -> GapWatch:
    read = RollupStore(cloud.client, cloud.settings.readings_table, cloud.settings.latest_table).batches
    return GapWatch(store(cloud), read, lambda: now_ms, 30, cloud.said.append, **changes)


def ranges(gaps: Gaps) -> list[tuple[int, int]]:
    return [(hole.first, hole.end) for _, hole in gaps.missing()]


def roll(rolled: Rolled, now_ms: int, **changes: Any) -> GapWatch:
    """One pass at a moment, with the observer."""
    observer = watch(rolled.cloud, now_ms, **changes)
    rolled.roll(now_ms, observers=(observer,))
    return observer


def test_the_rollup_pass_finds_a_hole_when_its_hour_has_closed_and_late_data_fill_it(cloud: Cloud) -> None:
    rolled = Rolled(cloud)
    for number in range(60):
        if number not in (20, 21, 40):
            at = NOON + (number + 1) * 60_000
            rolled.deliver([minute(number)], at)
        if number % 5 == 0:
            roll(rolled, NOON + number * 60_000)
    roll(rolled, NOON + HOUR + 900_000)
    assert ranges(store(cloud).get("gw-1").gaps) == [(120, 132), (240, 246)]
    late = NOON + 2 * HOUR
    assert rolled.deliver([minute(20), minute(40)], late).late
    observer = roll(rolled, late + 60_000)
    assert ranges(store(cloud).get("gw-1").gaps) == [(126, 132)]
    assert observer.taken()["GapsUnknown"] == 6
    assert observer.taken()["GapsUnknown"] == 0


def test_a_pass_and_a_scan_find_the_same(cloud: Cloud) -> None:
    rolled = Rolled(cloud)
    for number in range(60):
        if number % 7:
            rolled.deliver([minute(number)], NOON + (number + 1) * 60_000)
    roll(rolled, NOON + 2 * HOUR)
    roll(rolled, NOON + 2 * HOUR)
    by_pass = store(cloud).get("gw-1").gaps
    read = watch(cloud, 0).batches
    cloud.client.delete_item(TableName=cloud.settings.readings_table, Key=gaps_item.key("gw-1"))
    scanned = gaps_scan.scan(store(cloud), read, "gw-1", NOON - 48 * HOUR, NOON + 3 * HOUR)
    assert scanned.gaps == by_pass == store(cloud).get("gw-1").gaps
    assert scanned.batches == 51
    assert len(ranges(by_pass)) == 8


def test_a_repeated_hour_writes_nothing(cloud: Cloud) -> None:
    batches = [minute(0), minute(5)]
    first = watch(cloud, NOON + HOUR)
    first("gw-1", batches, NOON, NOON + HOUR)
    before = cloud.items("readings")
    first("gw-1", list(reversed(batches)), NOON, NOON + HOUR)
    first("gw-1", [], NOON, NOON + HOUR)
    first("gw-1", batches, NOON + 300_000, NOON + 600_000)
    assert cloud.items("readings") == before
    assert store(cloud).get("gw-1").revision == 1


def test_a_change_that_was_overtaken_is_made_again_on_what_the_other_saved(cloud: Cloud) -> None:
    others = iter((minute(100), minute(110)))

    def meanwhile(operation: str, request: dict[str, Any]) -> None:
        if operation == "put_item" and (other := next(others, None)):
            store(cloud).change("gw-1", lambda gaps: observe(gaps, [other]).gaps, NOON)

    raced = store(cloud, Faulty(cloud.client, meanwhile))
    made = raced.change("gw-1", lambda gaps: observe(gaps, [minute(0), minute(2)]).gaps, NOON)
    assert store(cloud).get("gw-1") == Stored(made, 3)
    assert ranges(made) == [(6, 12), (18, 600), (606, 660)]


def test_a_change_that_is_overtaken_for_ever_is_left_to_the_next_pass(cloud: Cloud) -> None:
    numbers = iter(range(100))

    def meanwhile(operation: str, request: dict[str, Any]) -> None:
        if operation == "put_item":
            found = next(numbers)
            store(cloud).change("gw-1", lambda gaps: observe(gaps, [minute(3 * found)]).gaps, NOON)

    with pytest.raises(TransientError):
        store(cloud, Faulty(cloud.client, meanwhile)).change(
            "gw-1", lambda gaps: observe(gaps, [minute(1_000)]).gaps, NOON
        )


def test_unreadable_gaps_stop_neither_the_pass_nor_the_others(cloud: Cloud) -> None:
    broken = {**gaps_item.key("gw-1"), "g": {"B": b"newer"}, "rev": {"N": "4"}}
    cloud.client.put_item(TableName=cloud.settings.readings_table, Item=broken)
    observer = watch(cloud, NOON + HOUR)
    observer("gw-1", [minute(0)], NOON, NOON + HOUR)
    observer("gw-2", [minute(0, "gw-2")], NOON, NOON + HOUR)
    assert observer.counts["GapsUnreadable"] == 1
    assert ranges(store(cloud).get("gw-2").gaps) == []
    with pytest.raises(GapsError):
        store(cloud).get("gw-1")
    assert [line["event"] for line in cloud.said] == ["gaps"]


# --- read -----------------------------------------------------------------------------------------


class Sparing:
    """Answers a BatchGetItem of at most 100 keys with at most 40 items."""

    def __init__(self, known: list[str]) -> None:
        self.items = {
            keys.gaps_partition(name): gaps_item.pack(Stored(Gaps(name), 1), NOON, 31) for name in known
        }

    def batch_get_item(self, RequestItems: Any) -> Any:
        ((table, asked),) = RequestItems.items()
        now, left = asked["Keys"][:40], asked["Keys"][40:]
        assert len(now + left) <= 100
        found = [self.items[key["p"]["S"]] for key in now if key["p"]["S"] in self.items]
        return {"Responses": {table: found}, "UnprocessedKeys": {table: {"Keys": left}} if left else {}}


def test_a_listing_of_more_gateways_than_one_call_takes_or_answers_is_whole() -> None:
    names = [f"gw-{number}" for number in range(130)]
    client: Any = Sparing(names[1:])
    found = gaps_reading.read(client, "readings", names)
    assert [each.gateway for each in found if isinstance(each, Gaps)] == names[1:]


def test_gaps_that_are_never_given_are_an_error_and_no_short_listing() -> None:
    client: Any = Sparing([])
    client.batch_get_item = lambda RequestItems: {
        "Responses": {},
        "UnprocessedKeys": RequestItems,
    }
    with pytest.raises(TransientError, match="1 gaps were not given"):
        list(gaps_reading.read(client, "readings", ["gw-1"]))


# --- the function ---------------------------------------------------------------------------------


def test_the_function_rolls_up_keeps_gaps_asks_for_them_and_sends_the_metrics_of_both() -> None:
    rolled, published, now_ms = in_memory(), Published(), NOON + 2 * HOUR
    rolled.deliver([minute(0), minute(5)], NOON + 400_000)
    settings = replace(rolled.settings, resend_hours=24)
    parts = rollup.make(settings, rolled.cloud.client, lambda: now_ms, rolled.said.append, published)
    parts.run(now_ms, patience())
    first, second = [line for line in rolled.said if "_aws" in line]
    assert first["RollupPeriods"] == 3
    asked = {"GapsMissing": 24, "GapsUnknown": 24, "GapsAsked": 1, "GapsUnreadable": 0, "GapsNotPublished": 0}
    assert {name: second[name] for name in COUNTS} == asked
    assert [topic for topic, _ in published.sent] == ["linkpulse/v1/gw-1/resend"]


@pytest.mark.parametrize(("hours", "publishes"), [(1, True), (24, False)], ids=["too old", "nobody to tell"])
def test_nothing_is_asked_for_that_is_too_old_or_where_it_is_switched_off(
    hours: int, publishes: bool
) -> None:
    rolled, published, now_ms = in_memory(), Published(), NOON + 2 * HOUR
    rolled.deliver([minute(0), minute(5)], NOON + 400_000)
    settings = replace(rolled.settings, resend_hours=hours)
    publish = published if publishes else None
    parts = rollup.make(settings, rolled.cloud.client, lambda: now_ms, rolled.said.append, publish)
    parts.run(now_ms, patience())
    assert rolled.said[-1]["GapsUnknown"] == 24
    assert published.sent == []


# --- asked for ------------------------------------------------------------------------------------


def test_the_pass_asks_for_a_hole_once_an_hour_in_the_words_that_the_agent_understands(cloud: Cloud) -> None:
    rolled, published = Rolled(cloud), Published()
    rolled.deliver([minute(0), minute(5)], NOON + 400_000)
    for at in (NOON + HOUR + 900_000, NOON + HOUR + 1_200_000):
        roll(rolled, at, policy=Policy(24 * HOUR), publish=published)
    ((topic, payload),) = published.sent
    assert topic == "linkpulse/v1/gw-1/resend"
    wanted = parse_command(payload)
    assert (wanted.epoch, wanted.first, wanted.last) == (EPOCH, 6, 29)
    again = watch(cloud, NOON + 3 * HOUR, policy=Policy(24 * HOUR), publish=published)
    again("gw-1", [minute(5)], NOON, NOON + HOUR)
    assert len(published.sent) == 2


def test_a_request_that_could_not_be_published_is_counted_and_stops_no_pass(cloud: Cloud) -> None:
    observer = watch(cloud, NOON + 2 * HOUR, policy=Policy(24 * HOUR), publish=Published(fails=True))
    observer("gw-1", [minute(0), minute(5)], NOON, NOON + HOUR)
    assert observer.counts["GapsNotPublished"] == 1
    assert ranges(store(cloud).get("gw-1").gaps) == [(6, 30)]


def test_a_fault_of_the_whole_fleet_is_no_flood_of_requests(cloud: Cloud, monkeypatch: Any) -> None:
    monkeypatch.setattr("cloud.gaps_watch.MOST_IN_PASS", 3)
    published = Published()
    observer = watch(cloud, NOON + 2 * HOUR, policy=Policy(24 * HOUR), publish=published)
    for number in range(6):
        name = f"gw-{number}"
        observer(name, [minute(0, name), minute(5, name)], NOON, NOON + HOUR)
    assert len(published.sent) == 3


def test_of_two_who_ask_at_once_one_does(cloud: Cloud) -> None:
    store(cloud).change("gw-1", lambda gaps: observe(gaps, [minute(0), minute(5)]).gaps, NOON)
    policy, published = Policy(24 * HOUR), Published()
    inner = iter(range(1))

    def choose(gaps: Gaps) -> Any:
        return policy.due(gaps, NOON + 2 * HOUR)

    def meanwhile(operation: str, request: dict[str, Any]) -> None:
        if operation == "put_item" and next(inner, None) is not None:
            resend.ask_gateway(store(cloud), published, "gw-1", choose, NOON + 2 * HOUR)

    raced = store(cloud, Faulty(cloud.client, meanwhile))
    assert resend.ask_gateway(raced, published, "gw-1", choose, NOON + 2 * HOUR) == []
    assert len(published.sent) == 1


# --- shown ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def deployed(session: None) -> Target:
    return aside_cloud.create()


@pytest.fixture
def aside(deployed: Target, capsys: pytest.CaptureFixture[str]) -> Iterator[Aside]:
    yield from aside_cloud.opened(deployed, capsys)


def fill(aside: Aside) -> None:
    """Two gateways: one with holes, told and untold, an hour old; one whole."""
    start = time.time_ns() // 1_000_000 - HOUR
    readings = [
        [echo(at_ms=start + 1_000 * number) for number in range(first, first + 6)] for first in (0, 30)
    ]
    batches = [batch("gw-1", readings[0], 0), batch("gw-1", readings[1], 30)]
    batches.append(
        telling(told(10, 5, Loss.DAMAGED, at_ms=start), told(None, 7, Loss.MEMORY, at_ms=start), first=36)
    )
    rolled = Rolled(aside.cloud)
    rolled.store([*batches, batch("gw-2", readings[0], 0)], start + 60_000)


def test_a_scan_shows_what_is_missing_with_reasons_for_people_and_machines(aside: Aside) -> None:
    fill(aside)
    assert "no readings are known to be missing" in aside.run("gaps")[1]
    found = aside.json("gaps", "--scan", "--since", "1d")
    assert [(each["first_sequence"], each["last_sequence"], each["reason"]) for each in found] == [
        (6, 9, "unknown"),
        (10, 14, "damaged"),
        (15, 29, "unknown"),
        (None, None, "memory"),
    ]
    assert {each["epoch"] for each in found} == {f"{EPOCH:016x}", None}
    code, out, _ = aside.run("gaps")
    assert code == 0
    assert "6–9" in out
    assert "never numbered" in out
    assert "31 readings are missing, 19 for an unknown reason: linkview gaps ask" in out
    assert aside.json("gaps", "--gateway", "gw-2") == []


def test_asking_publishes_through_iot_data_and_is_shown_until_it_is_answered(
    aside: Aside, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(aside)
    aside.run("gaps", "--scan", "--since", "1d")
    heard: list[tuple[str, bytes, int]] = []
    plane = DataPlane(lambda topic, payload, qos: heard.append((topic, payload, qos)))
    plane.start()
    monkeypatch.setattr(Target, "iot_data", lambda self: data_client(plane))
    asked = aside.json("gaps", "ask", "--dry-run")
    assert (len(asked), heard) == (2, [])
    assert aside.run("gaps", "ask")[0] == 0
    assert {topic for topic, _, _ in heard} == {"linkpulse/v1/gw-1/resend"}
    assert {qos for _, _, qos in heard} == {1}
    assert sorted((json.loads(each)["first"], json.loads(each)["last"]) for _, each, _ in heard) == [
        (6, 9),
        (15, 29),
    ]
    assert aside.json("gaps", "ask") == []
    assert len(aside.json("gaps", "ask", "--again")) == 2
    start = time.time_ns() // 1_000_000 - HOUR
    answer = batch("gw-1", [echo(at_ms=start + 1_000 * number) for number in range(6, 10)], 6)
    Rolled(aside.cloud).store([answer], start + 120_000)
    found = aside.json("gaps", "--scan", "--since", "1d")
    filled = [(each["first_sequence"], each["filled"]) for each in found if each["asked_ms"]]
    assert filled == [(6, True), (15, False)]
    plane.stop()


def data_client(plane: DataPlane) -> Any:
    config = Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 1})
    return boto3.client("iot-data", endpoint_url=plane.url, config=config, region_name="us-east-1")


def test_one_unreadable_item_of_gaps_is_told_after_the_others_are_listed(aside: Aside) -> None:
    fill(aside)
    aside.run("gaps", "--scan", "--since", "1d")
    broken = {**gaps_item.key("gw-2"), "g": {"B": b"newer"}, "rev": {"N": "4"}}
    aside.cloud.client.put_item(TableName=aside.cloud.settings.readings_table, Item=broken)
    code, out, err = aside.run("gaps")
    assert code == 1
    assert "6–9" in out
    assert "gw-2" in err
    assert len(err.splitlines()) == 1


def test_a_local_cloud_without_iot_data_says_so_and_one_with_it_is_published_to() -> None:
    heard: list[tuple[str, bytes, int]] = []
    plane = DataPlane(lambda topic, payload, qos: heard.append((topic, payload, qos)))
    given = ("http://127.0.0.1:1", "us-east-1", "key", "secret", "stack", "127.0.0.1", 1, "ca")
    with pytest.raises(TargetError, match="cannot publish to gateways"):
        Target("stack", Connection(*given)).iot_data()
    plane.start()
    try:
        client = Target("stack", Connection(*given, plane.url)).iot_data()
        resend.over(client)("linkpulse/v1/gw-1/resend", b"\x00{}")
        assert heard == [("linkpulse/v1/gw-1/resend", b"\x00{}", 1)]
        for topic in ("linkpulse/v1/+/resend", "a/#"):
            with pytest.raises(PublishError, match="InvalidRequestException"):
                resend.over(client)(topic, b"")
    finally:
        plane.stop()


class Endpoints:
    """Makes clients of AWS IoT and of its data plane, and says where they were to speak to."""

    def __init__(self, broken: int = 0) -> None:
        self.made: list[tuple[str, str | None]] = []
        self.published: list[str] = []
        self.broken = broken

    def __call__(self, service: str, endpoint_url: str | None) -> Any:
        self.made.append((service, endpoint_url))
        return self

    def describe_endpoint(self, endpointType: str) -> Any:
        assert endpointType == "iot:Data-ATS"
        self.broken -= 1
        if self.broken >= 0:
            raise ClientError({"Error": {"Code": "ThrottlingException"}}, "DescribeEndpoint")
        return {"endpointAddress": "abc-ats.iot.eu-central-1.amazonaws.com"}

    def publish(self, topic: str, qos: int, payload: bytes) -> None:
        self.published.append(topic)


def test_a_function_publishes_at_its_account_s_endpoint_which_it_asks_for_when_it_needs_it() -> None:
    endpoints = Endpoints(broken=1)
    publish = resend.connect({}, endpoints)
    assert endpoints.made == []
    with pytest.raises(PublishError, match="DescribeEndpoint: ThrottlingException"):
        publish("linkpulse/v1/gw-1/resend", b"{}")
    publish("linkpulse/v1/gw-1/resend", b"{}")
    publish("linkpulse/v1/gw-2/resend", b"{}")
    url = "https://abc-ats.iot.eu-central-1.amazonaws.com"
    assert endpoints.made == [("iot", None), ("iot", None), ("iot-data", url)]
    assert endpoints.published == ["linkpulse/v1/gw-1/resend", "linkpulse/v1/gw-2/resend"]


def test_a_function_publishes_where_its_variable_says() -> None:
    endpoints = Endpoints()
    publish = resend.connect({"AWS_ENDPOINT_URL_IOT_DATA_PLANE": "http://127.0.0.1:1"}, endpoints)
    publish("linkpulse/v1/gw-1/resend", b"{}")
    assert endpoints.made == [("iot-data", "http://127.0.0.1:1")]


def test_a_broker_that_takes_nothing_is_a_failed_publish() -> None:
    def refuse(topic: str, payload: bytes, qos: int) -> None:
        raise OSError("the broker cannot be reached")

    plane = DataPlane(refuse)
    plane.start()
    try:
        with pytest.raises(PublishError, match="Publish: InternalFailureException"):
            resend.over(data_client(plane))("linkpulse/v1/gw-1/resend", b"{}")
    finally:
        plane.stop()


def test_the_partition_of_gaps_is_never_one_of_chunks() -> None:
    for name in ("gw-1", "20261121", "H", "gaps"):
        partition = keys.gaps_partition(name)
        assert not keys.is_chunk(partition)
        assert keys.parse_gaps_partition(partition) == name
    with pytest.raises(ValueError, match="no partition of gaps"):
        keys.parse_gaps_partition("R#gw#5m")
