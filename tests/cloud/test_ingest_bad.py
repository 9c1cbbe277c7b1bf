"""What cannot be believed: set aside with its reason, its neighbours stored; nothing raises for content."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from cloud import latest, poison
from edge_agent.contract import Link, encode, encode_json
from tests.cloud.records import (
    NOW,
    batch,
    deflated,
    echo,
    envelope,
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


def test_poison_that_claims_to_be_of_years_to_come_is_listed_where_it_arrived(cloud: Cloud) -> None:
    cloud.ingest(records(envelope(b"\x01garbage", rx=9_999_999_999_999)))
    (item,) = cloud.items("quarantine")
    assert poison.parse(item).at_ms < NOW + 2 * 86_400_000


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
    cloud.ingest(records(envelope(b"y" * 140_000)))
    found = poison.parse(cloud.items("quarantine")[0])
    assert (found.size, len(found.payload), found.truncated) == (140_000, 131_072, True)


def test_the_log_names_a_quarantined_record_and_never_holds_its_payload(cloud: Cloud) -> None:
    cloud.ingest(records(envelope(b'{"secret-marker\xff": "secret-marker"}')))
    line = next(line for line in cloud.said if line.get("event") == "quarantined")
    assert line["rule"] == "contract"
    assert line["sequence"] == "100"
    assert "secret-marker" not in json.dumps(cloud.said)


CONTENT = {
    "another version": (as_json(version=2), "version 2 is not known"),
    "another version, packed": (b"\x02" + encode(batch())[1:], "version 2 is not known"),
    "text": (b"hello, gateway gw-1 here", "text, but no JSON object"),
    "JSON that is cut short": (as_json()[:-9], "line 1 column 490"),
    "a number as text": (with_reading(rtt_min_us="7"), "reading 0: rtt_min_us is not a whole number"),
    "a fraction": (with_reading(sent=1.5), "reading 0: sent is not a whole number"),
    "a truth value": (with_reading(sent=True), "reading 0: sent is not a whole number"),
    "NaN": (with_reading(rtt_min_us=float("nan")), "reading 0: rtt_min_us is not a whole number"),
    "infinity": (with_reading(at_ms=float("inf")), "at_ms is not a whole number"),
    "a negative number": (with_reading(sent=-1), "sent -1 is not within 0 to"),
    "a number too large for its column": (with_reading(sent=1 << 16), "sent 65536 is not within 0 to"),
    "a number too large for JSON": (
        as_json().replace(b"12000", b"9" * 5000),
        "not JSON: a number is too long",
    ),
    "a name that is not a column": (with_reading(rtt_p51_us=1), "unknown fields"),
    "a link with the separator of keys": (with_reading(link="a#b"), "link 'a#b' is not a valid id"),
    "a gateway with the separator of keys": (as_json(gateway="gw-1#20261121"), "is not a valid name"),
    "no readings": (as_json(readings=[]), "0 readings, not 1 to"),
    "readings that are not a list": (as_json(readings={"0": {}}), "readings is not a list"),
    "a body that inflates to a gigabyte's beginning": (
        deflated(bytes(100_000_000)),
        "inflates to more than 65536 B",
    ),
    "more bytes than a message has": (b"{" + b" " * 131_072, "more than 131072"),
    "the largest message, of nothing": (b"{" + b" " * 131_071, "not JSON: "),
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
