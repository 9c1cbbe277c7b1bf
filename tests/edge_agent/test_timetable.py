"""What is due when."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.probes.timetable import Timetable


def test_nothing_is_taken_before_its_time() -> None:
    timetable: Timetable[str] = Timetable()
    assert (timetable.next_ms, timetable.take(10**9, 5)) == (None, [])
    timetable.add(7, "a")
    assert timetable.next_ms == 7 and timetable.take(6, 5) == []
    assert timetable.take(7, 5) == ["a"] and timetable.next_ms is None


@given(st.lists(st.integers(0, 20), max_size=50), st.integers(1, 7))
def test_all_is_taken_once_in_order_of_time_and_in_bounded_pieces(times: list[int], limit: int) -> None:
    timetable: Timetable[tuple[int, int]] = Timetable()
    for number, at_ms in enumerate(times):
        timetable.add(at_ms, (at_ms, number))
    taken = []
    while piece := timetable.take(100, limit):
        assert len(piece) <= limit
        taken += piece
    assert [at_ms for at_ms, _ in taken] == sorted(times)
    assert len(set(taken)) == len(times)
