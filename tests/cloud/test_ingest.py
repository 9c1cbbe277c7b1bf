"""The ingest pipeline on a table engine: what lands, what is set aside, what is said."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from cloud import chunk, latest, poison
from cloud.latest import Neighbour
from edge_agent.contract import Batch, Link, encode, encode_json
from tests.cloud.records import (
    EPOCH,
    NOW,
    batch,
    denied,
    echo,
    envelope,
    fleet_batch,
    interface,
    records,
)

if TYPE_CHECKING:
    from tests.cloud.conftest import Cloud


# --- what lands -----------------------------------------------------------------------------------


def test_a_batch_is_stored_under_its_own_key_with_the_bytes_as_sealed(cloud: Cloud) -> None:
    sealed = batch(sequence=7)
    assert cloud.ingest(records(envelope(sealed))) == []
    (item,) = cloud.items("readings")
    assert item["p"]["S"] == "gw-1#20261121"
    assert item["s"]["S"] == f"{NOW - 5_000:013d}#{EPOCH:016x}#0000000007"
    assert bytes(item["b"]["B"]) == encode(sealed)
    assert int(item["e"]["N"]) == (NOW - 5_000) // 1000 + 30 * 86_400
    assert "src" not in item
    assert chunk.parse(item) == sealed


def test_readings_of_a_clock_that_was_never_set_expire_as_well(cloud: Cloud) -> None:
    """DynamoDB leaves an item whose time to live is "more than five years in the past"."""
    ancient = batch(readings=[echo(at_ms=1_577_836_800_000)])
    cloud.ingest(records(envelope(ancient)))
    (item,) = cloud.items("readings")
    assert NOW // 1000 - 5 * 365 * 86_400 < int(item["e"]["N"]) < NOW // 1000


def test_the_json_form_is_stored_as_it_came(cloud: Cloud) -> None:
    payload = json.dumps(json.loads(encode_json(batch())), indent=3).encode()
    assert cloud.ingest(records(envelope(payload))) == []
    (item,) = cloud.items("readings")
    assert bytes(item["b"]["B"]) == payload


@pytest.mark.parametrize("seed", range(3))
def test_a_minute_of_ten_links_is_one_write_unit(cloud: Cloud, seed: int) -> None:
    cloud.ingest(records(envelope(fleet_batch("gateway-00017", NOW - 60_000, seed=seed))))
    (item,) = cloud.items("readings")
    size = sum(
        len(name) + (len(value["S"]) if "S" in value else len(bytes(value["B"])) if "B" in value else 8)
        for name, value in item.items()
    )
    assert size <= 1024


def test_a_batch_over_several_stored_batches_of_25_is_stored_whole(cloud: Cloud) -> None:
    sent = [batch(f"gw-{number}") for number in range(60)]
    assert cloud.ingest(records(*map(envelope, sent))) == []
    assert len(cloud.items("readings")) == 60
    assert cloud.counts["Batches"] == cloud.counts["Readings"] == 60


def test_several_workers_store_every_latest_state(cloud: Cloud) -> None:
    sent = [batch(f"gw-{number}") for number in range(30)]
    assert cloud.ingest(records(*map(envelope, sent)), workers=8) == []
    assert len(cloud.items("latest")) == 30


def test_duplicates_and_replays_leave_the_tables_identical(cloud: Cloud) -> None:
    link = Link("a.b", peer="far", medium="radio")
    sent = [
        envelope(batch(readings=[echo(at_ms=NOW - 30_000 + 10_000 * number)], sequence=number, links=[link]))
        for number in range(3)
    ]
    events = records(*sent, b"no envelope")
    cloud.ingest(events)
    before = cloud.everything()
    for replay in (events, events[1:], [*events, *events]):
        assert cloud.ingest(replay) == []
    assert cloud.everything() == before
    assert len(cloud.items("readings")) == 3


def test_a_second_delivery_received_later_changes_no_stored_batch(cloud: Cloud) -> None:
    cloud.ingest(records(envelope(batch(), rx=NOW)))
    before = cloud.items("readings")
    cloud.ingest(records(envelope(batch(), rx=NOW + 77_777), first=500))
    assert cloud.items("readings") == before


def test_other_content_under_the_same_identity_in_one_event_is_set_aside(cloud: Cloud) -> None:
    first, second = batch(readings=[echo(p50=10_000)]), batch(readings=[echo(p50=20_000)])
    assert cloud.ingest(records(envelope(first), envelope(second))) == []
    assert chunk.parse(cloud.items("readings")[0]) == first
    assert [poison.parse(item).code for item in cloud.items("quarantine")] == ["conflict"]


# --- identity and way in --------------------------------------------------------------------------


def test_a_payload_that_claims_another_gateway_is_quarantined_with_its_reason(cloud: Cloud) -> None:
    assert cloud.ingest(records(envelope(batch("victim"), thing="thief"))) == []
    assert cloud.items("readings") == cloud.items("latest") == []
    found = poison.parse(cloud.items("quarantine")[0])
    assert (found.code, found.thing, found.at_ms) == ("identity", "thief", NOW)
    assert "'victim'" in found.reason
    assert "'thief'" in found.reason
    assert found.payload == encode(batch("victim"))
    assert (found.shard, found.sequence) == ("shardId-000000000000", "100")


def test_a_client_that_publishes_to_the_topic_of_another_is_quarantined(cloud: Cloud) -> None:
    cloud.ingest(records(envelope(batch("gw-1"), client="gw-2")))
    assert cloud.items("readings") == []
    assert "'gw-2'" in poison.parse(cloud.items("quarantine")[0]).reason


def test_direct_records_are_stored_as_direct_only_where_allowed(cloud: Cloud) -> None:
    event = records(envelope(batch(), direct=True))
    assert cloud.ingest(event) == []
    assert cloud.items("readings") == []
    assert poison.parse(cloud.items("quarantine")[0]).code == "direct"
    assert cloud.ingest(event, allow_direct=True) == []
    assert cloud.items("readings")[0]["src"] == {"S": "direct"}


def test_a_payload_cannot_pose_as_direct(cloud: Cloud) -> None:
    honest = batch("other")
    payload = json.dumps({**json.loads(encode_json(batch())), "source": "direct", "thing": "other"}).encode()
    cloud.ingest(records(envelope(payload), envelope(honest)), allow_direct=True)
    assert not [item for item in cloud.items("readings") if "src" in item]


# --- times ----------------------------------------------------------------------------------------


def test_a_future_clock_is_stored_counted_and_clamped_in_the_latest_state(cloud: Cloud) -> None:
    ahead = batch(readings=[echo(at_ms=NOW + 86_400_000 * 400)], sequence=1)
    cloud.ingest(records(envelope(ahead)))
    assert chunk.parse(cloud.items("readings")[0]) == ahead
    assert cloud.counts["Future"] == 1
    (latest,) = cloud.items("latest")
    assert latest["ver"]["S"].startswith(f"{NOW:013d}#")
    now = batch(readings=[echo(at_ms=NOW + 30_000)], sequence=2)
    cloud.ingest(records(envelope(now, rx=NOW + 31_000)))
    assert cloud.items("latest")[0]["ver"]["S"].startswith(f"{NOW + 30_000:013d}#")


@pytest.mark.parametrize("at_ms", [0, 1_577_836_799_999, 10_000_000_000_000, (1 << 63) - 1])
def test_an_impossible_time_is_quarantined(cloud: Cloud, at_ms: int) -> None:
    sent = Batch("gw-1", EPOCH, 0, NOW, (echo(at_ms=at_ms),))
    assert cloud.ingest(records(envelope(sent), envelope(batch("good")))) == []
    assert [item["p"]["S"] for item in cloud.items("readings")] == ["good#20261121"]
    assert poison.parse(cloud.items("quarantine")[0]).code == "time"


def test_backlog_is_stored_and_never_replaces_the_latest_state(cloud: Cloud) -> None:
    cloud.ingest(records(envelope(batch(sequence=9))))
    before = cloud.items("latest")
    backlog = batch(readings=[echo(at_ms=NOW - 3_600_000, p50=9_999)], sequence=3)
    cloud.ingest(records(envelope(backlog)))
    assert cloud.items("latest") == before
    assert len(cloud.chunks()) == 2
    cloud.ingest(records(envelope(batch("only-backlog", readings=backlog.readings))))
    assert len(cloud.items("latest")) == 1


# --- the latest state and the metrics -------------------------------------------------------------


def test_the_latest_state_names_peers_from_this_batch_and_from_earlier_ones(cloud: Cloud) -> None:
    links = [Link("a.b", peer="far", medium="radio"), Link("a.c", peer="near")]
    cloud.ingest(records(envelope(batch(links=links[:1], sequence=0))))
    cloud.ingest(records(envelope(batch(links=links[1:], readings=[echo("a.c")], sequence=1))))
    (item,) = cloud.items("latest")
    assert latest.parse(item).links == {"a.b": Neighbour("far", "radio"), "a.c": Neighbour("near", "")}
    later = batch(readings=[echo(at_ms=NOW - 1_000), interface(), denied("a.d")], sequence=2)
    cloud.ingest(records(envelope(later)))
    (item,) = cloud.items("latest")
    state = latest.parse(item)
    assert state.links["a.b"] == Neighbour("far", "radio")
    assert [(each.reading.kind, each.reading.link) for each in state.series] == [
        ("echo", "a.b"),
        ("interface", "a.b"),
        ("echo", "a.c"),
        ("echo", "a.d"),
    ]


def test_the_metrics_line_is_in_the_embedded_metric_format(cloud: Cloud) -> None:
    cloud.ingest(records(envelope(batch()), b"poison"))
    line = json.loads(json.dumps(cloud.counts))
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "Linkpulse"
    assert directive["Dimensions"] == [["Stage"]]
    assert line["Stage"] == "test"
    assert {metric["Name"]: line[metric["Name"]] for metric in directive["Metrics"]} == {
        "Batches": 1,
        "Readings": 1,
        "Quarantined": 1,
        "Retried": 0,
        "Future": 0,
        "Late": 0,
        "BeyondWindow": 0,
        "Changes": 0,
        "ChangesWaiting": 0,
        "ChangesDropped": 0,
        "LatestUnreadable": 0,
        "LatestLeftOut": 0,
    }


def test_an_empty_event_is_fine(cloud: Cloud) -> None:
    assert cloud.ingest([]) == []
    assert cloud.counts["Batches"] == 0
