"""The wire contract: golden files for ever, and refusals.

The files under ``tests/wire`` are append-only (see the README there): a contract that cannot read one
of them, or reads another content from it, is broken, however good the reason for the change.
"""

import hashlib
import json
from dataclasses import replace

import pytest

from edge_agent.contract import (
    KINDS,
    MAX_READINGS,
    MAX_SPAN_MS,
    Batch,
    ContractError,
    Flag,
    Link,
    Outcome,
    Reading,
    decode,
    describe,
    encode,
    not_measured,
)
from edge_agent.contract.json_form import decode_json
from tests.edge_agent.contract_batches import GOLDEN, WIRE, wire

REJECTED = {
    "at-huge.json": "at_ms is not a 63-bit",
    "at-text.json": "at_ms is not a whole number",
    "body-cut.batch": "the body is cut short",
    "bomb.batch": "inflates to more than 65536 B",
    "checksum.batch": "the checksum does not match",
    "column-negative.json": "sent -1 is not within 0 to 65534",
    "column-text.json": "reading 0: rtt_min_us is not a whole number",
    "column-too-large.json": "sent 65535 is not within 0 to 65534",
    "column-true.json": "reading 0: sent is not a whole number",
    "column-unknown.json": "a reading has unknown fields ['rtt_min']",
    "count-huge.batch": "the body is cut short",
    "deep.json": "not JSON: nested too deeply",
    "deflate-cut.batch": "the deflate stream does not end with the payload",
    "digits.json": "not JSON: a number is too long",
    "empty-object.json": "version",
    "empty.batch": "0 B are too few for a batch",
    "envelope-cut.batch": "4 B are too few for a batch",
    "epoch-64-bit.batch": "epoch is not a 63-bit",
    "epoch-huge.json": "epoch is not a 63-bit",
    "epoch-negative.json": "epoch is not a 63-bit",
    "epoch-not-hex.json": "is not hexadecimal",
    "epoch-number.json": "epoch is not a text",
    "field-unknown.json": "the batch has unknown fields ['extra']",
    "flag-unknown.json": "LUCKY",
    "flags-number.json": "reading 0: it or a field of it has the wrong type",
    "flags-unknown.batch": "flags value 255 of 128",
    "gateway-bad-name.batch": "gateway '#w' is not a valid name",
    "gateway-not-utf8.batch": "not a batch: UnicodeDecodeError",
    "gateway-number.json": "gateway is not a text",
    "gateway-topic.json": "gateway 'a/b' is not a valid name",
    "infinity.json": "at_ms is not a whole number",
    "kind-list.json": "kind is not a text",
    "kind-out-of-place.batch": "columns of connect are out of place",
    "kind-unknown.batch": "unknown kind code 99",
    "kind-unknown.json": "unknown kind 'telepathy'",
    "link-bad-name.batch": "link '/' is not a valid id",
    "link-defined-twice.batch": "a link is defined twice",
    "link-defined-twice.json": "a link is defined twice",
    "link-field-unknown.json": "mediun",
    "link-metered-text.json": "link 'a' has a field of the wrong type",
    "link-name-null.json": "link is not a text",
    "link-out-of-range.batch": "link 1 of 1",
    "link-peer-long.json": "is longer than 255 B",
    "link-peer-null.json": "link 'a' has a field of the wrong type",
    "link-peer-surrogate.json": "is not Unicode text",
    "link-without-id.json": "'id'",
    "nan.json": "reading 0: rtt_min_us is not a whole number",
    "no-readings.batch": "0 readings, not 1 to 4096",
    "noise.batch": "version 151 is not known",
    "not-deflate.batch": "not a batch: error",
    "not-json.json": "not JSON: Expecting property name",
    "not-utf8.json": "not JSON: byte ",
    "outcome-number.json": "reading 0: it or a field of it has the wrong type",
    "outcome-unknown.batch": "outcome 200 of 9",
    "outcome-unknown.json": "FINE",
    "reading-number.json": "reading 0: it or a field of it has the wrong type",
    "readings-none.json": "0 readings, not 1 to 4096",
    "readings-null.json": "readings is not a list",
    "readings-object.json": "readings is not a list",
    "sequence-fraction.json": "first_sequence is not a whole number",
    "sequence-negative.json": "first_sequence is not a 63-bit",
    "series-out-of-range.batch": "series 1 of 1",
    "span.batch": "the batch spans more than an hour",
    "time-64-bit.batch": "at_ms is not a 63-bit",
    "too-many-columns.batch": "200 columns for echo",
    "trailing-body.batch": "1 B too many in the body",
    "trailing-payload.batch": "the deflate stream does not end with the payload",
    "version-0.batch": "version 0 is not known",
    "version-2.batch": "version 2 is not known",
    "version-2.json": "version 2 is not known",
    "version-true.json": "version is not a whole number",
}


@pytest.mark.parametrize("payload", [b"", b"\1", b"\1\0\0\0"])
def test_what_is_shorter_than_the_head_of_a_batch_is_said_to_be_too_short(payload: bytes) -> None:
    with pytest.raises(ContractError, match=rf"{len(payload)} B are too few for a batch"):
        decode(payload)


def test_text_is_no_batch_of_a_version_that_is_not_known() -> None:
    for payload in (b"hello, world", b"[1, 2, 3]\n", b"<gateway/>"):
        with pytest.raises(ContractError, match="text, but no JSON object"):
            decode(payload)


