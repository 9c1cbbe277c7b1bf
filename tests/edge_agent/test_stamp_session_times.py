"""A STAMP session: round trips, one-way delays, clocks that step, and whose stamps count."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge_agent.contract import Flag
from edge_agent.probes.stamp_packet import SenderPacket, encode_sender
from tests.edge_agent.stamp_session_rig import MS, START, Far, columns, exchange, moment, session

STAMPED = Flag.KERNEL_SENT | Flag.KERNEL_RECEIVED


def test_the_reflectors_stay_is_no_part_of_the_round_trip() -> None:
    near, far = session(), Far(stay_ns=500 * MS, ahead_ns=3_600_000 * MS)
    exchange(near, far, 0)
    got = columns(near)
    assert (got["sent"], got["received"], got["rtt_min_us"], got["reply_ttl"]) == (1, 1, 30_000, 62)
    assert got["flags"] == STAMPED


def test_one_way_delays_and_their_error_are_told_when_both_clocks_are_synchronised() -> None:
    near, far = session(error_ns=100_000), Far(error_ns=200_000)
    for turn, out_ms in enumerate((10, 14, 12)):
        exchange(near, far, turn * 100, out_ms, 20)
    got = columns(near)
    assert (got["out_min_us"], got["out_p50_us"], got["out_max_us"]) == (10_000, 12_000, 14_000)
    assert (got["back_min_us"], got["back_p50_us"], got["back_max_us"]) == (20_000,) * 3
    assert got["one_way_error_us"] in (300, 301, 302, 303)
    assert (got["ipdv_out_mean_us"], got["ipdv_back_mean_us"]) == (3_000, 0)


@pytest.mark.parametrize(
    ("ours", "theirs", "ahead_ms"),
    [(None, 1_000, 0), (1_000, None, 0), (1_000, 1_000, 15 - 40), (1_000, 1_000, 25)],
)
def test_one_way_delays_are_null_when_clocks_are_not_synchronised_or_contradict(
    ours: int | None, theirs: int | None, ahead_ms: int
) -> None:
    near, far = session(error_ns=ours), Far(error_ns=theirs, ahead_ns=ahead_ms * MS)
    exchange(near, far, 0)
    exchange(near, far, 100, 13)
    got = columns(near)
    assert got["out_min_us"] is got["back_min_us"] is got["one_way_error_us"] is None
    assert (got["ipdv_out_mean_us"], got["rtt_min_us"]) == (3_000, 30_000), "these need no common clock"


def test_a_clock_that_steps_while_a_packet_is_away_shows_and_spoils_no_round_trip() -> None:
    near, far = session(error_ns=1_000), Far(error_ns=1_000)
    exchange(near, far, 0)
    data = near.packet(moment(100 * MS))
    near.transmitted(data, START + 100 * MS)
    near.received(far.reflect(data, 110 * MS), moment(130 * MS, stepped_ns=60_000 * MS), 62)
    got = columns(near)
    assert (got["rtt_min_us"], got["rtt_max_us"]) == (30_000, 30_000)
    assert got["out_min_us"] is got["ipdv_out_mean_us"] is None
    assert got["flags"] == Flag.CLOCK_STEPPED


def test_a_clock_that_steps_between_two_packets_shows() -> None:
    near, far = session(error_ns=1_000), Far(error_ns=1_000)
    exchange(near, far, 0)
    near.packet(moment(100 * MS, stepped_ns=-5 * MS))
    got = columns(near)
    assert got["ipdv_out_mean_us"] is got["out_min_us"] is None
    assert Flag.CLOCK_STEPPED in Flag(int(got["flags"] or 0))


def test_a_reflectors_clock_that_steps_leaves_the_reply_counted_without_a_time() -> None:
    near, far = session(), Far(stay_ns=-60_000 * MS)
    data = near.packet(moment(0))
    near.received(far.reflect(data, 10 * MS), moment(30 * MS), 62)
    got = columns(near)
    assert (got["received"], got["rtt_min_us"]) == (1, None)
    assert Flag.CLOCK_STEPPED in Flag(int(got["flags"] or 0))


@pytest.mark.parametrize(
    ("whole_us", "stay_us", "round_us"), [(60, 40, 20), (60, 60, 60), (60, 65, 60), (5_000, 5_020, 80)]
)
def test_a_time_of_departure_that_was_foretold_too_late_makes_no_round_trip_of_nothing(
    whole_us: int, stay_us: int, round_us: int
) -> None:
    near, far = session(), Far(stay_ns=stay_us * 1_000)
    data = near.packet(moment(0))
    near.transmitted(data, START)
    near.received(far.reflect(data, 0), moment(whole_us * 1_000), 62)
    assert columns(near)["rtt_min_us"] == round_us


def test_a_packet_that_could_not_be_sent_does_not_use_up_its_number() -> None:
    near, far = session(), Far()
    near.packet(moment(0))
    near.unsent()
    exchange(near, far, 100)
    assert (far.seen[0].sequence, columns(near)["sent"]) == (0, 1)


def test_stamps_of_user_space_are_not_said_to_be_the_kernels() -> None:
    near, far = session(), Far()
    data = near.packet(moment(0))
    reply = far.reflect(data, 10 * MS)
    near.received(reply, replace(moment(30 * MS), kernel_ns=None), 62)
    got = columns(near)
    assert (got["rtt_min_us"], got["flags"]) == (30_000, Flag.NONE)


def test_a_stamp_of_the_kernel_counts_before_that_of_user_space() -> None:
    near, far = session(), Far()
    data = near.packet(moment(0))
    near.transmitted(data, START + 2 * MS)
    reply = far.reflect(data, 10 * MS)
    near.received(reply, replace(moment(30 * MS), kernel_ns=START + 25 * MS), 62)
    assert columns(near)["rtt_min_us"] == 23_000


def test_a_transmission_is_known_by_its_content() -> None:
    near = session()
    near.packet(moment(0))
    stranger = SenderPacket(0, near.samples[0].timestamp + 1, 1, 77)
    near.transmitted(encode_sender(stranger, None), START)
    assert near.samples[0].transmitted_ns is None
