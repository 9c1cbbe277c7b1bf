"""Whatever records hold: nothing is raised, each is stored or quarantined once, and good neighbours land."""

from __future__ import annotations

import base64
import dataclasses
import json
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud import chunk, keys
from edge_agent.contract import Link, encode
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


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
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


class Kept(Tables):
    """Keeps what is written in batches, by table."""

    def __init__(self) -> None:
        super().__init__()
        self.written: dict[str, list[Any]] = {}

    def batch_write_item(self, **request: Any) -> dict[str, Any]:
        for table, puts in request["RequestItems"].items():
            self.written.setdefault(table, []).extend(put["PutRequest"]["Item"] for put in puts)
        return super().batch_write_item(**request)


@settings(max_examples=300)
@given(payloads=st.lists(damaged(), min_size=1, max_size=4))
def test_each_record_with_a_right_checksum_is_stored_or_quarantined_once(payloads: list[bytes]) -> None:
    tables, said = Kept(), list[Any]()
    pipeline = dataclasses.replace(pipeline_on(tables, workers=1), say=said.append)
    distinct = list(dict.fromkeys(payloads))
    event = records(*(envelope(each, thing="gw-1") for each in distinct), envelope(batch("good")))
    assert pipeline.run(event, PATIENCE, NOW) == {"batchItemFailures": []}
    chunks = [item for item in tables.written["readings"] if keys.is_chunk(item["p"]["S"])]
    kept = [item["b"]["B"] for item in chunks] + [
        item["payload"]["B"] for item in tables.written.get("quarantine", ())
    ]
    assert sorted(kept) == sorted([*distinct, encode(batch("good"))])
    for item in chunks:
        assert chunk.parse(item).first_ms == int(item["s"]["S"][:13])
    assert said[-1]["Batches"] == len(chunks)
