"""Bulk transfers: messages, the kernel's counters, and settings."""

from __future__ import annotations

import socket
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.probes.bulk import reading
from edge_agent.probes.bulk_packet import (
    BulkError,
    encode_offer,
    encode_request,
    encode_result,
    parse_offer,
    parse_request,
    parse_result,
)
from edge_agent.probes.bulk_settings import BulkSettings
from edge_agent.probes.bulk_transfer import Watch
from edge_agent.probes.tcp_info import TcpInfo, parse_tcp_info
from tests.edge_agent.bulk_rig import KEY, NONCE
from tests.edge_agent.columns import named

KEYS = pytest.mark.parametrize("key", [None, KEY])


def test_what_retransmissions_cost_is_counted_and_foreseen() -> None:
    info = TcpInfo(1_000, 20_000, 3, 19_000, 40_000, 50_000, 80)
    watch = Watch(socket.AF_INET, info, 25_000, 47_000)
    assert watch.spent_bytes == 50_000 + 80 * 52
    assert watch.will_spend(0) == 50_000 + 2 * 50 * 52 + 1_000
    got = named(reading(watch, (40_000, 32_000_000)))
    assert (got["goodput_kbps"], got["duration_us"], got["retransmitted"]) == (10_000, 32_000, 3)
    assert (got["rtt_min_us"], got["rtt_max_us"]) == (19_000, 25_000)


def test_nothing_delivered_is_null_not_zero() -> None:
    got = named(reading(Watch(socket.AF_INET), (0, 0)))
    assert got["goodput_kbps"] is got["duration_us"] is got["retransmitted"] is got["rtt_min_us"] is None


def test_the_kernels_structure_is_read_as_far_as_it_goes() -> None:
    raw = bytearray(232)
    for form, at, value in (
        ("=I", 16, 1_448),
        ("=I", 68, 20_000),
        ("=I", 100, 2),
        ("=Q", 120, 9),
        ("=I", 136, 5),
    ):
        struct.pack_into(form, raw, at, value)
    struct.pack_into("=I", raw, 140, 6)
    struct.pack_into("=I", raw, 148, 19_000)
    struct.pack_into("=Q", raw, 200, 10)
    assert parse_tcp_info(bytes(raw)) == TcpInfo(1_448, 20_000, 2, 19_000, 9, 10, 11)
    assert parse_tcp_info(bytes(raw[:104])) == TcpInfo(1_448, 20_000, 2, None, None, None, None)
    assert parse_tcp_info(bytes(raw[:103])) is None


@KEYS
def test_messages_come_back_as_they_were(key: bytes | None) -> None:
    assert parse_offer(encode_offer(NONCE, 5)) == (NONCE, 5)
    assert parse_request(encode_request(NONCE, 7, key), NONCE, key) == 7
    assert parse_result(encode_result(NONCE, 7, 9, key), NONCE, key) == (7, 9)


def test_a_signature_of_another_connection_is_refused() -> None:
    other = bytes(16)
    with pytest.raises(BulkError):
        parse_request(encode_request(other, 7, KEY), NONCE, KEY)
    with pytest.raises(BulkError):
        parse_result(encode_result(NONCE, 7, 9, None), NONCE, KEY)


@given(st.binary(max_size=60), st.sampled_from([None, KEY]))
def test_parsers_survive_anything(data: bytes, key: bytes | None) -> None:
    for parse in (
        parse_offer,
        lambda each: parse_request(each, NONCE, key),
        lambda each: parse_result(each, NONCE, key),
    ):
        with pytest.raises(BulkError):
            parse(data)
    parse_tcp_info(data)


@pytest.mark.parametrize(("wrong", "name"), [({"port": 0}, "port"), ({"max_bytes": 5}, "max_bytes")])
def test_a_setting_out_of_range_is_named(wrong: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=f"probe.bulk: {name} is"):
        BulkSettings(**wrong)
