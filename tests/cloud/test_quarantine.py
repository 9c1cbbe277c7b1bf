"""The quarantine: spread over a day, listed whole and shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from cloud import dump, keys, poison, quarantine_reading
from cloud.poison import Poison, Position
from cloud.target import Target, TargetError
from edge_agent.contract import encode
from tests.cloud import aside_cloud
from tests.cloud.aside_cloud import DAY, Aside, listed
from tests.cloud.records import NOW, batch, envelope, records


@pytest.fixture(scope="module")
def deployed(session: None) -> Target:
    return aside_cloud.create()


@pytest.fixture
def aside(deployed: Target, capsys: pytest.CaptureFixture[str]) -> Iterator[Aside]:
    yield from aside_cloud.opened(deployed, capsys)


# --- spread and listed ----------------------------------------------------------------------------


def test_a_flood_of_bad_records_of_one_day_spreads_over_all_its_partitions() -> None:
    places = [keys.quarantine_place(NOW, "shardId-000000000000", str(number)) for number in range(4_000)]
    counted = Counter(partition for partition, _ in places)
    assert len(counted) == keys.QUARANTINE_SHARDS
    assert max(counted.values()) < 2 * 4_000 / keys.QUARANTINE_SHARDS
    assert set(counted) <= set(keys.quarantine_partitions(NOW))


def test_a_retry_of_the_stream_writes_a_quarantined_record_over_itself(aside: Aside) -> None:
    event = records(*(f"bad {number}".encode() for number in range(40)))
    aside.cloud.ingest(event)
    before = aside.cloud.items("quarantine")
    aside.cloud.ingest(event[3:])
    assert sorted(before, key=repr) == sorted(aside.cloud.items("quarantine"), key=repr)
    assert len(before) == 40


def test_the_newest_records_of_all_partitions_are_listed_in_order(aside: Aside) -> None:
    aside.cloud.ingest(records(*(envelope(b"bad", rx=NOW + number) for number in range(60))))
    found = aside.json("quarantine", "list", "--day", DAY, "--limit", "25")
    assert [each["at_ms"] for each in found] == [NOW + 59 - number for number in range(25)]
    assert quarantine_reading.counts(aside.target, NOW) == Counter({"gw-1": 60})


def test_records_quarantined_before_partitions_were_spread_are_still_listed_and_found(aside: Aside) -> None:
    made = poison.pack(Poison(Position("shardId-0", "7", NOW), "contract", "why", "gw-1", NOW, b"x"), 30)
    made["p"] = {"S": keys.quarantine_partition(NOW)}
    aside.cloud.client.put_item(TableName=aside.cloud.settings.quarantine_table, Item=made)
    (found,) = listed(aside)
    assert aside.json("quarantine", "show", found["id"])["sequence"] == "7"


def test_one_unreadable_item_stops_no_listing_and_is_told(aside: Aside) -> None:
    aside.cloud.ingest(records(b"bad"))
    broken = {"p": {"S": keys.quarantine_shard(NOW, 3)}, "s": {"S": "nonsense"}, "size": {"N": "1"}}
    aside.cloud.client.put_item(TableName=aside.cloud.settings.quarantine_table, Item=broken)
    code, out, err = aside.run("quarantine", "list", "--day", DAY)
    assert "not JSON" in out
    assert (code, "1 quarantined records could not be read" in err) == (1, True)


# --- shown ----------------------------------------------------------------------------------------


def test_a_record_is_shown_with_reason_position_and_a_hexadecimal_dump(aside: Aside) -> None:
    aside.cloud.ingest(records(envelope(b"\x01garbage\xff")))
    (found,) = listed(aside)
    code, out, _ = aside.run("quarantine", "show", found["id"])
    assert code == 0
    assert "shardId-000000000000 100" in out
    assert "contract" in out
    assert "00000000  01 67 61 72 62 61 67 65  ff" in out
    assert "|.garbage.|" in out


def test_a_payload_that_can_be_decoded_is_shown_as_json(aside: Aside) -> None:
    aside.cloud.ingest(records(envelope(batch("victim"), thing="thief")))
    (found,) = listed(aside)
    _, out, _ = aside.run("quarantine", "show", found["id"])
    assert '"gateway": "victim"' in out
    assert '"victim"' not in aside.run("quarantine", "show", found["id"], "--hex")[1].replace("'victim'", "")


def test_an_unknown_or_senseless_id_is_one_line(aside: Aside) -> None:
    for name in ("20261121-00000000", "nonsense", "a#b#c", "9" * 30 + "#s#1", ""):
        code, out, err = aside.run("quarantine", "show", name)
        assert (code, out) == (1, "")
        assert err.startswith("linkview: no quarantined record")
        assert len(err.splitlines()) == 1


def test_two_records_of_one_short_name_are_told_apart_by_their_full_one(aside: Aside) -> None:
    target, table = aside.target, aside.cloud.settings.quarantine_table
    first = poison.pack(Poison(Position("s", "1", NOW), "contract", "why", "gw-1", NOW, b"x"), 30)
    # The same item in the partition of before: two items with one name.
    second = {**first, "p": {"S": keys.quarantine_partition(NOW)}}
    for item in (first, second):
        aside.cloud.client.put_item(TableName=table, Item=item)
    with pytest.raises(TargetError, match="name one in full"):
        quarantine_reading.one(target, poison.parse(first).id)


@pytest.mark.parametrize("payload", [b"", b"\xff" * 33, b"{" * 5_000, b"[1, 2", encode(batch())[:-1]])
def test_any_bytes_can_be_dumped(payload: bytes) -> None:
    assert dump.as_json(payload) is None
    assert len(list(dump.hexadecimal(payload))) == -(-len(payload) // 16)