def test_json_that_is_no_object_is_no_batch() -> None:
    for payload in (b"[]", b"1", b"null", b'"x"'):
        with pytest.raises(ContractError, match="not a JSON object"):
            decode_json(payload)


# --- golden files ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GOLDEN)
def test_a_golden_batch_and_its_json_decode_to_the_same_content(name: str) -> None:
    assert decode(wire(f"v1/{name}.batch")) == decode(wire(f"v1/{name}.json"))


@pytest.mark.parametrize("name", GOLDEN)
def test_what_a_golden_batch_says_is_what_its_json_file_says_field_by_field(name: str) -> None:
    """Columns and fields appended since may be there too; none that the file has may differ or be gone."""
    said, written = describe(decode(wire(f"v1/{name}.batch"))), json.loads(wire(f"v1/{name}.json"))

    assert {key: said[key] for key in written if key not in ("links", "readings")} == {
        key: value for key, value in written.items() if key not in ("links", "readings")
    }
    for part in ("links", "readings"):
        assert len(said[part]) == len(written[part])
        for new, old in zip(said[part], written[part], strict=True):
            assert new | old == new


def test_golden_files_never_change_and_never_go() -> None:
    lines = (line.split() for line in wire("SHA256SUMS").decode().splitlines())
    listed = {name: checksum for checksum, name in lines}
    there = {f"v1/{path.name}" for path in (WIRE / "v1").iterdir()}

    assert there == set(listed)
    assert there == {f"v1/{name}.{form}" for name in GOLDEN for form in ("batch", "json")}
    assert {name: hashlib.sha256(wire(name)).hexdigest() for name in listed} == listed


def test_golden_files_hold_every_kind_flag_and_outcome_of_the_contract() -> None:
    readings = [reading for name in GOLDEN for reading in decode(wire(f"v1/{name}.batch")).readings]

    assert {reading.kind for reading in readings} == set(KINDS)
    assert {reading.outcome for reading in readings} == set(Outcome)
    assert {flag for reading in readings for flag in reading.flags} == set(Flag)


def test_a_usual_minute_of_ten_links_fits_one_write_unit_beside_its_keys() -> None:
    """60 readings took 982 B in the sizing study; a table item of 1,024 B is one DynamoDB write unit."""
    batch = decode(wire("v1/minute.batch"))

    assert len(batch.readings) == 60
    assert len(encode(batch)) <= 900


# --- refusals -------------------------------------------------------------------------------------


def test_every_rejected_file_is_listed_with_its_reason() -> None:
    assert {path.name for path in (WIRE / "rejected").iterdir()} == set(REJECTED)


@pytest.mark.parametrize(("name", "reason"), REJECTED.items())
def test_a_rejected_payload_raises_contract_error_and_says_why(name: str, reason: str) -> None:
    with pytest.raises(ContractError) as caught:
        decode(wire(f"rejected/{name}"))
    assert reason in str(caught.value)


ONE = Batch("gw", 3, 9, 0, (not_measured("a", "echo", 0, Outcome.DENIED),))


def many(count: int, step_ms: int = 0) -> tuple[Reading, ...]:
    return tuple(not_measured("a", "echo", number * step_ms, Outcome.DENIED) for number in range(count))


@pytest.mark.parametrize(
    ("batch", "reason"),
    [
        (replace(ONE, gateway=""), "is not a valid name"),
        (replace(ONE, gateway="a+b"), "is not a valid name"),
        (replace(ONE, gateway="g" * 64), "is not a valid name"),
        (replace(ONE, epoch=1 << 63), "epoch"),
        (replace(ONE, first_sequence=-1), "first_sequence"),
        (replace(ONE, readings=()), "0 readings"),
        (replace(ONE, readings=many(MAX_READINGS + 1)), "4097 readings"),
        (replace(ONE, readings=many(2, MAX_SPAN_MS + 1)), "more than an hour"),
        (replace(ONE, readings=(replace(ONE.readings[0], link="a b"),)), "link 'a b'"),
        (replace(ONE, readings=(replace(ONE.readings[0], kind="smell"),)), "unknown kind 'smell'"),
        (replace(ONE, readings=(replace(ONE.readings[0], values=(1, 2)),)), "2 values for echo"),
        (replace(ONE, readings=(replace(ONE.readings[0], flags=Flag(128)),)), "flags 0x80"),
        (replace(ONE, links=(Link("a"), Link("a", "b"))), "defined twice"),
        (replace(ONE, links=(Link("a", medium="m" * 256),)), "longer than 255 B"),
        (replace(ONE, links=(Link("a", target="\ud800"),)), "not Unicode text"),
        (replace(ONE, links=tuple(Link(f"a{n}") for n in range(256))), "more than 255 links"),
    ],
)
def test_a_batch_that_breaks_a_limit_is_never_packed(batch: Batch, reason: str) -> None:
    with pytest.raises(ContractError, match=reason):
        encode(batch)


# --- views ----------------------------------------------------------------------------------------


def test_a_reading_gives_its_columns_by_name_and_refuses_another_name() -> None:
    reading = decode(wire("v1/kinds.batch")).readings[0]

    assert (reading["sent"], reading["rtt_p95_us"]) == (20, 1500)
    with pytest.raises(KeyError):
        reading["jitter"]


def test_every_column_says_its_unit_and_what_null_means() -> None:
    for kind in KINDS.values():
        known: set[str] = set()
        for column in kind.columns:
            assert column.unit and column.null and column.width in (1, 2, 4, 8)
            assert column.over in {"", *known}, "a difference needs a column that came before"
            known.add(column.name)
