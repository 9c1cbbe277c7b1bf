"""The quarantine: spread over a day, listed whole, shown, and put back so that ingest judges again."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cloud import dump, keys, poison, quarantine_reading, replay, stream
from cloud.poison import Poison, Position, Quarantined
from cloud.stream import Entry
from cloud.target import Target, TargetError
from edge_agent.contract import decode, encode, encode_json
from tests.cloud import aside_cloud
from tests.cloud.aside_cloud import Aside
from tests.cloud.records import NOW, batch, envelope, records

DAY = "2026-11-21"


@pytest.fixture(scope="module")
def deployed(session: None) -> Target:
    return aside_cloud.create()


@pytest.fixture
def aside(deployed: Target, capsys: pytest.CaptureFixture[str]) -> Iterator[Aside]:
    yield from aside_cloud.opened(deployed, capsys)


def listed(aside: Aside) -> list[dict[str, Any]]:
    return list(aside.json("quarantine", "list", "--day", DAY))


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


# --- put back -------------------------------------------------------------------------------------


def test_a_repaired_record_is_stored_and_its_item_says_so(aside: Aside, tmp_path: Path) -> None:
    broken = encode_json(batch()).replace(b'"echo"', b'"smoke"')
    aside.cloud.ingest(records(envelope(broken)))
    (found,) = listed(aside)
    saved = tmp_path / "broken"
    aside.run("quarantine", "show", found["id"], "--save", str(saved))
    saved.write_bytes(saved.read_bytes().replace(b'"smoke"', b'"echo"'))
    assert aside.run("quarantine", "replay", found["id"], "--file", str(saved))[0] == 0
    assert aside.ingest() == 1
    (item,) = aside.cloud.items("readings")
    assert decode(bytes(item["b"]["B"])) == batch()
    assert listed(aside)[0]["replayed"]


def test_putting_back_twice_has_no_further_effect(aside: Aside, tmp_path: Path) -> None:
    repaired = tmp_path / "repaired"
    repaired.write_bytes(encode(batch()))
    aside.cloud.ingest(records(envelope(b"broken")))
    (found,) = listed(aside)
    command = ("quarantine", "replay", found["id"], "--file", str(repaired))
    assert [each["outcome"] for each in aside.json(*command)] == ["put back"]
    assert aside.ingest() == 1
    before = aside.cloud.everything()
    assert [each["outcome"] for each in aside.json(*command)] == ["was put back before"]
    assert aside.ingest() == 0
    aside.run(*command, "--again")
    assert aside.ingest() == 1
    stored = aside.cloud.items("readings")
    assert len(stored) == 1
    assert repr(stored[0]) in before


def test_a_retry_of_the_stream_after_the_replay_leaves_the_record_replayed(
    aside: Aside, tmp_path: Path
) -> None:
    repaired = tmp_path / "repaired"
    repaired.write_bytes(encode(batch()))
    event = records(envelope(b"broken"))
    aside.cloud.ingest(event)
    (found,) = listed(aside)
    aside.run("quarantine", "replay", found["id"], "--file", str(repaired))
    aside.cloud.ingest(event)
    assert listed(aside)[0]["replayed"]


def test_what_would_be_set_aside_again_is_not_put_back_unless_forced(aside: Aside) -> None:
    aside.cloud.ingest(records(envelope(b"broken")))
    (found,) = listed(aside)
    code, out, _ = aside.run("quarantine", "replay", found["id"])
    assert code == 1
    assert "would be set aside again" in out
    assert aside.ingest() == 0
    assert aside.run("quarantine", "replay", found["id"], "--force")[0] == 0
    assert aside.ingest() == 1
    assert len(listed(aside)) == 2


def test_all_records_of_a_rule_are_put_back_as_they_are_and_a_dry_run_does_nothing(aside: Aside) -> None:
    # As if an older version had not understood them.
    table = aside.cloud.settings.quarantine_table
    for number in range(3):
        sealed = encode(batch(sequence=number))
        made = Poison(Position("s", str(number), NOW), "contract", "newer", "gw-1", NOW, sealed, "gw-1")
        aside.cloud.client.put_item(TableName=table, Item=poison.pack(made, 30))
    aside.cloud.ingest(records(b"not json"))
    command = ("quarantine", "replay", "--all", "--day", DAY, "--rule", "contract")
    assert {each["outcome"] for each in aside.json(*command, "--dry-run")} == {"would be put back"}
    assert aside.ingest() == 0
    assert aside.run(*command)[0] == 0
    assert aside.ingest() == 3
    assert len(aside.cloud.items("readings")) == 3


def test_a_record_of_one_who_posed_as_another_is_rejected_again(aside: Aside) -> None:
    def kept(client: str | None, direct: bool = False) -> Quarantined:
        sealed = encode(batch("gw-1"))
        made = Poison(Position("s", "1", NOW), "identity", "why", "gw-1", NOW, sealed, client, direct)
        return poison.parse(poison.pack(made, 30))

    assert replay.verdict(replay.entry(kept("gw-2")), False, NOW).startswith("identity")
    assert replay.verdict(replay.entry(kept(None, direct=True)), False, NOW).startswith("direct")
    assert replay.verdict(replay.entry(kept(None, direct=True)), True, NOW) == ""
    with pytest.raises(replay.ReplayError, match="did not note how it came"):
        replay.entry(kept(None))


def test_the_envelope_of_a_replay_holds_the_first_reception_time() -> None:
    made = Poison(Position("s", "1", NOW), "contract", "why", "gw-1", NOW - 5, b"x", "gw-1")
    put_back = replay.entry(poison.parse(poison.pack(made, 30)))
    assert json.loads(put_back.data) == {
        "b": base64.b64encode(b"x").decode(),
        "thing": "gw-1",
        "client": "gw-1",
        "rx": NOW - 5,
    }
    assert put_back.partition_key == "gw-1"


def test_a_cut_record_is_put_back_only_with_its_whole_content(aside: Aside, tmp_path: Path) -> None:
    aside.cloud.ingest(records(envelope(b"y" * 50_000)))
    (found,) = listed(aside)
    code, out, _ = aside.run("quarantine", "replay", found["id"], "--force")
    assert code == 1
    assert "only 32,768 of its 50,000 B are kept" in out
    assert aside.ingest() == 0


@pytest.mark.parametrize(
    "args", [(), ("x", "--all"), ("x", "--rule", "contract"), ("--all", "--file", "/nowhere")]
)
def test_a_replay_of_nothing_clear_is_a_wrong_command_line(aside: Aside, args: tuple[str, ...]) -> None:
    assert aside.run("quarantine", "replay", *args)[0] == 2


# --- the stream -----------------------------------------------------------------------------------


class Kinesis:
    """Takes every third record of a call, the others when they are put again."""

    def __init__(self, fails_for_ever: bool = False) -> None:
        self.taken: list[bytes] = []
        self.fails_for_ever = fails_for_ever

    def put_records(self, StreamName: str, Records: list[dict[str, Any]]) -> dict[str, Any]:
        answers = []
        for number, each in enumerate(Records):
            if self.fails_for_ever or number % 3:
                answers.append({"ErrorCode": "ProvisionedThroughputExceededException"})
            else:
                self.taken.append(each["Data"])
                answers.append({"SequenceNumber": "1"})
        return {"Records": answers}


def test_a_single_record_failure_does_not_stop_the_others_and_is_put_again() -> None:
    kinesis = Kinesis()
    target = Target("x", _made={"kinesis": kinesis, "outputs": {"StreamName": "s"}})
    sent = [Entry("gw", str(number).encode()) for number in range(20)]
    stream.put(target, sent, lambda seconds: None, lambda: 1.0)
    assert sorted(kinesis.taken) == sorted(each.data for each in sent)


def test_a_stream_that_takes_nothing_is_an_error_after_some_tries() -> None:
    target = Target("x", _made={"kinesis": Kinesis(True), "outputs": {"StreamName": "s"}})
    slept: list[float] = []
    with pytest.raises(TargetError, match="does not take 2 records: ProvisionedThroughput"):
        stream.put(target, [Entry("gw", b"1"), Entry("gw", b"2")], slept.append, lambda: 1.0)
    assert len(slept) == stream.TRIES - 1
    assert slept == sorted(slept)


def test_no_call_is_larger_than_put_records_takes() -> None:
    entries = [Entry("gw", b"x" * 700_000)] * 10 + [Entry("gw", b"y")] * 1_200
    made = list(stream.batches(entries))
    assert [each for batch in made for each in batch] == entries
    assert all(len(each) <= 500 and sum(one.size for one in each) <= 5 << 20 for each in made)
