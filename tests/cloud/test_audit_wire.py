"""The audit's own decoder reads what the contract writes, and refuses what is damaged."""

from __future__ import annotations

import json
import zlib
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud import audit_kinds, audit_wire
from edge_agent.contract import KINDS, Batch, Flag, Link, Outcome, Reading, encode, encode_json

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,12}", fullmatch=True)
TEXTS = st.text(max_size=20)
START_MS = 1_790_000_000_000


@st.composite
def readings(draw: st.DrawFn) -> Reading:
    kind = KINDS[draw(st.sampled_from(sorted(KINDS)))]
    values = tuple(draw(st.none() | st.integers(0, column.maximum)) for column in kind.columns)
    at_ms = START_MS + draw(st.integers(0, 3_600_000))
    flags = Flag(draw(st.integers(0, (1 << len(Flag)) - 1)))
    return Reading(draw(NAMES), kind.name, at_ms, values, flags, draw(st.sampled_from(Outcome)))


links = st.builds(Link, NAMES, TEXTS, TEXTS, TEXTS, TEXTS, TEXTS, TEXTS, st.booleans())
batches = st.builds(
    Batch,
    NAMES,
    st.integers(0, (1 << 63) - 1),
    st.integers(0, (1 << 63) - 1),
    st.integers(0, (1 << 63) - 1),
    st.lists(readings(), min_size=1, max_size=12).map(tuple),
    st.lists(links, max_size=3, unique_by=lambda link: link.id).map(tuple),
)


def expected(batch: Batch) -> audit_wire.StoredBatch:
    stored = tuple(
        audit_wire.StoredReading(
            each.link, each.kind, each.at_ms, (int(each.flags), int(each.outcome), *each.values)
        )
        for each in batch.readings
    )
    return audit_wire.StoredBatch(batch.gateway, batch.epoch, batch.first_sequence, stored)


@given(batches)
def test_it_reads_every_batch_that_the_contract_packs(batch: Batch) -> None:
    assert audit_wire.read(encode(batch)) == expected(batch)
    assert audit_wire.gateway_of(encode(batch)) == batch.gateway


@given(batches)
@settings(max_examples=30)
def test_it_reads_the_json_form_to_the_same(batch: Batch) -> None:
    assert audit_wire.read(encode_json(batch)) == expected(batch)


def test_its_kinds_flags_and_outcomes_are_those_of_the_contract() -> None:
    ours = {
        name: (code, [(field.name, field.width, field.over) for field in fields])
        for code, (name, fields) in audit_kinds.KINDS.items()
    }
    theirs = {}
    for name, kind in KINDS.items():
        position = {column.name: index for index, column in enumerate(kind.columns)}
        columns = [(column.name, column.width, position.get(column.over)) for column in kind.columns]
        theirs[name] = (kind.code, columns)
    assert ours == theirs
    assert [each.name.lower() for each in Outcome] == list(audit_wire.OUTCOMES)
    assert [each.name.lower() for each in Flag if each.value and each.name] == list(audit_wire.FLAGS)
    assert [each.value for each in Flag if each.value] == [1 << bit for bit in range(len(audit_wire.FLAGS))]


WIRE = Path(__file__).parents[1] / "wire"


@pytest.mark.parametrize("packed", sorted(WIRE.glob("v1/*.batch")), ids=lambda path: path.stem)
def test_it_reads_the_golden_batches_as_their_json_twins_say(packed: Path) -> None:
    assert audit_wire.read(packed.read_bytes()) == audit_wire.read(packed.with_suffix(".json").read_bytes())


@pytest.mark.parametrize("path", sorted(WIRE.glob("rejected/*")), ids=lambda path: path.name)
def test_what_the_contract_rejects_it_reads_or_refuses_but_never_fails_over(path: Path) -> None:
    with suppress(audit_wire.WireError):
        audit_wire.read(path.read_bytes())


ONE = Batch("gw", 1, 0, START_MS, (Reading("a", "connect", START_MS, (1, 1, 0, 0, 5, 6, 7, 6)),))


@pytest.mark.parametrize("position", range(len(encode(ONE))))
def test_a_changed_byte_is_never_read_as_another_batch(position: int) -> None:
    payload = bytearray(encode(ONE))
    payload[position] ^= 0x20
    try:
        # Bits after the end of the last deflate block carry nothing.
        assert audit_wire.read(bytes(payload)) == expected(ONE)
        assert position == len(payload) - 1
    except audit_wire.WireError:
        pass


def test_a_column_that_an_older_sender_did_not_have_reads_as_null() -> None:
    body = bytearray(zlib.decompress(encode(ONE)[5:], -15))
    columns = body.index(bytes([2, 8]))
    del body[-4:]
    body[columns + 1] = 7
    deflate = zlib.compressobj(wbits=-15)
    payload = b"\1" + zlib.crc32(body).to_bytes(4, "big") + deflate.compress(body) + deflate.flush()
    assert audit_wire.read(payload).readings[0].content == (0, 0, 1, 1, 0, 0, 5, 6, 7, None)


@pytest.mark.parametrize(
    "payload", [b"", b"{}", b"{", b"[]", b"\1\0\0\0\0", b"\2" + encode(ONE)[1:], b'{"gateway":1}']
)
def test_anything_else_is_refused_with_its_one_error(payload: bytes) -> None:
    with pytest.raises(audit_wire.WireError):
        audit_wire.read(payload)


@pytest.mark.parametrize("change", [{"at_ms": 1 << 63}, {"at_ms": -1}, {"link": "\ud800"}])
def test_json_with_what_no_table_can_hold_is_refused(change: dict[str, object]) -> None:
    form = json.loads(encode_json(ONE))
    form["readings"][0] |= change
    with pytest.raises(audit_wire.WireError):
        audit_wire.read(json.dumps(form).encode())


def test_a_body_longer_than_the_limit_is_refused_before_it_is_inflated_whole() -> None:
    deflate = zlib.compressobj(wbits=-15)
    bomb = b"\1\0\0\0\0" + deflate.compress(bytes(50_000_000)) + deflate.flush()
    with pytest.raises(audit_wire.WireError, match="does not end"):
        audit_wire.read(bomb)


def test_content_of_a_reading_that_names_an_unknown_flag_is_an_error() -> None:
    with pytest.raises(audit_wire.WireError, match="unknown flag 'wet'"):
        audit_wire.content_of({"kind": "echo", "flags": ["wet"]})


def test_replacing_a_reading_changes_what_is_read() -> None:
    other = replace(ONE, readings=(replace(ONE.readings[0], outcome=Outcome.FAILED),))
    assert audit_wire.read(encode(other)) != audit_wire.read(encode(ONE))
