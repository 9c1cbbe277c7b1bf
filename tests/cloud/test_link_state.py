"""The states of links: as the agent tells up from down, degraded with hysteresis, once per change."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud import link_state, link_witness
from cloud.link_state import Machine, State
from cloud.link_witness import Witness
from edge_agent.contract import Outcome, Reading, not_measured, row
from edge_agent.link_state import LinkState
from tests.cloud.records import NOW, denied, echo, interface


def verdict(up: int | None) -> Reading:
    return Reading("a.b", "state", NOW, row("state", up=up, was_up=None, lasted_s=None, rounds=3))


def connect(connected: int = 1, refused: int = 0) -> Reading:
    values = row("connect", sent=1, connected=connected, refused=refused, timed_out=1 - connected - refused)
    return Reading("a.b", "connect", NOW, values)


def states(*readings: Reading, machine: Machine | None = None) -> list[State]:
    """The changes that readings make."""
    machine = machine or Machine()
    return [after for reading in readings if (after := machine.take_in(reading)) is not None]


GOOD, BAD, ODD = echo(), echo(received=0), echo(received=4)
ROUNDS = st.one_of(
    st.builds(echo, sent=st.sampled_from([0, 1, 5, 20]), received=st.sampled_from([0, 0, 1, 5])),
    st.builds(connect, connected=st.sampled_from([0, 0, 1])),
    st.builds(interface, up=st.sampled_from([0, 1, 1])),
    st.just(denied()),
    st.sampled_from([Outcome.NO_INTERFACE, Outcome.FAILED]).map(
        lambda outcome: not_measured("a.b", "interface", NOW, outcome)
    ),
)


@settings(max_examples=400)
@given(st.lists(ROUNDS, max_size=40))
def test_up_and_down_are_told_as_the_agent_tells_them(rounds: list[Reading]) -> None:
    machine, agent = Machine(), LinkState(far_end_probed=False)
    for number, reading in enumerate(rounds):
        machine.take_in(reading)
        agent.take_in(reading)
        ours = None if machine.state is State.UNKNOWN else machine.state is not State.DOWN
        assert ours == agent.up, f"after {number + 1} rounds"


def test_two_answered_rounds_make_a_link_up_and_three_unanswered_ones_down() -> None:
    assert states(GOOD, GOOD, BAD, BAD) == [State.UP]
    assert states(GOOD, GOOD, BAD, BAD, BAD, GOOD, GOOD) == [State.UP, State.DOWN, State.UP]


def test_an_interface_that_goes_down_takes_its_link_down_at_once() -> None:
    assert states(GOOD, GOOD, interface(up=0)) == [State.UP, State.DOWN]


def test_the_agents_own_verdict_is_taken_at_once_and_is_not_gainsaid() -> None:
    machine = Machine()
    assert states(GOOD, GOOD, verdict(0), machine=machine) == [State.UP, State.DOWN]
    assert states(BAD, BAD, BAD, verdict(0), machine=machine) == []
    assert states(verdict(1), GOOD, GOOD, machine=machine) == [State.UP]
    assert states(verdict(None), machine=machine) == []


def test_loss_of_two_per_cent_makes_a_link_degraded_until_it_is_under_one() -> None:
    machine = Machine()
    assert states(*[GOOD] * 30, machine=machine) == [State.UP]
    assert states(ODD, ODD, machine=machine) == []
    assert states(ODD, ODD, machine=machine) == [State.DEGRADED]
    changes = [(number, each) for number in range(100) for each in states(GOOD, machine=machine)]
    assert [each for _, each in changes] == [State.UP]
    assert changes[0][0] > 15  # a round without loss is not yet a good link


def test_a_loss_around_one_threshold_changes_nothing_again_and_again() -> None:
    machine = Machine()
    found = states(*[GOOD] * 30, *([ODD] * 2 + [GOOD] * 15) * 30, machine=machine)
    assert found.count(State.DEGRADED) <= 1


def test_a_few_packets_are_no_evidence_of_loss() -> None:
    assert states(GOOD, ODD, GOOD, GOOD, GOOD) == [State.UP]


def test_a_link_that_comes_back_is_up_and_not_degraded_by_its_outage() -> None:
    assert states(*[GOOD] * 30, *[BAD] * 9, *[GOOD] * 30) == [State.UP, State.DOWN, State.UP]


def test_a_round_without_an_answer_is_loss_once_there_is_an_answer_again() -> None:
    assert states(*[GOOD] * 30, BAD) == [State.UP]
    assert states(*[GOOD] * 30, BAD, GOOD) == [State.UP, State.DEGRADED]


def test_a_reply_that_is_late_for_its_round_is_no_loss_in_the_end() -> None:
    late = replace(GOOD, values=(5, 4, 2, *GOOD.values[3:]))
    machine = Machine()
    states(*[GOOD] * 30, *[ODD, late] * 20, machine=machine)
    assert machine.state is State.UP


def test_what_measures_nothing_says_nothing() -> None:
    assert states(*[denied()] * 9) == []
    assert states(GOOD, GOOD, *[denied()] * 9) == [State.UP]


WITNESSES = st.builds(
    Witness,
    st.sampled_from([None, True, False]),
    st.integers(0, link_witness.UP_ROUNDS),
    st.integers(0, link_witness.DOWN_ROUNDS),
    st.integers(0, link_witness.SILENT_ROUNDS),
    st.integers(0, link_witness.DOWN_PACKETS),
    st.integers(0, link_witness.WHOLE),
    st.integers(0, link_witness.WINDOW),
)


@given(WITNESSES)
def test_a_witness_comes_back_from_its_code(witness: Witness) -> None:
    code = link_witness.encode(witness)
    assert code < 4_464
    assert link_witness.decode(code, witness.loss, witness.weight) == witness


@given(st.lists(ROUNDS, max_size=30), st.integers(0, 30))
def test_a_machine_goes_on_where_it_was_kept(rounds: list[Reading], at: int) -> None:
    whole, first = Machine(), Machine()
    expected = states(*rounds, machine=whole)
    found = states(*rounds[:at], machine=first)
    kept = {
        kind: link_witness.decode(link_witness.encode(each), each.loss, each.weight)
        for kind, each in first.witnesses.items()
    }
    second = Machine(first.state, first.interface_fell, kept)
    assert found + states(*rounds[at:], machine=second) == expected


@given(
    st.lists(st.tuples(st.integers(1, 300), st.integers(0, 299)), max_size=8),
    st.sampled_from([State.UP, State.DEGRADED]),
    st.integers(0, link_witness.WHOLE),
    st.integers(0, link_witness.WINDOW),
)
def test_answered_rounds_that_are_followed_by_their_columns_do_what_the_machine_does(
    rounds: list[tuple[int, int]], state: State, loss: int, weight: int
) -> None:
    rounds = [(sent, min(lost, sent - 1)) for sent, lost in rounds]
    witness = link_witness.decode(link_witness.STEADY, loss, weight)
    machine = Machine(state, witnesses={"echo": witness})
    readings = [echo(sent=sent, received=sent - lost) for sent, lost in rounds]
    expected = [
        (index, after) for index, each in enumerate(readings) if (after := machine.take_in(each)) is not None
    ]
    found = (
        link_state.follow(state, loss, weight, *zip(*rounds, strict=True)) if rounds else (loss, weight, [])
    )
    assert found == (witness.loss, witness.weight, expected)
    assert link_witness.encode(witness) == link_witness.STEADY


@given(st.lists(st.integers(1, 300), max_size=8), st.integers(0, 50_000), st.integers(0, 150))
def test_a_mean_settles_over_rounds_without_loss_as_round_by_round(
    sent: list[int], loss: int, weight: int
) -> None:
    expected = loss, weight
    for packets in sent:
        expected = link_witness.mean(*expected, packets, 0)
    assert link_witness.settle(loss, weight, tuple(sent)) == expected


def test_a_round_that_nobody_answered_is_not_followed_by_its_columns() -> None:
    assert link_state.follow(State.UP, 0, 150, [5, 5], [0, 5]) is None
    assert link_state.follow(State.UP, 0, 150, [0], [-1]) is None


@pytest.mark.parametrize("kind", ["http", "dns", "host"])
def test_other_kinds_say_nothing_of_the_link(kind: str) -> None:
    assert states(*[not_measured("a.b", kind, NOW, Outcome.FAILED)] * 5) == []
