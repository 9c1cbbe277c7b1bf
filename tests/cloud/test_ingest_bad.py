"""What cannot be believed: set aside with its reason, its neighbours stored; nothing raises for content."""

from __future__ import annotations

import base64
import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud import chunk, keys, latest, poison
from edge_agent.contract import Link, encode, encode_json
from tests.benchmarks.ingest_fleet import PATIENCE, Tables, pipeline_on
from tests.cloud.records import (
    EPOCH,
    NOW,
    batch,
    deflated,
    echo,
    envelope,
    fleet_batch,
    inflated,
    interface,
    record,
    records,
)

if TYPE_CHECKING:
    from tests.cloud.conftest import Cloud


def as_json(**changes: Any) -> bytes:
    """A batch in its JSON form, with other fields."""
    return json.dumps({**json.loads(encode_json(batch())), **changes}).encode()


def reading(**changes: Any) -> dict[str, Any]:
    """A reading in its JSON form, with other fields."""
    return {**json.loads(encode_json(batch()))["readings"][0], **changes}


def with_reading(**changes: Any) -> bytes:
    return as_json(readings=[reading(**changes)])


POISON = [
    b"",
    b"not json",
    b"[]",
    b"null",
    b"[" * 100_000,
    b'{"b": 1}',
    b'{"b": "AAAA"}',
    b'{"b": "!!", "thing": "gw-1", "client": "gw-1", "rx": 1795300000000}',
    b'{"b": "AAAA", "thing": "gw-1", "client": "gw-1", "rx": 1e300}',
    b'{"b": "AAAA", "thing": "gw-1", "client": "gw-1", "rx": true}',
    b'{"b": "AAAA", "thing": "gw-1", "client": "gw-1", "rx": -5}',
    b'{"b": "AAAA", "thing": "gw-1", "rx": 1795300000000}',
    b'{"b": "AAAA", "thing": "gw-1", "rx": 1795300000000, "source": "rule"}',
    b'{"b": "AAAA", "thing": "\\ud800", "client": "x", "rx": 1795300000000}',
    envelope(b""),
    envelope(b"\x01garbage"),
    envelope(b"{}"),
    envelope(b'{"\xff": 1}'),
    envelope(encode(batch())[:-1]),
    envelope(b"x" * 140_000),
    envelope(encode_json(batch()).replace(b'"echo"', b'"smoke"')),
]


@pytest.mark.parametrize("data", POISON, ids=range(len(POISON)))
def test_poison_is_quarantined_with_a_reason_and_its_neighbours_are_stored(cloud: Cloud, data: bytes) -> None:
    event = records(envelope(batch("before")), data, envelope(batch("after")))
    assert cloud.ingest(event) == []
    assert {item["p"]["S"] for item in cloud.items("readings")} == {"before#20261121", "after#20261121"}
    (item,) = cloud.items("quarantine")
    found = poison.parse(item)
    assert found.reason
    assert found.code in ("envelope", "contract")
    assert item["position"]["S"] == "shardId-000000000000 101"
    assert item["p"]["S"].startswith("Q#20261121#")
    assert cloud.counts["Quarantined"] == 1
    assert cloud.counts["Batches"] == 2


def test_a_record_whose_data_are_not_base64_is_quarantined(cloud: Cloud) -> None:
    broken = record(b"", 5)
    broken["kinesis"]["data"] = '{"b": "plain JSON"}'
    assert cloud.ingest([broken]) == []
    assert poison.parse(cloud.items("quarantine")[0]).payload == b'{"b": "plain JSON"}'


def test_a_large_poisonous_payload_is_kept_in_part_and_said_to_be(cloud: Cloud) -> None:
    cloud.ingest(records(envelope(b"y" * 50_000)))
    found = poison.parse(cloud.items("quarantine")[0])
    assert (found.size, len(found.payload), found.truncated) == (50_000, 32_768, True)


