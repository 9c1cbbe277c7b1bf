"""What a reading says of its link: lost is not in flight, refused is not lost, unknown is neither."""

from __future__ import annotations

import pytest

from cloud.health import Tally, is_down, max_us, p50_us, p95_us, tally, total
from edge_agent.contract import KINDS, Outcome, Reading, not_measured
from tests.cloud.records import NOW, denied, echo, interface


def counted(kind: str, **columns: int) -> Reading:
    names = [column.name for column in KINDS[kind].columns]
    return Reading("a.b", kind, NOW, tuple(columns.get(name) for name in names))


@pytest.mark.parametrize(
    ("reading", "expected", "down"),
    [
        (echo(), Tally(5, 5), False),
        (echo(received=3), Tally(5, 3), False),
        (echo(received=0), Tally(5, 0), True),
        (counted("echo", sent=5, received=3, in_flight=2), Tally(3, 3), False),
        (counted("echo", sent=5, received=0, in_flight=5), Tally(0, 0), None),
        (counted("echo", sent=5, received=2, late=3), Tally(5, 5), False),
        (denied(), None, None),
        (counted("echo", received=3), None, None),
        (counted("connect", sent=3, connected=0, refused=3, timed_out=0), Tally(3, 3), False),
        (counted("connect", sent=3, connected=1, refused=0, timed_out=2), Tally(3, 1), False),
        (counted("connect", sent=3, connected=0, refused=0, timed_out=3), Tally(3, 0), True),
        (counted("stamp", sent=10, received=7, late=1, in_flight=1), Tally(9, 8), False),
        (counted("stamp", sent=10, received=0, late=0, in_flight=0), Tally(10, 0), True),
        (counted("http", sent=1, answered=1, refused=0, timed_out=0), Tally(1, 1), False),
        (counted("http", sent=1, answered=0, refused=1, timed_out=0), Tally(1, 1), False),
        (counted("http", sent=1, answered=0, refused=0, timed_out=1), Tally(1, 0), True),
        (counted("dns", sent=3, answered=2, timed_out=1, corrupt=0), Tally(3, 2), False),
        (counted("capacity", sent=200, received=150), None, None),
        (counted("path", hop=1, sent=3, answered=0), None, None),
        (interface(), None, False),
        (interface(up=0), None, True),
        (not_measured("a.b", "interface", NOW, Outcome.NO_INTERFACE), None, None),
    ],
)
def test_round_trips_are_counted_and_the_link_judged(
    reading: Reading, expected: Tally | None, down: bool | None
) -> None:
    assert tally(reading) == expected
    assert is_down(reading) is down


def test_a_reply_late_for_its_round_is_not_lost_over_the_batch() -> None:
    """The round that waited in vain counts one unanswered; the next one's late reply makes up for it."""
    rounds = [echo(received=4), counted("echo", sent=5, received=5, late=1), echo(received=4)]
    assert total(each for each in map(tally, rounds) if each).lost == 1


def test_the_median_time_is_that_of_the_kinds_own() -> None:
    assert p50_us(echo(p50=7_000)) == 7_000
    assert p50_us(counted("connect", connect_p50_us=5)) == 5
    assert p50_us(counted("stamp", rtt_p50_us=6)) == 6
    assert p50_us(counted("http", first_byte_us=7)) == 7
    assert p50_us(counted("dns", lookup_p50_us=8)) == 8
    assert p50_us(interface()) is None


def test_the_95th_percentile_is_of_kinds_that_have_one() -> None:
    assert p95_us(counted("stamp", rtt_p95_us=9)) == 9
    assert p95_us(counted("dns", lookup_max_us=8)) is None
    assert max_us(counted("dns", lookup_max_us=8)) == 8
    assert max_us(interface()) is None
