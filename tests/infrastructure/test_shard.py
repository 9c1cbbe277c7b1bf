"""The threads of a shard, fed by a shard in memory: order, checkpoint, an engine that goes away, stopping.

A page named in brackets is https://docs.aws.amazon.com/lambda/latest/dg/<name>.html.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from infrastructure.local.function.invocation import NotInvokedError, Result
from infrastructure.local.mapping.lane import lane_of
from infrastructure.local.mapping.retry import Rules
from tests.infrastructure.shard_bench import PATIENCE_S, Bench, Recorder, Shelf, until


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    if made.poller:
        made.poller.ask_to_stop()
        assert made.poller.join(PATIENCE_S)


def test_every_record_is_handed_over_in_order_and_counted(bench: Bench) -> None:
    """One lane keeps the order of the shard over many batches; the checkpoint ends at the last record."""
    function = Recorder()
    for number in range(95):
        bench.shard.put(f"key-{number}", str(number))
    bench.start(function)
    until(lambda: bench.progress.checkpoint == "95")
    assert function.seen == [str(number) for number in range(95)]
    assert all(len(batch) <= 10 for batch in function.batches)
    counts = bench.counters.snapshot()
    assert (counts["stream.read"], counts["mapping.records"]) == (95, 95)
    assert counts["mapping.invocations"] == len(function.batches)
    assert "mapping.retries" not in counts


def test_lanes_run_at_the_same_time_and_keep_the_order_of_each_key(bench: Bench) -> None:
    """ "Lambda can process up to 10 batches in each shard simultaneously … still ensures in-order processing
    at the partition-key level" (with-kinesis): a key that blocks does not hold up another
    lane, only the checkpoint."""
    gate = threading.Event()

    def answer(data: list[str]) -> None:
        if any(each.startswith("a") for each in data):
            assert gate.wait(PATIENCE_S)

    function = Recorder(answer)
    keys = [next(f"gw-{n}" for n in range(100) if lane_of(f"gw-{n}", 2) == lane) for lane in (0, 1)]
    for number in range(30):
        bench.shard.put(keys[number % 2], f"{'ab'[number % 2]}{number:02d}")
    bench.start(function, lanes=2)
    until(lambda: sum(each.startswith("b") for each in function.seen) == 15)
    assert bench.progress.checkpoint is None  # record 1 is an a
    gate.set()
    until(lambda: bench.progress.checkpoint == "30")
    for key in "ab":
        mine = [each for each in function.seen if each.startswith(key)]
        assert mine == sorted(mine)


def test_a_partial_failure_is_sent_again_from_the_failed_record(bench: Bench) -> None:
    """Records before the reported one are acknowledged once, the others come again until they pass."""
    left = {"4": 2}

    def answer(data: list[str]) -> dict[str, Any]:
        for each in data:
            if left.get(each, 0):
                left[each] -= 1
                return {"batchItemFailures": [{"itemIdentifier": str(int(each) + 1)}]}
        return {"batchItemFailures": []}

    function = Recorder(answer)
    for number in range(8):
        bench.shard.put("key", str(number))
    bench.start(function, size=8, rules=Rules(True, False))
    until(lambda: bench.progress.checkpoint == "8")
    everything, rest = [str(n) for n in range(8)], [str(n) for n in range(4, 8)]
    assert function.batches == [everything, rest, rest]
    counts = bench.counters.snapshot()
    assert (counts["mapping.records"], counts["mapping.retries"]) == (8, 2)


def test_a_poison_record_reaches_the_destination_and_the_rest_passes(bench: Bench) -> None:
    """Bisected, retried and given up: only the bad record is discarded, and nothing behind it is held up."""
    function = Recorder(lambda data: ValueError() if "3" in data else None)
    for number in range(10):
        bench.shard.put("key", str(number))
    bench.start(function, rules=Rules(True, True, maximum_retry_attempts=2))
    until(lambda: bench.progress.checkpoint == "10")
    (discard,) = bench.shelf.discards
    assert [each.data for each in discard.records] == [b"3"]
    assert discard.invocations == 3
    counts = bench.counters.snapshot()
    assert (counts["mapping.records"], counts["mapping.discarded"]) == (9, 1)


def test_an_engine_that_goes_away_is_waited_for_and_logged_once(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """However long it is gone, there is one line for that and one for its return, and no record is missed."""
    caplog.set_level(logging.INFO, "infrastructure.local.mapping.shard")
    function = Recorder()
    bench.shard.gone = True
    poller = bench.start(function)
    until(lambda: len(caplog.records) == 1)
    bench.shard.put("key", "late")
    time.sleep(0.5)  # several attempts
    bench.shard.gone = False
    until(lambda: function.seen == ["late"])
    assert poller.alive
    assert [each.getMessage() for each in caplog.records] == [
        "shard-0 cannot be read, trying again: the engine is gone",
        "shard-0 can be read again",
    ]


def test_a_function_that_cannot_be_reached_is_tried_again(bench: Bench) -> None:
    """ "If a Lambda event source mapping is unable to invoke the function due to throttling or other issues,
    it retries" (kinesis-on-failure-destination): with no retries allowed for errors of the function,
    nothing is lost."""

    class Unreachable(Recorder):
        refusals = 3

        def invoke(self, event: Mapping[str, Any]) -> Result:
            if self.refusals:
                self.refusals -= 1
                raise NotInvokedError("no worker")
            return super().invoke(event)

    function = Unreachable()
    bench.shard.put("key", "one")
    bench.start(function, rules=Rules(True, True, maximum_retry_attempts=0))
    until(lambda: bench.progress.checkpoint == "1")
    assert (function.seen, bench.shelf.discards) == (["one"], [])
    assert bench.counters.snapshot()["mapping.invocations"] == 1


def test_a_destination_that_refuses_is_tried_again(bench: Bench) -> None:
    """A discard is kept once the destination answers."""
    bench.shelf = Shelf(refusals=2)
    bench.shard.put("key", "bad")
    bench.start(Recorder(lambda _: ValueError()), rules=Rules(True, True, maximum_retry_attempts=0))
    until(lambda: bench.progress.checkpoint == "1")
    assert len(bench.shelf.discards) == 1


def test_a_lost_discard_is_an_error_in_the_log(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """What could be kept nowhere is named with its first sequence number, and the shard goes on."""
    bench.shelf = Shelf(refusals=1_000)
    bench.shard.put("key", "bad")
    bench.start(Recorder(lambda _: ValueError()), rules=Rules(True, True, maximum_retry_attempts=0))
    until(lambda: bench.progress.checkpoint == "1")
    (line,) = [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]
    assert line == "shard-0: 1 records from 1 given up (RetryAttemptsExhausted) and NOT kept: bucket is full"


def test_stopping_lets_the_invocation_under_way_finish(bench: Bench) -> None:
    """The batch in the function's hands is acknowledged, and no other one is begun."""
    inside, gate = threading.Event(), threading.Event()

    def answer(_: list[str]) -> None:
        inside.set()
        assert gate.wait(PATIENCE_S)

    function = Recorder(answer)
    for number in range(5):
        bench.shard.put("key", str(number))
    poller = bench.start(function, size=2)
    assert inside.wait(PATIENCE_S)
    poller.ask_to_stop()
    assert not poller.join(0.05)
    gate.set()
    assert poller.join(PATIENCE_S)
    assert (function.batches, bench.progress.checkpoint) == ([["0", "1"]], "2")


