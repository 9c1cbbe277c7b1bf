"""A STAMP session: in which direction each lost packet was lost, as far as it can be told."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.contract import Flag
from tests.edge_agent.stamp_session_rig import KEY, MS, Far, columns, exchange, moment, session

FATES = st.lists(st.sampled_from(["both", "out", "back"]), min_size=1, max_size=30)


@given(FATES, st.sampled_from(["out", "back"]))
def test_whatever_is_lost_of_the_closing_packets_an_answer_is_the_truth(
    fates: list[str], first_closing: str
) -> None:
    near, far = session(), Far()
    for turn, fate in enumerate([*fates, first_closing, "both"]):
        data = near.packet(moment(turn * MS), measures=turn < len(fates))
        if fate != "out":
            reply = far.reflect(data, 50 * MS)
            if fate == "both":
                near.received(reply, moment(60 * MS), 62)
    told = near.lost_each_way()
    assert told in ((fates.count("out"), fates.count("back")), None)
    assert told or fates[-1] != "both", "it is only in doubt when the last packet has no reply either"


@given(FATES, st.randoms(use_true_random=False), st.booleans(), st.sampled_from([None, KEY]))
def test_loss_is_told_apart_by_direction_whatever_the_pattern_and_the_order(
    fates: list[str], order: random.Random, shuffle: bool, key: bytes | None
) -> None:
    near, far = session(key), Far(key)
    packets = [(near.packet(moment(turn * MS)), fate) for turn, fate in enumerate(fates)]
    if shuffle:
        order.shuffle(packets)
    replies = [(far.reflect(data, 50 * MS), fate) for data, fate in packets if fate != "out"]
    closing = far.reflect(near.packet(moment(100 * MS), measures=False), 110 * MS)
    for reply, fate in [*replies, (closing, "both")]:
        if fate == "both":
            near.received(reply, moment(200 * MS), 62)
    got = columns(near)
    assert (got["sent"], got["received"]) == (len(fates), fates.count("both"))
    assert (got["lost_out"], got["lost_back"]) == (fates.count("out"), fates.count("back"))


@pytest.mark.parametrize(
    ("fates", "first_closing", "expected"),
    [
        (["out", "both"], "out", (1, 0)),
        (["out", "both"], "back", (1, 0)),
        (["back", "both"], "out", (0, 1)),
        (["back", "both"], "back", (0, 1)),
        (["both", "out"], "out", (1, 0)),
        (["both", "out"], "back", None),
        (["both", "back"], "out", None),
        (["both", "back"], "back", (0, 1)),
    ],
)
def test_a_closing_packet_without_a_reply_leaves_no_doubt_or_no_answer(
    fates: list[str], first_closing: str, expected: tuple[int, int] | None
) -> None:
    """The reflector's count may hold it; the two without an answer look alike: one number that never came."""
    near, far = session(), Far()
    for turn, fate in enumerate([*fates, first_closing, "both"]):
        data = near.packet(moment(turn * MS), measures=turn < len(fates))
        if fate != "out":
            reply = far.reflect(data, 50 * MS)
            if fate == "both":
                near.received(reply, moment(60 * MS), 62)
    got = columns(near)
    assert (got["lost_out"], got["lost_back"]) == (expected or (None, None))


def test_without_a_reply_to_the_last_packets_the_direction_is_not_told() -> None:
    near, far = session(), Far()
    exchange(near, far, 0)
    near.packet(moment(100 * MS))
    got = columns(near)
    assert (got["sent"], got["received"], got["lost_out"], got["lost_back"]) == (2, 1, None, None)


def test_when_nothing_comes_back_the_direction_is_not_told() -> None:
    near = session()
    near.packet(moment(0))
    got = columns(near)
    assert (got["sent"], got["received"], got["lost_out"], got["rtt_min_us"]) == (1, 0, None, None)
    assert got["flags"] == Flag.NONE


def test_a_reflector_that_forgot_the_session_midway_leaves_the_direction_untold() -> None:
    near, far = session(), Far()
    exchange(near, far, 0)
    far.count = 0
    exchange(near, far, 100)
    near.packet(moment(200 * MS))
    exchange(near, far, 300)
    assert columns(near)["lost_out"] is None


def test_a_reflector_that_does_not_count_leaves_the_direction_untold() -> None:
    near, far = session(), Far()
    near.packet(moment(0))
    far.count = 1
    exchange(near, far, 100)
    assert columns(near, stateful=False)["lost_out"] is None