def test_the_log_names_a_quarantined_record_and_never_holds_its_payload(cloud: Cloud) -> None:
    cloud.ingest(records(envelope(b'{"secret-marker\xff": "secret-marker"}')))
    line = next(line for line in cloud.said if line.get("event") == "quarantined")
    assert line["rule"] == "contract"
    assert line["sequence"] == "100"
    assert "secret-marker" not in json.dumps(cloud.said)


CONTENT = {
    "another version": (as_json(version=2), "version 2 is not known"),
    "another version, packed": (b"\x02" + encode(batch())[1:], "version 2 is not known"),
    "a number as text": (with_reading(rtt_min_us="7"), "a column is not int"),
    "a fraction": (with_reading(sent=1.5), "a column is not int"),
    "a truth value": (with_reading(sent=True), "a column is not int"),
    "NaN": (with_reading(rtt_min_us=float("nan")), "a column is not int"),
    "infinity": (with_reading(at_ms=float("inf")), "at_ms is not int"),
    "a negative number": (with_reading(sent=-1), "sent -1 is not within 0 to"),
    "a number too large for its column": (with_reading(sent=1 << 16), "sent 65536 is not within 0 to"),
    "a number too large for JSON": (as_json().replace(b"12000", b"9" * 5000), "not a batch"),
    "a name that is not a column": (with_reading(rtt_p51_us=1), "unknown fields"),
    "a link with the separator of keys": (with_reading(link="a#b"), "link 'a#b' is not a valid id"),
    "a gateway with the separator of keys": (as_json(gateway="gw-1#20261121"), "is not a valid name"),
    "no readings": (as_json(readings=[]), "0 readings, not 1 to"),
    "readings that are not a list": (as_json(readings={"0": {}}), "readings is not list"),
    "a body that inflates to a gigabyte's beginning": (
        deflated(bytes(100_000_000)),
        "inflates to more than 65536 B",
    ),
    "more bytes than a message has": (b"{" + b" " * 131_072, "more than 131072"),
    "the largest message, of nothing": (b"{" + b" " * 131_071, "not a batch"),
    "a batch longer than an hour": (
        as_json(readings=[reading(at_ms=NOW - 3_600_001), reading(at_ms=NOW)]),
        "spans more than an hour",
    ),
}


@pytest.mark.parametrize("name", CONTENT)
def test_content_that_breaks_the_contract_is_quarantined_with_what_it_breaks(cloud: Cloud, name: str) -> None:
    payload, reason = CONTENT[name]
    event = records(envelope(batch("before")), envelope(payload), envelope(batch("after")))
    assert cloud.ingest(event) == []
    found = poison.parse(cloud.items("quarantine")[0])
    assert found.code == "contract"
    assert reason in found.reason
    assert found.payload == payload[: poison.KEPT_BYTES]
    assert (cloud.counts["Batches"], cloud.counts["Quarantined"]) == (2, 1)


def test_a_quarantined_record_tells_who_published_it_and_which_way_it_came(cloud: Cloud) -> None:
    cloud.ingest(
        records(envelope(batch("victim"), thing="thief", client="mallory"), envelope(batch(), direct=True))
    )
    found = {each.code: each for each in map(poison.parse, cloud.items("quarantine"))}
    assert (found["identity"].client, found["identity"].direct) == ("mallory", False)
    assert (found["direct"].client, found["direct"].direct) == (None, True)


