"""The wire contract: round trips of generated batches, and bytes that nobody should send."""

import json
import operator
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.contract import Batch, ContractError, decode, describe, encode, encode_json
from tests.edge_agent.contract_batches import GOLDEN, batches, wire

thorough = settings(max_examples=500)
golden_payloads = st.sampled_from([wire(f"v1/{name}.batch") for name in GOLDEN])
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@given(batches())
def test_a_batch_comes_back_from_both_forms_as_it_was(batch: Batch) -> None:
    assert decode(encode(batch)) == batch
    assert decode(encode_json(batch)) == batch


def decoded(payload: bytes) -> Batch | None:
    """The batch, or None when it was refused; any other exception goes through and fails the test."""
    try:
        return decode(payload)
    except ContractError:
        return None


@thorough
@given(st.binary(max_size=300))
def test_arbitrary_bytes_raise_only_contract_error(payload: bytes) -> None:
    for candidate in (payload, b"{" + payload, b"\x01" + payload):
        assert decoded(candidate) is None


@thorough
@given(golden_payloads, st.data())
def test_a_flipped_bit_never_decodes_to_something_else(payload: bytes, data: st.DataObject) -> None:
    """It may leave the content alone: DEFLATE pads its last byte with bits that mean nothing."""
    bit = data.draw(st.integers(0, 8 * len(payload) - 1))
    flipped = bytearray(payload)
    flipped[bit // 8] ^= 1 << bit % 8

    assert decoded(bytes(flipped)) in (None, decode(payload))


@thorough
@given(golden_payloads, st.data())
def test_a_cut_payload_never_decodes(payload: bytes, data: st.DataObject) -> None:
    assert decoded(payload[: data.draw(st.integers(0, len(payload) - 1))]) is None


@thorough
@given(golden_payloads, st.data())
def test_a_body_changed_under_a_right_checksum_is_refused_or_a_valid_batch(
    payload: bytes, data: st.DataObject
) -> None:
    """What a faulty or hostile gateway could send: every limit holds for what comes out."""
    body = bytearray(zlib.decompress(payload[5:], wbits=-15))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    deflate = zlib.compressobj(wbits=-15)
    checksum = zlib.crc32(body).to_bytes(4, "big")
    changed = decoded(b"\x01" + checksum + deflate.compress(bytes(body)) + deflate.flush())

    if changed is not None:
        assert decode(encode(changed)) == changed
        assert decode(encode_json(changed)) == changed


def places(document: Any) -> list[Callable[[Any], None]]:
    """A setter for every place in the document where another JSON value could stand."""
    pairs = document.items() if isinstance(document, dict) else enumerate(document)
    found: list[Callable[[Any], None]] = []
    for key, value in pairs:
        found.append(partial(operator.setitem, document, key))
        if isinstance(value, dict | list):
            found.extend(places(value))
    return found


@thorough
@given(golden_payloads, json_values, st.data())
def test_json_with_any_value_in_any_place_is_refused_or_a_valid_batch(
    payload: bytes, value: Any, data: st.DataObject
) -> None:
    document = describe(decode(payload))
    data.draw(st.sampled_from(places(document)))(value)
    changed = decoded(json.dumps(document).encode())

    if changed is not None:
        assert decode(encode(changed)) == changed
        assert decode(encode_json(changed)) == changed
