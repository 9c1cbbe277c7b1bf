"""Alarms: what makes a link down or up, and how often that is told."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.alarms import APART_MAX_S, APART_S, Alarms
from edge_agent.clock import ManualClock
from edge_agent.contract import KINDS, Flag, Outcome, Reading, not_measured, row
from edge_agent.link_state import ANSWERS, SILENT_ROUNDS, LinkState
from edge_agent.taken import Taken

START_MS = 1_763_000_000_000


class Watched:
    """Alarms over one gateway's readings, and all that they tell."""

    def __init__(self, far_ends: Sequence[str] = ("a",)) -> None:
        self.clock = ManualClock(START_MS)
        self.told: list[Taken] = []
        self.hurries: list[int] = []
        self.alarms = Alarms(
            self.told.append, lambda: self.hurries.append(len(self.told)), self.clock.monotonic, far_ends
        )

    def see(self, *readings: Reading, every_s: float = 10) -> None:
        for reading in readings:
            self.alarms.watch(Taken(reading))
            self.clock.advance(every_s)

    @property
    def states(self) -> list[tuple[int | None, int | None]]:
        return [(each.reading["up"], each.reading["was_up"]) for each in self.told]


def echo(received: int, link: str = "a", sent: int = 5, **others: int) -> Reading:
    return Reading(link, "echo", START_MS, row("echo", sent=sent, received=received, **others))


def connect(connected: int, refused: int = 0) -> Reading:
    values = row("connect", sent=3, connected=connected, refused=refused, timed_out=3 - connected - refused)
    return Reading("a", "connect", START_MS, values)


def interface(up: int, link: str = "a") -> Reading:
    return Reading(link, "interface", START_MS, row("interface", up=up, mtu=1500))


def silence(kind: str = "echo", outcome: Outcome = Outcome.OVER_BUDGET) -> Reading:
    return not_measured("a", kind, START_MS, outcome)


GOOD, BAD = echo(5), echo(0)
UP, DOWN, FIRST_UP, FIRST_DOWN = (1, 0), (0, 1), (1, None), (0, None)


# --- what makes a link down or up -----------------------------------------------------------------


def test_three_rounds_of_total_loss_make_a_link_down_and_two_good_ones_up_again() -> None:
    watched = Watched()
    watched.see(GOOD, GOOD, BAD, BAD)
    assert watched.states == [FIRST_UP]
    watched.see(BAD)
    assert watched.states == [FIRST_UP, DOWN]
    watched.see(BAD, BAD, BAD, BAD, BAD, GOOD)
    assert watched.states == [FIRST_UP, DOWN]
    watched.see(GOOD)
    assert watched.states == [FIRST_UP, DOWN, UP]
    assert watched.hurries == [2, 3]


@pytest.mark.parametrize(
    "answered",
    [echo(1), echo(0, late=1), echo(0, duplicate=1), echo(0, corrupt=1), connect(1), connect(0, refused=1)],
)
def test_any_answer_is_no_total_loss(answered: Reading) -> None:
    watched = Watched()
    watched.see(answered, answered, BAD, BAD, answered, BAD, BAD, answered)
    assert watched.states == [FIRST_UP]
    assert watched.alarms.states() == {"a": True}


@pytest.mark.parametrize("kind", ANSWERS)
def test_every_kind_that_reaches_for_the_far_end_makes_a_link_down(kind: str) -> None:
    lost = Reading("a", kind, START_MS, row(kind, sent=3, **dict.fromkeys(ANSWERS[kind], 0)))
    watched = Watched()
    watched.see(lost, lost, lost)
    assert watched.states == [FIRST_DOWN]


def test_what_is_still_in_flight_is_not_lost() -> None:
    watched = Watched()
    watched.see(GOOD, GOOD, *[echo(0, in_flight=5)] * 10)
    assert watched.states == [FIRST_UP]


@pytest.mark.parametrize("outcome", [each for each in Outcome if each is not Outcome.MEASURED])
def test_what_was_not_measured_says_nothing(outcome: Outcome) -> None:
    watched = Watched()
    watched.see(*[silence(outcome=outcome)] * 10, GOOD, GOOD, *[silence(outcome=outcome)] * 10)
    assert watched.states == [FIRST_UP]


