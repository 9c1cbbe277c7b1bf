"""Faults on request: the dice, the fates of invocations, and the command line."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from infrastructure.demo import FAULT_RATES
from infrastructure.local.faults import DEFAULT_RATES, MEANING, Dice, Fault, FaultError, FaultPlan, injected
from infrastructure.local.faults_function import Fates, FaultyFunction
from infrastructure.local.function.invocation import NotInvokedError, Outcome, Result
from infrastructure.local.state import Counters
from tests.infrastructure.faulty import dice
from tests.infrastructure.parts import LocalCloud

# The dice


def test_the_same_seed_gives_the_same_faults_and_another_seed_others() -> None:
    def drawn(seed: int) -> list[bool]:
        thrown = dice(seed=seed, crash=0.3)
        return [thrown.falls(Fault.CRASH) for _ in range(200)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_another_rate_of_one_fault_does_not_move_the_others() -> None:
    def drawn(crash: float) -> list[bool]:
        thrown = dice(crash=crash, throttled=0.3)
        both = [(thrown.falls(Fault.CRASH), thrown.falls(Fault.THROTTLED)) for _ in range(200)]
        return [throttled for _, throttled in both]

    assert drawn(0.0) == drawn(0.9)


def test_faults_come_about_as_often_as_asked_and_are_counted() -> None:
    counters = Counters()
    thrown = dice(counters, throttled=0.25)
    fallen = sum(thrown.falls(Fault.THROTTLED) for _ in range(4_000))
    assert 900 < fallen < 1_100
    assert counters.snapshot() == {"fault.throttled": fallen}
    assert injected(counters.snapshot())[MEANING[Fault.THROTTLED]] == fallen


@pytest.mark.parametrize("rate", [0.01, 0.12, 0.6, 1.0])
def test_a_fault_never_stays_away_for_twice_as_long_as_its_rate_says(rate: float) -> None:
    """A short demo meets each fault for certain, once it has thrown often enough."""
    for seed in range(50):
        thrown, away = dice(seed=seed, crash=rate), 0
        for _ in range(1_000):
            away = 0 if thrown.falls(Fault.CRASH) else away + 1
            assert away <= 2 / rate


def test_rates_are_set_by_name_or_for_all() -> None:
    plan = FaultPlan.parse(7, ["all=0", "crash=0.5"])
    assert {fault for fault, rate in plan.rates.items() if rate} == {Fault.CRASH}
    assert FaultPlan.parse(7, []).rates == DEFAULT_RATES
    assert set(DEFAULT_RATES) == set(MEANING) == set(Fault)


@pytest.mark.parametrize("text", ["crash", "crash=", "crash=1.5", "crash=-1", "crash=nan", "crush=0.1", "=1"])
def test_a_rate_that_cannot_be_understood_is_refused(text: str) -> None:
    with pytest.raises(FaultError):
        FaultPlan.parse(1, [text])


# Fates of invocations


def test_an_invocation_ends_before_or_after_any_of_its_calls_or_before_its_answer() -> None:
    """Over many invocations of three calls each of the seven moments is hit, each invocation once at most."""
    counters = Counters()
    fates, moments = Fates(dice(counters, crash=1.0)), Counter[str]()
    for number in range(600):
        request = f"request-{number}"
        for call in range(3):
            if blow := fates.call(request):
                moments[f"{'after' if blow.after else 'before'} {call}"] += 1
                assert fates.call(request) is None
                break
        else:
            assert fates.end(request, True) is Outcome.CRASHED
            moments["answer"] += 1
            continue
        assert fates.end(request, False) is None
    assert set(moments) == {f"{when} {call}" for when in ("before", "after") for call in range(3)} | {
        "answer"
    }
    assert counters.snapshot()["fault.crash"] == 600


def test_an_invocation_that_failed_by_itself_is_not_ended_once_more() -> None:
    counters = Counters()
    fates = Fates(dice(counters, timeout=1.0))
    while fates.call("request"):
        pass  # this one is struck at its first call
    assert fates.end("request", False) is None
    fates.call("other")
    assert fates.end("unknown", True) is None  # it has called nothing
    assert counters.snapshot().get("fault.timeout", 0) <= 2


def test_the_demo_kills_and_times_out_within_its_first_dozens_of_invocations() -> None:
    """A demo of a minute has some 50; each of these has ten calls, and one in ten fails by itself."""
    for seed in range(50):
        counters = Counters()
        fates = Fates(Dice(FaultPlan(seed, FAULT_RATES), counters))
        for number in range(30):
            ended = any(fates.call(f"{number}") for _ in range(10))
            fates.end(f"{number}", succeeded=not ended and number % 10 != 0)
        counts = counters.snapshot()
        assert counts["fault.crash"]
        assert counts["fault.timeout"]
        assert counts["fault.timeout"] + counts["fault.crash"] <= 30


def test_calls_that_arrive_after_their_invocation_has_ended_meet_no_fault_and_count_for_none() -> None:
    """A killed function may have several calls on their way."""
    counters = Counters()
    fates = Fates(dice(counters, crash=1.0))
    while not fates.call("request"):
        pass
    fates.end("request", False)
    assert not any(fates.call("request") for _ in range(20))
    assert counters.snapshot() == {"fault.crash": 1}


def test_how_many_calls_an_invocation_makes_does_not_change_which_ones_end() -> None:
    def struck(calls: int) -> list[bool]:
        fates = Fates(dice(timeout=0.3))
        found = []
        for number in range(40):
            ended = bool([blow for _ in range(calls) if (blow := fates.call(f"{number}"))])
            found.append(bool(fates.end(f"{number}", not ended)) or ended)
        return found

    assert struck(1) == struck(9)
    assert any(struck(1))


class Notes:
    """A function that notes its events."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def invoke(self, event: Any) -> Result:
        self.events.append(event["n"])
        return Result(Outcome.SUCCESS, str(event["n"]))


def test_a_batch_is_handed_over_again_after_later_ones() -> None:
    """ "duplicate processing of records can occur" (invocation-eventsourcemapping); the mapping's result is
    that of its own batch."""
    notes = Notes()
    function = FaultyFunction(notes, dice(invocation_repeated=0.5))
    results = [function.invoke({"n": n}).request_id for n in range(100)]
    assert results == [str(n) for n in range(100)]
    assert set(notes.events) == set(range(100))
    assert 120 < len(notes.events) < 180
    assert any(later < earlier for earlier, later in zip(notes.events, notes.events[1:], strict=False))


def test_a_throttled_invocation_does_not_reach_the_function() -> None:
    notes = Notes()
    with pytest.raises(NotInvokedError):
        FaultyFunction(notes, dice(invocation_refused=1.0)).invoke({"n": 1})
    assert notes.events == []


# The command line


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--fault-rate", "crash=1"), "local-cloud: --fault-rate needs --faults SEED"),
        (("--faults", "1", "--fault-rate", "crash=2"), "'crash=2' is not NAME=RATE with a rate from 0 to 1"),
        (("--faults", "one"), "'one' is not a whole number"),
    ],
)
def test_faults_that_cannot_be_had_are_refused_in_one_line(
    stopped_cloud: LocalCloud, options: tuple[str, ...], said: str
) -> None:
    up = stopped_cloud.run("up", *options)
    assert up.returncode in (1, 2)
    assert up.stderr.strip().splitlines()[-1].endswith(said)
