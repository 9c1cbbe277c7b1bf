"""Some of `make chaos` in every test run; and that it would notice if the agent were broken."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from edge_agent.contract import Loss, decode, encode
from edge_agent.publisher import PublishError
from edge_agent.spool import Sealed
from edge_agent.taken import Taken
from tests.chaos.__main__ import kind_of, one
from tests.chaos.gateway import WatchedSpool
from tests.chaos.network import SimulatedPublisher
from tests.chaos.plan import KINDS, Ending, Plan
from tests.chaos.power_cut_disk import PowerCutDisk
from tests.chaos.process_trial import PROCESS_KINDS
from tests.chaos.trial import Parts, run_trial

SEED = 20
TRIALS = 200
MANY = 25
"""Trials in which a fault that was planted must show at least once."""
PROCESSES = ("agent: kill -9", "agent: network", "agent: bit flips")


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_lost_or_doubled_whatever_goes_wrong(kind: str) -> None:
    each = TRIALS // len(KINDS)
    outcomes = [one(SEED, number, kind) for number in range(each)]
    assert [(outcome.number, outcome.verdict.violations) for outcome in outcomes if not outcome.is_good] == []
    assert sum(outcome.verdict.delivered for outcome in outcomes) > 0


@pytest.mark.parametrize("kind", PROCESSES)
def test_the_real_agent_loses_nothing_either(kind: str) -> None:
    outcome = one(SEED, list(PROCESS_KINDS).index(kind), kind)
    if outcome.skipped:
        pytest.skip(outcome.skipped)
    assert outcome.verdict.violations == []
    assert outcome.verdict.delivered > 0


def test_a_power_cut_at_every_call_to_the_disk_loses_nothing() -> None:
    """Every one of a short history: start, commits, seals, acknowledgements, the next start."""
    plan = Plan(
        "every call", lives=1, endings=(Ending.POWER,), life_s=(45.0, 45.0), commit_s=10.0, flush_s=20.0
    )
    plan = replace(plan, max_bytes=1 << 17, alarms=False)
    for call in range(1, 400):
        disks: list[PowerCutDisk] = []

        def keep(*arguments: Any, disks: list[PowerCutDisk] = disks) -> PowerCutDisk:
            disks.append(PowerCutDisk(*arguments))
            return disks[-1]

        verdict = run_trial(replace(plan, last_call=call, in_call=1.0), random.Random(call), Parts(disk=keep))
        assert verdict.violations == [], call
        if disks[0].calls < call:
            return
    pytest.fail("the history has no end")


def test_the_same_trial_runs_the_same_again() -> None:
    for kind in KINDS:
        first, second = one(SEED, 3, kind), one(SEED, 3, kind)
        assert first.verdict == second.verdict


def test_every_kind_of_fault_has_its_turn() -> None:
    assert {kind_of(number) for number in range(1000)} == {*KINDS, *PROCESS_KINDS}


# --- faults planted on purpose --------------------------------------------------------------------


def is_found(what: str, kind: str, parts: Parts, trials: int = MANY) -> bool:
    """Whether the judgement says this of a broken agent, in one of so many trials."""
    for seed in range(trials):
        rng = random.Random(seed)
        verdict = run_trial(KINDS[kind](rng), rng, parts)
        if any(what in violation for violation in verdict.violations):
            return True
    return False


class NeverSyncs(PowerCutDisk):
    """Says that all is durable."""

    def sync(self, name: str) -> None:
        """Do nothing."""

    def sync_folder(self) -> None:
        """Do nothing."""


class KeepsTwice(WatchedSpool):
    """Retries what was done already."""

    def append(self, readings: Sequence[Taken]) -> None:
        """Append them, and once more."""
        super().append(readings)
        super().append(readings)


class SealsAnew(WatchedSpool):
    """Makes a batch again each time that it is asked for, as of now."""

    asked = 0

    def pending(self, limit: int, newest_first: bool = False) -> list[Sealed]:
        """The batches, with another time each time."""
        type(self).asked += 1
        return [
            replace(each, payload=_sealed_at(each.payload, self.asked))
            for each in super().pending(limit, newest_first)
        ]


def _sealed_at(payload: bytes, moment: int) -> bytes:
    batch = decode(payload)
    return encode(replace(batch, sealed_ms=batch.sealed_ms + moment))


class KeepsGapsToItself(WatchedSpool):
    """Does not tell what is missing."""

    def pending(self, limit: int, newest_first: bool = False) -> list[Sealed]:
        """The batches, without those that say what is missing."""
        batches = super().pending(limit, newest_first)
        told = [
            each
            for each in batches
            if any(reading.kind == "gap" for reading in decode(each.payload).readings)
        ]
        for each in told:
            self.ack(each.first_sequence)
        return [each for each in batches if each not in told] or (
            self.pending(limit, newest_first) if told else []
        )


class BelievesTooSoon(SimulatedPublisher):
    """Takes a publish that nobody answered for one that arrived."""

    async def publish(self, topic: str, payload: bytes) -> None:
        """Publish; all is well."""
        try:
            await super().publish(topic, payload)
        except PublishError:
            return


def test_a_spool_that_does_not_sync_is_caught() -> None:
    assert is_found("lost", "power cut", Parts(disk=NeverSyncs))


def test_a_spool_that_keeps_readings_twice_is_caught() -> None:
    assert is_found("doubled", "power cut", Parts(spool=KeepsTwice), 3)


def test_a_batch_that_is_sealed_anew_when_it_is_sent_again_is_caught() -> None:
    assert is_found("the same key with other bytes", "network", Parts(spool=SealsAnew))


def test_a_gap_that_is_not_told_is_caught() -> None:
    assert is_found("neither delivered nor told", "spool full", Parts(spool=KeepsGapsToItself), 6)


def test_an_uplink_that_believes_too_soon_is_caught() -> None:
    assert is_found("lost", "network", Parts(publisher=BelievesTooSoon))


def test_a_time_that_is_flagged_as_known_and_wrong_is_caught() -> None:
    class Credulous(WatchedSpool):
        def append(self, readings: Sequence[Taken]) -> None:
            super().append([Taken(replace(each.reading, flags=each.reading.flags | 4)) for each in readings])

    assert is_found("flagged as known", "clock", Parts(spool=Credulous))


def test_every_reason_to_lose_readings_is_known_to_some_kind() -> None:
    rng = random.Random(0)
    reasons = set().union(*(draw(rng).allowed for draw in KINDS.values()))
    assert reasons == {Loss.FULL, Loss.THINNED, Loss.DAMAGED, Loss.REFUSED}
