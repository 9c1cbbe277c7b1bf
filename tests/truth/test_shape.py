"""The model of a direction: delay, order, rate, queue, bucket, slots, aggregates and seeds."""

import random
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import pytest

from tests.truth.shape import Direction, Shape, Verdict

FULL = 1514
MS = 1_000_000


def offered(shape: Shape, times_ns: list[int], length: int = FULL, seed: str = "1") -> list[Verdict]:
    model = Direction(shape, seed)
    return [model.offer(now_ns, now_ns - times_ns[0], length) for now_ns in times_ns]


def due(shape: Shape, times_ns: list[int], length: int = FULL) -> list[int]:
    return [verdict.due_ns[0] for verdict in offered(shape, times_ns, length) if verdict.due_ns]


def test_an_empty_shape_passes_everything_at_once() -> None:
    assert offered(Shape(), [5, 9]) == [Verdict((5,), "passed"), Verdict((9,), "passed")]


def test_jitter_stays_in_its_range_and_keeps_the_order() -> None:
    times = list(range(0, 400 * MS, MS))
    left = due(Shape(delay_ms=10, jitter_ms=4), times)

    assert left == sorted(left)
    assert all(10 * MS <= at - came < 14 * MS for at, came in zip(left, times, strict=True))
    assert max(left[i] - times[i] for i in range(400)) > 13 * MS


def test_the_same_seed_gives_the_same_fates_and_another_seed_others() -> None:
    shape = Shape(loss=0.3, duplicate=0.1)
    times = list(range(500))

    assert offered(shape, times) == offered(shape, times)
    assert offered(shape, times) != offered(shape, times, seed="2")


def test_one_condition_does_not_change_which_frames_another_one_hits() -> None:
    times = list(range(500))
    alone = [each.fate == "lost" for each in offered(Shape(loss=0.2), times)]
    among = [each.fate == "lost" for each in offered(Shape(loss=0.2, jitter_ms=3, duplicate=0.5), times)]

    assert 60 < sum(alone) < 140
    assert alone == among


def test_named_frames_are_lost_and_nothing_is_past_the_end() -> None:
    fates = [each.fate for each in offered(Shape(lose=(1, 3)), [0] * 5)]
    assert fates == ["passed", "lost", "passed", "lost", "passed"]

    disturbed = offered(Shape(loss=1, until=2), [0] * 4)
    assert [each.fate for each in disturbed] == ["lost", "lost", "passed", "passed"]


def test_an_outage_takes_what_comes_in_its_time() -> None:
    times = [0, 500 * MS, 1000 * MS, 1500 * MS, 2000 * MS]
    fates = [each.fate for each in offered(Shape(outages=((0.5, 1.5),)), times)]
    assert fates == ["passed", "outage", "outage", "passed", "passed"]


def test_a_held_frame_is_overtaken() -> None:
    held, after = Direction(Shape(reorder=1, reorder_ms=5), "1"), Shape()
    assert held.offer(0, 0, 64) == Verdict((5 * MS,), "held")
    assert due(after, [1]) == [1]

    mixed = offered(Shape(reorder=0.5, reorder_ms=5), list(range(0, 100 * MS, MS)))
    passed = [each.due_ns[0] for each in mixed if each.fate == "passed"]
    assert passed == sorted(passed)
    assert [each.due_ns[0] for each in mixed] != sorted(each.due_ns[0] for each in mixed)


def test_duplicates_have_two_dues_and_corrupt_frames_one() -> None:
    assert offered(Shape(duplicate=1), [7]) == [Verdict((7, 7), "duplicated")]
    assert offered(Shape(corrupt=1), [7]) == [Verdict((7,), "corrupted", corrupted=True)]


@pytest.mark.parametrize("mbit", [1, 10, 100])
def test_a_burst_leaves_at_the_rate(mbit: int) -> None:
    gap_ns = FULL * 8 * 1000 // mbit
    left = due(Shape(rate_kbps=mbit * 1000), [0] * 200)

    assert left[0] == gap_ns
    assert all(abs(b - a - gap_ns) <= 1 for a, b in pairwise(left))


