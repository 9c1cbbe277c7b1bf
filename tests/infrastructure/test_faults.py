"""Faults on request: the dice, the fates of invocations, a stream that misbehaves, and the command line."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from infrastructure.local.faults import DEFAULT_RATES, MEANING, Dice, Fault, FaultError, FaultPlan, injected
from infrastructure.local.faults_function import Fates, FaultyFunction
from infrastructure.local.faults_stream import FaultyStream
from infrastructure.local.function.invocation import NotInvokedError, Outcome, Result
from infrastructure.local.state import Counters
from tests.infrastructure.parts import LocalCloud, eventually

NEVER = dict.fromkeys(Fault, 0.0)


def dice(counters: Counters | None = None, seed: int = 1, **rates: float) -> Dice:
    """Dice with these rates and no other fault."""
    given = {Fault(name.replace("_", "-")): rate for name, rate in rates.items()}
    return Dice(FaultPlan(seed, NEVER | given), counters or Counters())


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


# The stream


class Stream:
    """Takes every record, or nothing while it is gone."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.gone = 0

    def put_records(self, StreamName: str, Records: list[dict[str, Any]]) -> dict[str, Any]:
        if self.gone:
            self.gone -= 1
            raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")
        self.taken += [record["Data"] for record in Records]
        return {"Records": [{"SequenceNumber": "1"} for _ in Records], "FailedRecordCount": 0}


def put(faulty: FaultyStream, *texts: str) -> dict[str, Any]:
    records = [{"Data": text.encode(), "PartitionKey": "k"} for text in texts]
    return faulty.put_records(StreamName="s", Records=records)


def faulty_stream(stream: Any, thrown: Dice, latest_s: float = 60.0) -> FaultyStream:
    made = FaultyStream(stream, thrown, latest_s)
    made.start()
    return made


def test_records_that_are_held_back_or_doubled_all_arrive_before_it_ends() -> None:
    """Nothing is lost, what is doubled comes at least once more, and the order is another one."""
    stream, counters = Stream(), Counters()
    faulty = faulty_stream(stream, dice(counters, record_twice=0.2, record_late=0.3, records_shuffled=0.5))
    texts = [f"{number:03d}" for number in range(300)]
    for at in range(0, 300, 10):
        answer = put(faulty, *texts[at : at + 10])
        assert (answer["FailedRecordCount"], len(answer["Records"])) == (0, 10)
    assert faulty.held > 0
    faulty.stop()
    counts = counters.snapshot()
    assert {each.decode() for each in stream.taken} == set(texts)
    assert len(stream.taken) == 300 + counts["fault.record-twice"]
    assert stream.taken != sorted(stream.taken)
    assert (faulty.held, faulty.failure()) == (0, "")


def test_what_is_held_back_arrives_by_itself() -> None:
    """Also when the stream cannot be reached at first."""
    stream = Stream()
    stream.gone = 2
    faulty = faulty_stream(stream, dice(record_late=1.0), 0.05)
    put(faulty, "one")
    eventually(lambda: stream.taken == [b"one"])
    faulty.stop()


def test_records_that_are_refused_are_named_in_the_answer() -> None:
    """ "A single record failure does not stop the processing of subsequent records" (API_PutRecords)."""
    stream = Stream()
    faulty = faulty_stream(stream, dice(record_refused=0.5))
    texts = [f"{number}" for number in range(40)]
    answer = put(faulty, *texts)
    faulty.stop()
    refused = [each for each, told in zip(texts, answer["Records"], strict=True) if "ErrorCode" in told]
    assert 0 < len(refused) == answer["FailedRecordCount"] < 40
    assert [each.decode() for each in stream.taken] == [each for each in texts if each not in refused]


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
