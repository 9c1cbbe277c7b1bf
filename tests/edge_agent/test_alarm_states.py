"""Alarms: what makes a link or its interface down or up."""

from __future__ import annotations

import pytest

from edge_agent.contract import Outcome, Reading, row
from edge_agent.link_state import ANSWERS, SILENT_ROUNDS
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