def test_a_full_queue_drops_until_there_is_room() -> None:
    shape = Shape(rate_kbps=8, queue_bytes=3000)  # a byte takes 1 ms
    fates = [each.fate for each in offered(shape, [0, 0, 0, 0, 1000 * MS], 1000)]
    assert fates == ["passed", "passed", "passed", "overflow", "passed"]


def test_a_bucket_passes_its_bytes_at_the_peak_and_the_rest_at_the_rate() -> None:
    shape = Shape(rate_kbps=8_000, bucket_bytes=64_000, bucket_peak_kbps=80_000)
    left = due(shape, [0] * 150, 1000)
    gaps = [b - a for a, b in pairwise(left)]

    # The bucket fills at a tenth of the speed at which it empties, so it lasts for 64,000 / 0.9 bytes.
    fast = sum(gap < 200_000 for gap in gaps)
    assert fast == pytest.approx(71, abs=1)
    assert gaps[0] == pytest.approx(100_000, abs=1)
    assert gaps[-1] == pytest.approx(1_000_000, abs=1)


def test_a_bucket_fills_again_but_not_beyond_its_size() -> None:
    shape = Shape(rate_kbps=8_000, bucket_bytes=10_000, bucket_peak_kbps=80_000)
    burst = due(shape, [0] * 40, 1000)
    much_later = 10_000 * MS
    again = due(shape, [0] * 40 + [much_later] * 40, 1000)[40:]
    assert [at - much_later for at in again] == burst


def test_slots_let_their_share_of_frames_go_together() -> None:
    left = due(Shape(rate_kbps=10_000, slot_ms=5), [0] * 12, 1500)  # 6,250 B a slot: four frames
    assert left == [5 * MS] * 4 + [10 * MS] * 4 + [15 * MS] * 4


def test_a_slot_waits_for_its_end_and_its_queue_is_bounded() -> None:
    assert due(Shape(rate_kbps=10_000, slot_ms=5), [7 * MS]) == [10 * MS]
    shape = Shape(rate_kbps=10_000, slot_ms=5, queue_bytes=9000)
    assert sum(each.fate == "overflow" for each in offered(shape, [0] * 12, 1500)) == 6


def test_aggregates_leave_together_and_keep_the_rate() -> None:
    shape = Shape(rate_kbps=12_000, aggregate_ms=5)  # a frame of 1,500 B takes 1 ms
    left = due(shape, [0] * 60, 1500)

    assert left[:6] == [6 * MS] * 6
    assert left[6] == 12 * MS
    assert len(set(left)) == 10


def test_an_aggregate_that_is_full_makes_room_for_the_next() -> None:
    left = due(Shape(aggregate_ms=5, aggregate_bytes=3000), [0, 0, 2 * MS], 1500)
    assert left == [5 * MS, 5 * MS, 7 * MS]


@pytest.mark.parametrize(
    "wrong",
    [partial(Shape, slot_ms=5), partial(Shape, bucket_bytes=1), partial(Shape, rate_kbps=100, slot_ms=1)],
)
def test_a_shape_that_cannot_be_is_refused(wrong: Callable[[], Shape]) -> None:
    with pytest.raises(ValueError, match="rate_kbps"):
        wrong()


def test_frames_never_leave_before_they_came() -> None:
    rng = random.Random(3)
    for shape in (
        Shape(rate_kbps=5000, queue_bytes=20_000, jitter_ms=2),
        Shape(rate_kbps=5000, bucket_bytes=9000, bucket_peak_kbps=50_000),
        Shape(rate_kbps=5000, slot_ms=4),
        Shape(rate_kbps=5000, aggregate_ms=3, aggregate_bytes=6000),
    ):
        times = sorted(rng.randrange(200 * MS) for _ in range(300))
        for came, verdict in zip(times, offered(shape, times), strict=True):
            assert all(at >= came for at in verdict.due_ns)
