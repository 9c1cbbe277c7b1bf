"""Alarms: what is told, and how often."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.alarms import APART_MAX_S, APART_S
from edge_agent.contract import KINDS, Flag, Reading, row
from edge_agent.link_state import ANSWERS, SILENT_ROUNDS, LinkState
from edge_agent.taken import Taken
from tests.edge_agent.alarm_rig import (
    BAD,
    DOWN,
    FIRST_DOWN,
    FIRST_UP,
    GOOD,
    START_MS,
    UP,
    Watched,
    connect,
    echo,
    interface,
    silence,
)

# --- what is told, and how often ------------------------------------------------------------------


def test_the_first_state_is_an_alarm_only_when_it_is_down() -> None:
    up, down = Watched(), Watched()
    up.see(GOOD, GOOD)
    down.see(BAD, BAD, BAD)
    assert (up.states, up.hurries) == ([FIRST_UP], [])
    assert (down.states, down.hurries) == ([FIRST_DOWN], [1])


def test_a_state_has_the_time_and_the_boot_of_the_reading_that_decided_it() -> None:
    watched = Watched()
    flags = Flag.SIMULATED | Flag.KERNEL_SENT
    for turn in range(3):
        reading = Reading("a", "echo", turn, BAD.values, flags)
        watched.alarms.watch(Taken(reading, "boot 7", 1_000 * turn))
    (told,) = watched.told
    values = row("state", up=0, rounds=3)
    assert told == Taken(Reading("a", "state", 2, values, Flag.SIMULATED), "boot 7", 2_000)


def test_a_state_says_how_long_the_one_before_lasted_and_how_many_rounds_say_so() -> None:
    watched = Watched()
    watched.see(*[GOOD] * 100, BAD, BAD, BAD)
    assert watched.told[-1].reading.values == row("state", up=0, was_up=1, lasted_s=1_010, rounds=3)


def test_links_have_nothing_to_do_with_each_other() -> None:
    watched = Watched(("a", "b"))
    watched.see(*[echo(5, "a"), echo(0, "b")] * 4)
    assert watched.alarms.states() == {"a": True, "b": False}
    assert [each.reading.link for each in watched.told] == ["a", "b"]


def test_kinds_that_say_nothing_of_the_link_are_passed_over() -> None:
    watched = Watched()
    for kind in KINDS.keys() - ANSWERS.keys() - {"interface"}:
        watched.see(*[Reading("a", kind, START_MS, (0,) * len(KINDS[kind].columns))] * 5)
    assert (watched.told, watched.alarms.states()) == ([], {})


def test_a_change_that_comes_too_soon_is_told_later_if_it_still_holds() -> None:
    watched = Watched()
    watched.see(GOOD, GOOD, BAD, BAD, BAD, GOOD, GOOD)
    assert watched.states == [FIRST_UP, DOWN], "up after 20 s"
    watched.see(*[GOOD] * 5)
    assert watched.states == [FIRST_UP, DOWN, UP]


def test_a_change_that_is_taken_back_in_time_is_not_told() -> None:
    watched = Watched()
    watched.see(GOOD, GOOD, BAD, BAD, BAD, GOOD, GOOD, *[BAD] * 60)
    assert watched.states == [FIRST_UP, DOWN]


def test_a_flapping_link_is_told_ever_less_often_until_it_is_calm() -> None:
    watched = Watched()
    watched.see(*[*[BAD] * 3, *[GOOD] * 3] * 240)  # 4 h
    assert len(watched.hurries) <= 6 + 4 * 3_600 / APART_MAX_S
    watched.see(*[GOOD] * 500)
    assert watched.states[-1] == UP
    before = len(watched.told)
    watched.see(*[BAD] * 3, *[GOOD] * 12)
    assert len(watched.told) == before + 2, "calm for so long: told at once and after a minute again"


def test_a_restart_tells_of_a_link_that_was_repaired_by_it_and_alarms_nobody() -> None:
    before, after = Watched(), Watched()
    before.see(BAD, BAD, BAD)
    after.see(GOOD, GOOD)
    assert (after.states, after.hurries) == ([FIRST_UP], [])


# --- whatever happens -----------------------------------------------------------------------------


ROUNDS = st.sampled_from(
    [GOOD, BAD, silence(), connect(3), connect(0), interface(0), interface(1), silence("interface")]
)


@given(st.lists(st.tuples(ROUNDS, st.floats(0, 400)), max_size=120))
def test_alarms_are_a_minute_apart_each_a_change_and_the_last_state_is_told_in_the_end(
    rounds: list[tuple[Reading, float]],
) -> None:
    watched = Watched()
    alarms_s: list[float] = []
    for reading, pause_s in rounds:
        before = len(watched.hurries)
        watched.see(reading, every_s=0)
        alarms_s += [watched.clock.monotonic()] * (len(watched.hurries) - before)
        watched.clock.advance(pause_s)
    assert all(later - earlier >= APART_S for earlier, later in pairwise(alarms_s))
    watched.clock.advance(APART_MAX_S)
    watched.see(silence("interface"))
    ups = [up for up, _ in watched.states]
    assert all(earlier != later for earlier, later in pairwise(ups))
    assert [was for _, was in watched.states[1:]] == ups[:-1]
    assert {link: bool(ups[-1]) for link in watched.alarms.states()} == watched.alarms.states()


@given(st.lists(ROUNDS, max_size=40))
def test_a_few_rounds_of_one_mind_settle_the_state_whatever_was_before(rounds: list[Reading]) -> None:
    for last, is_up in ((GOOD, True), (BAD, False)):
        state = LinkState(True)
        for reading in [*rounds, *[silence("connect")] * SILENT_ROUNDS, last, last, last]:
            state.take_in(reading)
        assert state.up is is_up
