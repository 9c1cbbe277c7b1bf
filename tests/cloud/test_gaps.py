"""Gaps: holes are what is missing whatever the order, told losses explain them, what comes fills them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cloud import gaps_item, gaps_state
from cloud.gap_ranges import Hole, Span, Told, joined
from cloud.gaps_item import Stored
from cloud.gaps_state import Asked, Epoch, Gaps, Unnumbered, ask, observe
from edge_agent.contract import Batch, Loss, Reading
from tests.cloud.gaps_cloud import HOUR, sealed, seen, telling, told
from tests.cloud.records import EPOCH, NOW


def ranges(gaps: Gaps, epoch: int = EPOCH) -> list[tuple[int, int, str]]:
    return [(hole.first, hole.end, hole.why) for hole in gaps.epochs[epoch].holes]


def test_a_hole_is_between_two_stored_batches_and_lies_between_their_times() -> None:
    (hole,) = seen([sealed(0), sealed(30)]).epochs[EPOCH].holes
    assert (hole.first, hole.end, hole.count, hole.why) == (10, 30, 20, "unknown")
    assert (hole.from_ms, hole.until_ms) == (NOW - HOUR + 9_000, NOW - HOUR + 30_000)


def test_the_newest_range_has_no_end_yet_and_the_first_no_beginning() -> None:
    assert ranges(seen([sealed(500)])) == []


def test_a_batch_that_comes_late_fills_its_hole_in_whole_or_in_part() -> None:
    gaps = seen([sealed(0), sealed(40)])
    assert ranges(seen([sealed(20)], gaps)) == [(10, 20, "unknown"), (30, 40, "unknown")]
    assert ranges(seen([sealed(10), sealed(20), sealed(30)], gaps)) == []


def test_epochs_have_numbers_of_their_own() -> None:
    gaps = seen([sealed(0), sealed(100, epoch=7), sealed(20), sealed(130, epoch=7)])
    assert ranges(gaps) == [(10, 20, "unknown")]
    assert ranges(gaps, 7) == [(110, 130, "unknown")]


def test_a_told_loss_explains_its_part_of_a_hole() -> None:
    gaps = seen([sealed(0), sealed(40), telling(told(15, 10, Loss.THINNED), first=50)])
    assert ranges(gaps) == [(10, 15, "unknown"), (15, 25, "thinned"), (25, 40, "unknown")]


def test_what_was_told_and_came_after_all_is_no_gap() -> None:
    gaps = seen([sealed(0), sealed(20), telling(told(10, 10, Loss.REFUSED), first=30)])
    assert ranges(gaps) == [(10, 20, "refused")]
    filled = seen([sealed(10)], gaps)
    assert ranges(filled) == []
    assert ranges(seen([telling(told(10, 10, Loss.REFUSED), first=30)], filled)) == []


def test_a_told_loss_before_all_that_is_stored_is_a_gap_of_its_own_times() -> None:
    gaps = seen([telling(told(0, 100), first=100)])
    (hole,) = gaps.epochs[EPOCH].holes
    assert (hole.first, hole.end, hole.why) == (0, 100, "full")
    assert (hole.from_ms, hole.until_ms) == (NOW - 2 * HOUR, NOW - HOUR)


def test_readings_lost_without_a_number_are_told_once_however_often_it_is_heard() -> None:
    lost = telling(told(None, 33, Loss.MEMORY))
    again = telling(told(None, 33, Loss.MEMORY, at_ms=NOW + 5_000), first=2_000)
    (found,) = seen([again], seen([lost, lost])).unnumbered
    assert (found.reason, found.count) == (Loss.MEMORY, 33)


def test_the_same_loss_told_with_and_without_its_times_is_one_gap() -> None:
    timeless = Reading("host", "gap", NOW, (int(Loss.FULL), EPOCH, 0, 100, None, None))
    nameless = Reading("host", "gap", NOW - 2 * HOUR, (int(Loss.MEMORY), None, None, 33, None, None))
    gaps = seen([telling(told(0, 100), timeless, nameless, told(None, 33, Loss.MEMORY), first=100)])
    assert ranges(gaps) == [(0, 100, "full")]
    assert gaps.epochs[EPOCH].holes[0].from_ms == NOW - 2 * HOUR


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[Batch], int]:
    """Batches of one epoch in any order, some lost, some doubled, some told lost; and a cut."""
    counts = draw(st.lists(st.integers(1, 6), min_size=1, max_size=12))
    made, first = [], draw(st.integers(0, 50))
    for count in counts:
        made.append(sealed(first, count))
        first += count
    kept = [each for each in made if draw(st.booleans())] or made[:1]
    if draw(st.booleans()):
        lost = draw(st.sampled_from(made))
        reading = told(lost.first_sequence, len(lost.readings), draw(st.sampled_from(list(Loss))))
        kept.append(telling(reading, first=first))
    repeated = kept + draw(st.lists(st.sampled_from(kept), max_size=5))
    shuffled = draw(st.permutations(repeated))
    return list(shuffled), draw(st.integers(0, len(repeated)))


def recomputed(batches: Sequence[Batch]) -> set[int]:
    """The numbers missing, counted one by one from the batches."""
    held = {
        number
        for each in batches
        for number in range(each.first_sequence, each.first_sequence + len(each.readings))
    }
    lost: set[int] = set()
    for each in batches:
        for reading in each.readings:
            if reading.kind == "gap":
                first, count = reading["first_sequence"] or 0, reading["count"] or 0
                lost |= set(range(first, first + count))
    return (set(range(min(held), max(held) + 1)) | lost) - held


@given(deliveries())
def test_gaps_are_the_recomputation_in_any_order_with_repeats_and_in_any_portions(
    delivered: tuple[list[Batch], int],
) -> None:
    batches, cut = delivered
    portions = seen(batches[cut:], seen(batches[:cut]))
    whole = seen(sorted(batches, key=lambda each: each.first_sequence))
    assert portions == whole == seen(batches, portions)
    missing = {number for hole in whole.epochs[EPOCH].holes for number in range(hole.first, hole.end)}
    assert missing == recomputed(batches)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9), st.integers(0, 9), st.integers(0, 9))))
def test_joined_spans_do_not_depend_on_the_order_of_joining(given: list[tuple[int, int, int, int]]) -> None:
    spans = [Span(first, first + count, low, low + more) for first, count, low, more in given]
    half = len(spans) // 2
    backwards = joined(reversed(spans))
    assert backwards == joined((*joined(spans[half:]), *joined(spans[:half])))
    assert all(low.end < high.first for low, high in pairwise(backwards))


def test_the_times_at_an_edge_are_of_the_batches_that_have_it() -> None:
    assert joined([Span(0, 10, 50, 60), Span(5, 10, 40, 90)]) == (Span(0, 10, 50, 90),)
    assert joined([Span(0, 10, 50, 60), Span(0, 4, 20, 99)]) == (Span(0, 10, 20, 60),)
    assert joined([Span(0, 10, 50, 90), Span(10, 12, 10, 20)]) == (Span(0, 12, 50, 20),)


def test_an_observation_that_says_nothing_new_changes_nothing() -> None:
    batches = [sealed(0), sealed(30), telling(told(None, 3), told(10, 2), first=40)]
    first = observe(Gaps("gw-1"), batches)
    again = observe(first.gaps, batches)
    assert (first.changed, again.changed) == (True, False)
    assert (again.missing, again.unknown) == (20, 18)


def test_holes_whose_neighbours_have_expired_are_given_up_and_counted() -> None:
    gaps = observe(seen([sealed(0), sealed(20), sealed(2_000)]), (), NOW - HOUR + 20_001).gaps
    assert ranges(gaps) == [(30, 2_000, "unknown")]
    assert gaps.epochs[EPOCH].given_up == 10
    assert observe(gaps, [sealed(0)], NOW - HOUR + 20_001).gaps == gaps
    assert observe(gaps, (), NOW + 10 * HOUR).gaps.epochs == {}


def test_nothing_is_unbounded() -> None:
    """Lives, spans, tellings and losses without a number, far more of each than any gateway has."""
    rng = random.Random(5)
    epochs = range(gaps_state.MAX_EPOCHS + 5)
    many = [sealed(20 * number, 1, epoch) for epoch in epochs for number in range(300)]
    many += [sealed(20 * number, 1, 99) for number in range(gaps_state.MAX_SPANS - 700)]
    rng.shuffle(many)
    lost = [told(None, number + 1, at_ms=NOW + number) for number in range(1_000)]
    lost += [told(rng.getrandbits(62), 1, epoch=epoch) for epoch in epochs for _ in range(300)]
    gaps = seen([*many, telling(*lost, first=10**9)])
    assert len(gaps.epochs) <= gaps_state.MAX_EPOCHS
    assert len(gaps.unnumbered) == gaps_state.MAX_UNNUMBERED
    assert len(gaps.epochs[99].held) > gaps_state.MAX_SPANS // 2
    assert min(len(each.held) for each in gaps.epochs.values()) > gaps_state.MAX_SPANS // 40
    held = sum(len(each.held) for each in gaps.epochs.values())
    assert held <= gaps_state.MAX_SPANS + gaps_state.MAX_EPOCHS
    assert sum(len(each.told) for each in gaps.epochs.values()) <= gaps_state.MAX_TOLD


def test_many_holes_of_one_life_neither_fill_nor_explain_away_those_of_another() -> None:
    older = seen([sealed(0, 5, 1), sealed(8, 2, 1), telling(told(5, 3, Loss.FULL, 1), first=10**9)])
    asked = ask(older, [(1, Hole(5, 8, None, None, None))], NOW)
    newer = [sealed(20 * number, 1, 2) for number in range(3 * gaps_state.MAX_SPANS)]
    gaps = seen(newer, asked)
    assert [each for epoch, each in gaps.missing() if epoch == 1] == [
        each for epoch, each in asked.missing() if epoch == 1
    ]
    assert gaps.epochs[1].answered() == []


def test_a_request_for_numbers_that_are_given_up_is_forgotten_not_answered() -> None:
    gaps = ask(seen([sealed(0, 5), sealed(8, 2)]), [(EPOCH, Hole(5, 8, None, None, None))], NOW)
    many = seen([sealed(20 * number, 1) for number in range(1, 3 * gaps_state.MAX_SPANS)], gaps)
    assert many.epochs[EPOCH].given_up > 0
    assert (many.epochs[EPOCH].asked, many.epochs[EPOCH].answered()) == ((), [])


def test_what_is_kept_at_most_fits_into_an_item_whatever_the_gateway_says() -> None:
    rng = random.Random(6)

    def number() -> int:
        return rng.getrandbits(64)

    epochs = {
        number(): Epoch(
            tuple(Span(number(), number(), number(), number()) for _ in range(gaps_state.MAX_SPANS // 16)),
            tuple(Told(number(), number(), 5, number(), number()) for _ in range(gaps_state.MAX_TOLD // 16)),
            tuple(Asked(number(), number(), number()) for _ in range(2 * gaps_state.MAX_ASKED // 16)),
        )
        for _ in range(16)
    }
    lost = tuple(
        Unnumbered(number(), 5, number(), number(), number()) for _ in range(gaps_state.MAX_UNNUMBERED)
    )
    gaps = Gaps("gw-1", epochs, lost)
    item = gaps_item.pack(Stored(gaps, 1), NOW, 30)
    assert len(bytes(item["g"]["B"])) < 250_000
    assert gaps_item.parse(item).gaps == gaps
