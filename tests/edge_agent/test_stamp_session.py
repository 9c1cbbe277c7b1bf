"""A STAMP session: which reply belongs to which packet, and in which direction each lost one was lost."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.contract import KINDS, Flag
from edge_agent.probes.stamp_packet import (
    ReflectedPacket,
    SenderPacket,
    decode_sender,
    encode_reflected,
    encode_sender,
)
from edge_agent.probes.stamp_session import Session, Tally
from edge_agent.probes.stamp_statistics import report
from edge_agent.probes.stamp_time import error_estimate, to_ntp
from edge_agent.probes.stamps import Stamp

KEY = b"0123456789abcdef"
MS = 1_000_000
START = 1_790_000_000_000 * MS
BOOT = 5_000 * MS
WAIT = 1_000 * MS
STAMPED = Flag.KERNEL_SENT | Flag.KERNEL_RECEIVED


def moment(at_ns: int, stepped_ns: int = 0) -> Stamp:
    """``at_ns`` after the start, as a clock sees it that was set by ``stepped_ns``."""
    wall = START + at_ns + stepped_ns
    return Stamp(BOOT + at_ns, wall, wall)


@dataclass
class Far:
    """A reflector without a network, whose clock is ``ahead_ns``."""

    key: bytes | None = None
    ahead_ns: int = 0
    error_ns: int | None = None
    stay_ns: int = 0
    count: int = 0
    seen: list[SenderPacket] = field(default_factory=list)

    def reflect(self, data: bytes, at_ns: int) -> bytes:
        """The reply to a packet that comes so long after the start."""
        packet = decode_sender(data, self.key)
        self.seen.append(packet)
        came = to_ntp(START + at_ns + self.ahead_ns)
        left = to_ntp(START + at_ns + self.ahead_ns + self.stay_ns)
        number, self.count = self.count, self.count + 1
        error = error_estimate(self.error_ns)
        reply = ReflectedPacket(
            number, left, error, packet.ssid, came, packet.sequence, packet.timestamp, packet.error, 63
        )
        return encode_reflected(reply, self.key)


def session(key: bytes | None = None, error_ns: int | None = None) -> Session:
    return Session(77, key, error_ns)


def columns(
    given: Session, wait_ns: int = WAIT, earlier: Tally | None = None, **options: bool
) -> dict[str, int | None]:
    made = report(given, wait_ns, BOOT + 10_000 * MS, earlier or Tally(), **options)
    names = [column.name for column in KINDS["stamp"].columns]
    return {**dict(zip(names, made.values, strict=True)), "flags": int(made.flags)}


def exchange(near: Session, far: Far, at_ms: float, out_ms: float = 10, back_ms: float = 20) -> None:
    """One packet that is answered."""
    at_ns, there_ns = int(at_ms * MS), int((at_ms + out_ms) * MS)
    data = near.packet(moment(at_ns))
    near.transmitted(data, START + at_ns)
    reply = far.reflect(data, there_ns)
    near.received(reply, moment(there_ns + far.stay_ns + int(back_ms * MS)), 62)


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
    fates: list[str], order: object, shuffle: bool, key: bytes | None
) -> None:
    near, far = session(key), Far(key)
    packets = [(near.packet(moment(turn * MS)), fate) for turn, fate in enumerate(fates)]
    if shuffle:
        order.shuffle(packets)  # type: ignore[attr-defined]
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


def reply_to(near: Session, **fields: int) -> bytes:
    """A reply to the session's first packet, but for these fields."""
    sample = near.samples[0]
    honest = ReflectedPacket(0, 1, 1, near.ssid, 1, 0, sample.timestamp, 1, 63)
    return encode_reflected(replace(honest, **fields), near.key)


@pytest.mark.parametrize("fields", [{"ssid": 78}, {"sender_timestamp": 5}, {"sender_sequence": 1}])
def test_a_reply_with_a_forged_or_foreign_field_is_no_answer(fields: dict[str, int]) -> None:
    near = session()
    near.packet(moment(0))
    near.received(reply_to(near, **fields), moment(MS), 62)
    got = columns(near)
    assert (got["received"], got["foreign"], got["corrupt"]) == (0, 1, 0)


def test_a_reflector_older_than_session_ids_is_understood() -> None:
    near = session()
    near.packet(moment(0))
    near.received(reply_to(near, ssid=0), moment(MS), 62)
    assert columns(near)["received"] == 1


@pytest.mark.parametrize("data", [b"", bytes(43), bytes(44)[:-1]])
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
    near.received(reply_to(forger), moment(MS), 62)
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
        near.received(reply_to(near, sequence=number), moment(MS), 62)
    assert len(near._numbers) <= 4


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
