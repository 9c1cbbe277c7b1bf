"""Quarantined records put back: repaired or as they are, once, and never against the rules unasked."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud import poison, replay
from cloud.decode import MAX_PAYLOAD
from cloud.poison import Poison, Position, Quarantined
from cloud.target import Target
from edge_agent.contract import decode, encode, encode_json
from tests.cloud import aside_cloud
from tests.cloud.aside_cloud import DAY, Aside, listed
from tests.cloud.records import NOW, batch, envelope, records


@pytest.fixture(scope="module")
def deployed(session: None) -> Target:
    return aside_cloud.create()


@pytest.fixture
def aside(deployed: Target, capsys: pytest.CaptureFixture[str]) -> Iterator[Aside]:
    yield from aside_cloud.opened(deployed, capsys)


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


def test_a_record_in_conflict_with_a_stored_batch_replaces_it_only_when_forced(aside: Aside) -> None:
    made = Poison(Position("s", "1", NOW), "conflict", "other", "gw-1", NOW, encode(batch()), "gw-1")
    aside.cloud.client.put_item(TableName=aside.cloud.settings.quarantine_table, Item=poison.pack(made, 30))
    (found,) = listed(aside)
    code, out, _ = aside.run("quarantine", "replay", found["id"])
    assert code == 1
    assert "would replace the batch that is stored" in out
    assert aside.ingest() == 0
    assert aside.run("quarantine", "replay", found["id"], "--force")[0] == 0
    assert aside.ingest() == 1


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
    aside.cloud.ingest(records(envelope(b"y" * 140_000)))
    (found,) = listed(aside)
    code, out, _ = aside.run("quarantine", "replay", found["id"], "--force")
    assert code == 1
    assert "only 131,072 of its 140,000 B are kept" in out
    assert aside.ingest() == 0


def test_the_longest_payload_that_aws_iot_takes_is_kept_whole(aside: Aside) -> None:
    aside.cloud.ingest(records(envelope(b"y" * MAX_PAYLOAD)))
    (found,) = listed(aside)
    assert not found["truncated"]
    assert len(base64.b64decode(found["payload_base64"])) == MAX_PAYLOAD


@pytest.mark.parametrize(
    "args", [(), ("x", "--all"), ("x", "--rule", "contract"), ("--all", "--file", "/nowhere")]
)
def test_a_replay_of_nothing_clear_is_a_wrong_command_line(aside: Aside, args: tuple[str, ...]) -> None:
    assert aside.run("quarantine", "replay", *args)[0] == 2