def test_a_blocked_lane_does_not_fill_the_memory(bench: Bench) -> None:
    """No more than two batches a lane wait; the rest stays in the stream."""
    gate = threading.Event()
    function = Recorder(lambda _: gate.wait(PATIENCE_S) and None)
    for number in range(200):
        bench.shard.put("key", str(number))
    poller = bench.start(function, size=10)
    until(lambda: bench.counters.snapshot().get("stream.read", 0) >= 30)
    time.sleep(0.4)  # more than two polls
    assert bench.counters.snapshot()["stream.read"] == 30  # one batch in hand, two waiting
    assert poller.outstanding == 30
    gate.set()
    until(lambda: bench.progress.checkpoint == "200")


def test_the_iterator_age_grows_while_a_batch_is_stuck(bench: Bench) -> None:
    """The age is that of the last record in hand, and 0 when all is done."""
    gate = threading.Event()
    bench.shard.put("key", "one")
    poller = bench.start(Recorder(lambda _: gate.wait(PATIENCE_S) and None))
    until(lambda: poller.iterator_age_ms() > 100)
    gate.set()
    until(lambda: poller.iterator_age_ms() == 0)


def test_a_closed_shard_is_finished_when_its_last_record_is_completed(bench: Bench) -> None:
    """ "When getNextShardIterator returns null, it indicates that you have read all the data in the parent
    shard" (https://docs.aws.amazon.com/streams/latest/dev/kinesis-using-sdk-java-after-resharding.html): read
    is not processed, and a poller that has finished is no fault."""
    gate = threading.Event()
    bench.shard.put("key", "one")
    bench.shard.closed = True
    poller = bench.start(Recorder(lambda _: gate.wait(PATIENCE_S) and None))
    until(lambda: poller.outstanding == 1)
    assert not poller.finished
    gate.set()
    until(lambda: poller.finished)
    assert poller.join(PATIENCE_S)
    assert poller.alive
    assert bench.progress.checkpoint == "1"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_of_our_own_is_visible_as_a_poller_that_is_not_alive(bench: Bench) -> None:
    """A thread that ended by mistake is reported, rather than a lane that is silent for ever."""

    class Faulty:
        def invoke(self, event: Mapping[str, Any]) -> Result:
            raise AssertionError("a fault")

    poller = bench.start(Faulty())
    assert poller.alive
    bench.shard.put("key", "one")
    until(lambda: not poller.alive)
