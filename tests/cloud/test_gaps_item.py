"""Which holes are asked for and when, and the item that remembers it."""

from __future__ import annotations

import json
import zlib

import pytest

from cloud import gaps_item, gaps_state
from cloud.gap_ranges import Hole, holes, span_of
from cloud.gaps_item import GapsError, Stored
from cloud.gaps_state import Asked, Gaps, ask, due
from tests.cloud.gaps_cloud import HOUR, sealed, seen, telling, told
from tests.cloud.records import EPOCH, NOW


def ranges(gaps: Gaps, epoch: int = EPOCH) -> list[tuple[int, int, str]]:
    return [(hole.first, hole.end, hole.why) for hole in gaps.epochs[epoch].holes]


def wanted(gaps: Gaps, now_ms: int = NOW, **changes: int) -> list[tuple[int, int]]:
    rules = {"young_ms": 24 * HOUR, "settled_ms": HOUR // 2, "again_ms": HOUR, "most": 8} | changes
    return [(hole.first, hole.end) for _, hole in due(gaps, now_ms, **rules)]


def test_a_hole_is_asked_for_when_it_has_settled_and_at_most_once_an_hour() -> None:
    gaps = seen([sealed(0), sealed(30)])
    (unknown,) = gaps.missing()
    assert wanted(gaps) == [(10, 30)]
    assert wanted(gaps, NOW - HOUR + 60_000) == []
    assert wanted(gaps, NOW + 25 * HOUR) == []
    asked = ask(gaps, [unknown], NOW)
    assert wanted(asked, NOW + HOUR - 1) == []
    assert wanted(asked, NOW + HOUR) == [(10, 30)]
    assert asked.epochs[EPOCH].asked_ms(unknown[1]) == NOW


def test_a_hole_that_is_asked_for_again_and_again_is_one_note() -> None:
    gaps = seen([sealed(0), sealed(30), sealed(60)])
    for hour in range(100):
        gaps = ask(gaps, gaps.missing(), NOW + hour * HOUR)
    last_ms = NOW + 99 * HOUR
    assert gaps.epochs[EPOCH].asked == (Asked(last_ms, 10, 30), Asked(last_ms, 40, 60))


def test_what_is_left_of_a_hole_that_was_asked_for_waits_for_the_hour_too() -> None:
    gaps = seen([sealed(0), sealed(30)])
    asked = seen([sealed(15, 5)], ask(gaps, gaps.missing(), NOW))
    assert ranges(asked) == [(10, 15, "unknown"), (20, 30, "unknown")]
    assert wanted(asked, NOW + 1) == []


def test_explained_gaps_are_never_asked_for() -> None:
    assert wanted(seen([sealed(0), sealed(30), telling(told(10, 20), first=40)])) == []


def test_the_youngest_holes_go_first_and_not_more_than_may_be_asked_at_once() -> None:
    gaps = seen([sealed(20 * number) for number in range(20)])
    assert wanted(gaps, most=3) == [(370, 380), (350, 360), (330, 340)]


def test_a_request_of_which_all_has_come_is_known_to_be_answered() -> None:
    gaps = seen([sealed(0), sealed(30)])
    asked = ask(gaps, gaps.missing(), NOW)
    assert asked.epochs[EPOCH].answered() == []
    filled = seen([sealed(10), sealed(20)], asked)
    assert [(each.first, each.end) for each in filled.epochs[EPOCH].answered()] == [(10, 30)]
    forgotten = ask(filled, [], NOW + gaps_state.ASKED_KEPT_MS)
    assert forgotten.epochs[EPOCH].answered() == []


# --- the item -------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [{"g": {"B": b"x"}}, {"rev": {"N": "x"}}, {"p": {"S": "gw#20261121"}}])
def test_an_item_that_is_none_is_an_error_of_one_kind(change: dict[str, dict[str, bytes | str]]) -> None:
    item = gaps_item.pack(Stored(seen([sealed(0)]), 1), NOW, 30)
    with pytest.raises(GapsError):
        gaps_item.parse({**item, **change})


def test_an_item_of_a_newer_version_is_not_guessed_at() -> None:
    item = gaps_item.pack(Stored(seen([sealed(0)]), 1), NOW, 30)
    newer = zlib.compress(json.dumps({**json.loads(zlib.decompress(item["g"]["B"])), "v": 2}).encode())
    with pytest.raises(GapsError, match="another version"):
        gaps_item.parse({**item, "g": {"B": newer}})


def test_reasons_of_a_later_version_have_a_name_too() -> None:
    assert Hole(0, 1, 77, None, None).why == "reason 77"
    assert holes([span_of(sealed(0))], []) == []
