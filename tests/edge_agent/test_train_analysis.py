"""What a train shows of a link, on links of known truth: the lab's own models, without its wire."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.probes.train_analysis import Estimate, Train, Trust, analyse, rough_kbps
from edge_agent.probes.train_steps import Arrival, Step, clumped, is_clumped, steps
from tests.truth.shape import Direction, Shape

SIZE, ETHERNET = 1_400, 14
SHARE = SIZE / (SIZE + ETHERNET)
US = 1_000


def train(
    shape: Shape,
    count: int = 200,
    every_ns: int = 12 * US,
    noise_ns: int = 0,
    stall_ns: int = 0,
    lost_behind: float = 0,
) -> Train:
    """A train through a model of a link; the sender may stall before its middle, stamps may be late."""
    link, rng = Direction(shape, "7"), random.Random(7)
    sent, came, now, last = [], [], 1_000_000, 0
    for sequence in range(count):
        now += every_ns + (stall_ns if sequence == count // 2 else 0)
        sent.append(now)
        verdict = link.offer(now, now, SIZE + ETHERNET)
        if verdict.due_ns and rng.random() >= lost_behind:
            at_ns = verdict.due_ns[0] + int(rng.expovariate(1 / noise_ns) if noise_ns else 0)
            last = max(at_ns, last) if noise_ns else at_ns
            came.append((sequence, last))
    first = min(at_ns for _, at_ns in came)
    arrivals = sorted((Arrival(number, at_ns - first) for number, at_ns in came), key=lambda each: each.at_ns)
    return Train(SIZE, sent, arrivals)


def estimate(shape: Shape, **how: Any) -> Estimate:
    found = analyse(train(shape, **how))
    assert found is not None
    return found


@pytest.mark.parametrize("mbps", [0.3, 1, 2, 5, 10, 20, 50, 100])
@pytest.mark.parametrize(
    "how", [{}, {"noise_ns": 40 * US}, {"lost_behind": 0.1}, {"stall_ns": 5_000 * US}, {"count": 40}]
)
def test_a_plain_line_is_told_within_two_per_cent(mbps: float, how: dict[str, Any]) -> None:
    found = estimate(Shape(delay_ms=10, rate_kbps=mbps * 1000), **how)
    truth = mbps * 1000 * SHARE
    assert found.kbps == pytest.approx(truth, rel=0.02)
    assert found.trust in (Trust.TRUSTED, Trust.DISAGREE) and not found.is_lower_bound
    assert found.high_kbps is not None and found.low_kbps <= found.kbps <= found.high_kbps
    assert found.burst_bytes is None and found.peak_kbps is None


@pytest.mark.parametrize(
    "shape",
    [
        Shape(rate_kbps=10_000, loss=0.2),
        Shape(rate_kbps=10_000, queue_bytes=50_000),
        Shape(rate_kbps=10_000, reorder=0.1, reorder_ms=5),
    ],
)
def test_loss_before_a_line_a_short_queue_and_reordering_do_not_change_its_rate(shape: Shape) -> None:
    found = estimate(shape)
    assert found.kbps == pytest.approx(10_000 * SHARE, rel=0.01)
    assert found.trust is Trust.TRUSTED


@pytest.mark.parametrize("kbps", [1_000, 5_000, 10_000, 50_000])
@pytest.mark.parametrize("bucket", [16_000, 64_000, 150_000])
def test_a_token_bucket_is_told_from_the_rate_behind_it(kbps: int, bucket: int) -> None:
    shape = Shape(rate_kbps=kbps, bucket_bytes=bucket, bucket_peak_kbps=200_000)
    found = estimate(shape, noise_ns=20 * US)
    assert found.kbps == pytest.approx(kbps * SHARE, rel=0.02)
    assert found.burst_bytes == pytest.approx(bucket * SHARE, rel=0.1)
    assert found.peak_kbps == pytest.approx(200_000 * SHARE, rel=0.1)


def test_a_moment_that_held_up_the_first_packets_makes_no_bucket() -> None:
    at_100_mbps = [Arrival(number, max(number * 112 * US, 900 * US) - 900 * US) for number in range(200)]
    crowded = [Arrival(number, max(at_ns, number * 5 * US)) for number, at_ns in at_100_mbps]
    found = analyse(Train(SIZE, [number * US for number in range(200)], crowded))
    assert found is not None and found.burst_bytes is None and found.trust is Trust.TRUSTED
    assert found.kbps == 100_000


def test_too_little_behind_a_bucket_is_a_hint_bounded_by_the_peak() -> None:
    shape = Shape(rate_kbps=10_000, bucket_bytes=264_000, bucket_peak_kbps=200_000)
    found = estimate(shape)
    assert found.trust is Trust.FEW and found.burst_bytes is not None
    assert found.high_kbps == found.peak_kbps
    assert found.low_kbps < 10_000 * SHARE


@pytest.mark.parametrize(
    ("shape", "truth"),
    [
        (Shape(rate_kbps=10_000, slot_ms=10), 8 * SIZE * 8 / 10),
        (Shape(rate_kbps=20_000, slot_ms=5), 8 * SIZE * 8 / 5),
        (Shape(rate_kbps=20_000, aggregate_ms=4), 20_000 * SHARE),
        (Shape(rate_kbps=5_000, aggregate_ms=10), 5_000 * SHARE),
    ],
)
def test_slots_and_aggregates_are_said_and_measured_whole(shape: Shape, truth: float) -> None:
    found = estimate(shape)
    assert found.trust is Trust.CLUMPED
    assert found.kbps == pytest.approx(truth, rel=0.01)
    assert found.high_kbps is not None and found.low_kbps < truth < found.high_kbps
    assert found.high_kbps - found.low_kbps > 0.05 * truth, "the bar is wider than a wire's"


@pytest.mark.parametrize("slot_ms", [10, 20])
def test_a_train_of_hardly_more_than_a_slot_is_no_more_than_a_hint(slot_ms: int) -> None:
    found = analyse(train(Shape(rate_kbps=100_000, slot_ms=slot_ms)))
    assert found is None or found.trust is Trust.FEW


def test_a_lower_bound_is_never_above_what_the_sender_sent() -> None:
    """They came faster than they were sent: the first had waited somewhere."""
    sent = [number * 100 * US for number in range(200)]
    came = [Arrival(number, max(at - 60 * US, 0) // 4 * 3) for number, at in enumerate(sent)]
    found = analyse(Train(SIZE, sent, came))
    assert found is not None and found.is_lower_bound
    assert found.kbps == SIZE * 8 * 10


def test_a_sender_slower_than_the_link_gives_a_lower_bound() -> None:
    found = estimate(Shape(rate_kbps=1_000_000), every_ns=112 * US)
    assert found.is_lower_bound and found.high_kbps is None
    assert found.kbps == found.low_kbps == 100_000


def test_a_sender_that_slows_down_makes_no_bucket() -> None:
    sent = [min(number, 60) * 10 * US + max(number - 60, 0) * 50 * US for number in range(200)]
    found = analyse(Train(SIZE, sent, [Arrival(number, at_ns) for number, at_ns in enumerate(sent)]))
    assert found is not None and found.is_lower_bound
    assert (found.high_kbps, found.burst_bytes, found.peak_kbps) == (None, None, None)


def test_a_limit_that_drops_instead_of_queueing_gives_no_estimate() -> None:
    shape = Shape(rate_kbps=10_000, bucket_bytes=64_000, queue_bytes=3_000)
    assert analyse(train(shape)) is None


def test_user_space_stamps_are_said_to_be_coarse() -> None:
    found = analyse(replace(train(Shape(rate_kbps=10_000)), is_stamped=False))
    assert found is not None and found.trust is Trust.COARSE


def test_a_rate_that_changes_within_the_train_is_said() -> None:
    gaps = [1_000 * US * (2 if number // 20 % 2 else 1) for number in range(199)]
    arrivals = [Arrival(number, sum(gaps[:number])) for number in range(200)]
    found = analyse(Train(SIZE, [number * US for number in range(200)], arrivals))
    assert found is not None and found.trust is Trust.DISAGREE


@pytest.mark.parametrize(
    "arrivals",
    [[], [Arrival(0, 0)], [Arrival(0, 0), Arrival(1, 0)], [Arrival(number, 0) for number in range(9)]],
)
def test_what_shows_no_rate_gives_no_estimate(arrivals: list[Arrival]) -> None:
    nothing = Train(SIZE, list(range(200)), arrivals)
    assert analyse(nothing) is None and rough_kbps(nothing) is None


def test_a_missing_packet_counts_when_its_gap_shows_that_it_was_carried() -> None:
    sent = list(range(8))
    on_the_line = [Arrival(number, number * 100) for number in (0, 1, 2, 4, 5)]
    before_it = [Arrival(number, place * 100) for place, number in enumerate((0, 1, 2, 4, 5))]
    assert [step.packets for step in steps(on_the_line, sent)] == [1, 1, 2, 1]
    assert [step.packets for step in steps(before_it, sent)] == [1, 1, 1, 1]


def test_a_gap_that_the_sender_made_is_known() -> None:
    sent = [0, 1, 2, 900, 901]
    came = [Arrival(number, at) for number, at in enumerate((0, 100, 200, 950, 1_050))]
    assert [step.starved for step in steps(came, sent)] == [True, False, True, False]


def test_clumps_leave_out_what_the_edges_cannot_tell() -> None:
    each = [Step(1, gap, False) for gap in (0, 0, 1_000, 0, 0, 1_000, 0, 0, 1_000, 0)]
    clumps = clumped(each)
    assert clumps == [Step(3, 1_000, False), Step(3, 1_000, False)] and is_clumped(clumps)
    burst_then_line = [Step(1, 0, False)] * 50 + [Step(1, 1_000, False)] * 50
    assert not is_clumped(clumped(burst_then_line))


MOMENTS = st.integers(min_value=0, max_value=(1 << 48) - 1)
ARRIVALS = st.lists(
    st.builds(Arrival, st.integers(min_value=0, max_value=29), MOMENTS | st.integers(0, 1_000)), max_size=60
)


@given(ARRIVALS, st.lists(MOMENTS, min_size=30, max_size=30).map(sorted), st.booleans())
def test_whatever_a_responder_says_gives_an_estimate_in_range_or_none(
    arrivals: list[Arrival], sent: list[int], is_stamped: bool
) -> None:
    found = analyse(Train(SIZE, sent, arrivals, is_stamped))
    if found is None:
        return
    assert 0 <= found.low_kbps <= found.kbps < 1 << 32
    assert found.high_kbps is None or found.kbps <= found.high_kbps < 1 << 32
    assert found.burst_bytes is None or 0 <= found.burst_bytes < 1 << 32
    assert found.peak_kbps is None or 0 <= found.peak_kbps < 1 << 32
