"""A STAMP session: which reply belongs to which packet, and what is no answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.probes.stamp_packet import ReflectedPacket, encode_reflected
from edge_agent.probes.stamp_session import Session
from tests.edge_agent.stamp_session_rig import KEY, MS, START, Far, columns, exchange, moment, session


def test_a_duplicate_of_either_direction_is_counted_and_is_no_loss() -> None:
    near, far = session(), Far()
    data = near.packet(moment(0))
    first, second = far.reflect(data, 10 * MS), far.reflect(data, 11 * MS)
    for reply in (first, first, second):
        near.received(reply, moment(20 * MS), 62)
    exchange(near, far, 100)
    got = columns(near)
    assert (got["sent"], got["received"], got["duplicate"]) == (2, 2, 2)
    assert (got["lost_out"], got["lost_back"]) == (0, 0)


def test_a_reply_after_its_wait_is_late_and_neither_received_nor_lost() -> None:
    near, far = session(), Far()
    exchange(near, far, 0, out_ms=1_500)
    exchange(near, far, 10)
    got = columns(near)
    assert (got["sent"], got["received"], got["late"]) == (2, 1, 1)
    assert (got["lost_out"], got["lost_back"]) == (0, 0)


def test_a_reply_after_the_report_is_late_in_the_next_one() -> None:
    near, far = session(), Far()
    data = near.packet(moment(0))
    exchange(near, far, 10)
    assert columns(near)["lost_out"] == 1
    near.received(far.reflect(data, 11_000 * MS), moment(11_020 * MS), 62)
    following = session()
    exchange(following, Far(), 12_000)
    got = columns(following, earlier=near.tally)
    assert (got["received"], got["late"]) == (1, 1)


def test_a_packet_whose_wait_has_not_run_out_is_in_flight() -> None:
    near = session()
    near.packet(moment(9_500 * MS))
    got = columns(near)
    assert (got["sent"], got["in_flight"], got["lost_out"]) == (1, 1, None)


def honest(near: Session) -> ReflectedPacket:
    """What answers the session's first packet."""
    return ReflectedPacket(0, 1, 1, near.ssid, 1, 0, near.samples[0].timestamp, 1, 63)


LIES: list[Callable[[ReflectedPacket], ReflectedPacket]] = [
    lambda reply: replace(reply, ssid=78),
    lambda reply: replace(reply, sender_timestamp=5),
    lambda reply: replace(reply, sender_sequence=1),
]


@pytest.mark.parametrize("lie", LIES, ids=["ssid", "sender_timestamp", "sender_sequence"])
def test_a_reply_with_a_forged_or_foreign_field_is_no_answer(
    lie: Callable[[ReflectedPacket], ReflectedPacket],
) -> None:
    near = session()
    near.packet(moment(0))
    near.received(encode_reflected(lie(honest(near)), near.key), moment(MS), 62)
    got = columns(near)
    assert (got["received"], got["foreign"], got["corrupt"]) == (0, 1, 0)


def test_a_reflector_older_than_session_ids_is_understood() -> None:
    near = session()
    near.packet(moment(0))
    near.received(encode_reflected(replace(honest(near), ssid=0), near.key), moment(MS), 62)
    assert columns(near)["received"] == 1


@pytest.mark.parametrize("data", [b"", bytes(1), bytes(43)])
def test_a_truncated_reply_is_corrupt(data: bytes) -> None:
    near = session()
    near.packet(moment(0))
    near.received(data, moment(MS), 62)
    got = columns(near)
    assert (got["received"], got["corrupt"]) == (0, 1)


def test_a_reply_signed_with_another_key_is_corrupt() -> None:
    near, forger = session(KEY), session(b"another key 1234")
    near.packet(moment(0))
    forger.samples = near.samples
    near.received(encode_reflected(honest(forger), forger.key), moment(MS), 62)
    assert columns(near)["corrupt"] == 1


@given(st.binary(max_size=150), st.sampled_from([None, KEY]))
def test_no_bytes_break_a_session(data: bytes, key: bytes | None) -> None:
    near = session(key)
    near.packet(moment(0))
    near.received(data, moment(MS), None)
    near.transmitted(data, START)
    assert columns(near)["received"] == 0


def test_what_a_hostile_reflector_can_make_it_remember_is_bounded() -> None:
    near = session()
    near.packet(moment(0))
    for number in range(1_000):
        near.received(encode_reflected(replace(honest(near), sequence=number), near.key), moment(MS), 62)
    assert len(near._numbers) <= 4