def test_a_silence_in_between_does_not_make_lost_rounds_forgotten() -> None:
    watched = Watched()
    watched.see(GOOD, GOOD, BAD, silence(), BAD, silence(), silence(), BAD)
    assert watched.states == [FIRST_UP, DOWN]


def test_a_link_is_up_while_any_of_its_probes_is_answered() -> None:
    watched = Watched()
    watched.see(GOOD, GOOD, *[connect(0), GOOD] * 10)
    assert watched.states == [FIRST_UP]
    watched.see(*[connect(0), BAD] * 3)
    assert watched.states == [FIRST_UP, DOWN]


def test_a_probe_that_has_fallen_silent_no_longer_speaks_for_the_link() -> None:
    watched = Watched()
    watched.see(GOOD, GOOD, *[silence()] * SILENT_ROUNDS, *[connect(0)] * 3)
    assert watched.states == [FIRST_UP, DOWN]


def test_two_rounds_of_a_metered_link_are_enough() -> None:
    """20 echoes every 5 min: three rounds would take a quarter of an hour."""
    watched = Watched()
    watched.see(echo(20, sent=20), echo(20, sent=20), echo(0, sent=20), echo(0, sent=20), every_s=300)
    assert watched.states == [FIRST_UP, DOWN]


def test_one_round_is_never_enough_however_many_packets_it_has() -> None:
    watched = Watched()
    watched.see(GOOD, GOOD, echo(0, sent=100), GOOD)
    assert watched.states == [FIRST_UP]


# --- the interface --------------------------------------------------------------------------------


@pytest.mark.parametrize("down", [interface(0), silence("interface", Outcome.NO_INTERFACE)])
def test_an_interface_that_goes_down_makes_its_link_down_at_once(down: Reading) -> None:
    watched = Watched()
    watched.see(GOOD, GOOD, interface(1), down)
    assert watched.states == [FIRST_UP, DOWN]


def test_an_interface_that_cannot_be_read_says_nothing() -> None:
    watched = Watched()
    watched.see(GOOD, GOOD, *[silence("interface", Outcome.FAILED)] * 10)
    assert watched.states == [FIRST_UP]


def test_an_interface_that_is_up_does_not_make_a_link_up_whose_far_end_is_not_reached() -> None:
    watched = Watched()
    watched.see(*[interface(1)] * 5, BAD, *[interface(1)] * 5, BAD, BAD, *[interface(1)] * 20)
    assert watched.states == [FIRST_DOWN]


def test_an_interface_alone_decides_where_nothing_probes_the_far_end() -> None:
    watched = Watched(far_ends=())
    watched.see(interface(1), interface(1), interface(0), *[interface(0)] * 6, interface(1), interface(1))
    assert watched.states == [FIRST_UP, DOWN, UP]


def test_after_its_interface_came_back_a_link_is_up_when_the_far_end_answers() -> None:
    watched = Watched()
    watched.see(GOOD, GOOD, interface(0), *[silence()] * 9, interface(1), interface(1), BAD, interface(1))
    assert watched.states == [FIRST_UP, DOWN]
    watched.see(GOOD, GOOD)
    assert watched.states == [FIRST_UP, DOWN, UP]


def test_with_the_budget_spent_an_interface_that_came_back_makes_its_link_up() -> None:
    watched = Watched()
    watched.see(GOOD, GOOD, interface(0), *[silence()] * 9, *[interface(1), silence()] * 4)
    assert watched.states == [FIRST_UP, DOWN, UP]


def test_with_the_budget_spent_an_interface_that_is_up_does_not_revive_a_far_end_that_was_lost() -> None:
    watched = Watched()
    watched.see(GOOD, GOOD, BAD, BAD, BAD, *[silence(), interface(1)] * 10)
    assert watched.states == [FIRST_UP, DOWN]


def test_an_interface_that_came_back_does_not_speak_for_a_far_end_that_was_lost_since() -> None:
    watched = Watched()
    watched.see(GOOD, GOOD, interface(0), BAD, BAD, BAD, *[interface(1), silence()] * 20)
    assert watched.states == [FIRST_UP, DOWN]


def test_an_interface_whose_driver_lies_makes_its_link_down_once() -> None:
    watched = Watched()
    watched.see(GOOD, GOOD, *[interface(0), GOOD, GOOD] * 20)
    assert watched.states == [FIRST_UP, DOWN, UP]


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