def test_readings_of_a_link_that_nobody_defined_are_stored_and_shown(cloud: Cloud) -> None:
    cloud.ingest(records(envelope(batch(readings=[echo("never.heard.of")], links=[Link("a.b", peer="far")]))))
    assert len(cloud.items("readings")) == 1
    state = latest.parse(cloud.items("latest")[0])
    assert [each.reading.link for each in state.series] == ["never.heard.of"]
    assert "never.heard.of" not in state.links


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
ENVELOPE_LIKE = st.fixed_dictionaries(
    {},
    optional={
        "b": JSON | st.binary(max_size=40).map(lambda raw: base64.b64encode(raw).decode()),
        "thing": JSON | st.sampled_from(["gw-1", "\ud800", ""]),
        "client": JSON | st.just("gw-1"),
        "rx": JSON | st.just(NOW) | st.integers(0, 10**14),
        "source": JSON | st.just("direct"),
    },
)
PAYLOADS = st.builds(
    lambda at, flip: bytes([*encode(batch())[:at], flip, *encode(batch())[at + 1 :]]),
    st.integers(0, len(encode(batch())) - 1),
    st.integers(0, 255),
)
RECORDS = st.one_of(
    JSON,
    st.binary(max_size=60).map(lambda data: record(data, 1)),
    ENVELOPE_LIKE.map(lambda given: record(json.dumps(given).encode(), 2)),
    PAYLOADS.map(lambda payload: record(envelope(payload), 3)),
    st.builds(
        lambda name, value: {**record(b"", 4), "kinesis": {name: value}},
        st.sampled_from(["data", "sequenceNumber", "approximateArrivalTimestamp"]),
        JSON,
    ),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.lists(RECORDS, max_size=4), place=st.integers(0, 4), number=st.integers(0, 10**9))
def test_whatever_the_records_hold_nothing_is_raised_or_retried_and_good_neighbours_are_stored(
    cloud: Cloud, content: list[Any], place: int, number: int
) -> None:
    good = batch(f"good-{number}")
    event = [*content[:place], record(envelope(good), 9), *content[place:]]
    assert cloud.ingest(event, allow_direct=True) == []
    key = {"p": {"S": f"good-{number}#20261121"}, "s": {"S": f"{good.first_ms:013d}#{EPOCH:016x}#0000000000"}}
    stored = cloud.client.get_item(TableName=cloud.settings.readings_table, Key=key)
    assert bytes(stored["Item"]["b"]["B"]) == encode(good)


SEALED = [
    encode(fleet_batch("gw-1", NOW - 60_000, links=3, rounds=2)),
    encode(batch(readings=[echo(), interface(), echo("a.c")], links=[Link("a.b", peer="far", metered=True)])),
]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A packed batch with other bytes in its body, under a right checksum: what only an attacker makes."""
    body = bytearray(inflated(draw(st.sampled_from(SEALED))))
    for _ in range(draw(st.integers(1, 4))):
        body[draw(st.integers(0, len(body) - 1))] = draw(st.integers(0, 255))
    end = draw(st.sampled_from([None, None, None, len(body) // 2, -1]))
    return deflated(bytes(body[:end]) + draw(st.sampled_from([b"", b"", b"\0"])))


@settings(max_examples=300, deadline=None)
@given(payloads=st.lists(damaged(), min_size=1, max_size=4))
def test_each_record_with_a_right_checksum_is_stored_or_quarantined_once(payloads: list[bytes]) -> None:
    tables, said = Tables(), list[Any]()
    written: dict[str, list[Any]] = {}

    def keep(RequestItems: Any) -> dict[str, Any]:
        for table, puts in RequestItems.items():
            written.setdefault(table, []).extend(put["PutRequest"]["Item"] for put in puts)
        return {"UnprocessedItems": {}}

    tables.batch_write_item = keep  # type: ignore[method-assign]
    pipeline = dataclasses.replace(pipeline_on(tables, workers=1), say=said.append)
    distinct = list(dict.fromkeys(payloads))
    event = records(*(envelope(each, thing="gw-1") for each in distinct), envelope(batch("good")))
    assert pipeline.run(event, PATIENCE, NOW) == {"batchItemFailures": []}
    chunks = [item for item in written["readings"] if keys.is_chunk(item["p"]["S"])]
    kept = [item["b"]["B"] for item in chunks] + [
        item["payload"]["B"] for item in written.get("quarantine", ())
    ]
    assert sorted(kept) == sorted([*distinct, encode(batch("good"))])
    for item in chunks:
        assert chunk.parse(item).first_ms == int(item["s"]["S"][:13])
    assert said[-1]["Batches"] == len(chunks)
