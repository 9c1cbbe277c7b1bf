"""When a batch is due and what a lane does next; each test quotes the statement that it checks.

A page named in brackets is https://docs.aws.amazon.com/lambda/latest/dg/<name>.html.
"""

from __future__ import annotations

import json

from infrastructure.local.function.invocation import Outcome, Result
from infrastructure.local.mapping.lane import PAYLOAD_LIMIT, Batching, Lane, Send, Wait, lane_of
from infrastructure.local.mapping.progress import Progress
from infrastructure.local.mapping.retry import Backoff, Batch, Condition, Discard, Rules
from infrastructure.local.mapping.stream import Origin, Record, event, event_sizer

SUCCESS = Result(Outcome.SUCCESS, "request")
ERROR = Result(Outcome.ERROR, "request", error_type="ValueError")
NEVER = Backoff(0.0, 0.0)


def record(number: int, arrival_ms: int = 0) -> Record:
    return Record("shardId-000000000000", str(number), f"key-{number}", b"data", arrival_ms)


def lane(
    size: int = 100,
    window_s: float = 0.0,
    rules: Rules | None = None,
    backoff: Backoff = NEVER,
    payload_bytes: int = PAYLOAD_LIMIT,
) -> Lane:
    batching = Batching(size, window_s, payload_bytes)
    return Lane(batching, rules or Rules(True, True), backoff, lambda _: 1_000, now_s=0.0)


def filled(target: Lane, *numbers: int, now_s: float = 0.0) -> Lane:
    for number in numbers:
        target.offer(record(number), now_s)
    return target


def sent(target: Lane, now_s: float, wall_ms: int = 0) -> Batch:
    step = target.next(wall_ms, now_s)
    assert isinstance(step, Send), step
    return step.batch


def numbers(batch: Batch | Discard) -> list[int]:
    return [int(each.sequence_number) for each in batch.records]


def test_without_a_window_a_batch_is_due_at_once() -> None:
    """ "The default batching window is 0 seconds. This means that Lambda sends batches to your function as
    quickly as possible." (invocation-eventsourcemapping)"""
    assert numbers(sent(filled(lane(), 1), 0.0)) == [1]


def test_an_empty_lane_waits_for_a_record() -> None:
    """Without records there is no invocation, however long the window has passed."""
    assert lane(window_s=5.0).next(0, 60.0) == Wait(None)


def test_a_batch_is_due_when_the_window_ends() -> None:
    """ "Lambda continues to read records from the event source until it has gathered a full batch, the
    batching window expires, or the batch reaches the payload limit of 6 MB." (with-kinesis)"""
    target = filled(lane(window_s=5.0), 1, 2)
    assert target.next(0, 4.9) == Wait(5.0)
    assert numbers(sent(target, 5.0)) == [1, 2]


def test_a_full_batch_does_not_wait_for_the_window() -> None:
    """ "The batch size is met." (invocation-eventsourcemapping): the rest stays for the next batch."""
    assert numbers(sent(filled(lane(size=2, window_s=5.0), 1, 2, 3), 0.1)) == [1, 2]


def test_a_batch_at_the_payload_limit_does_not_wait_for_the_window() -> None:
    """ "The payload size reaches 6 MB. You cannot modify this limit." (invocation-eventsourcemapping)"""
    target = filled(lane(window_s=5.0, payload_bytes=2_500), 1, 2, 3)
    assert numbers(sent(target, 0.1)) == [1, 2]


def test_the_next_window_begins_when_the_invocation_completes() -> None:
    """ "If you configure a MaximumBatchingWindowInSeconds, the next batching window begins as soon as the
    previous function invocation completes." (invocation-eventsourcemapping)"""
    target = filled(lane(window_s=5.0), 1)
    batch = sent(target, 5.0)
    filled(target, 2, now_s=6.0)
    target.settle(batch, SUCCESS, 8.0)
    assert target.next(0, 8.0) == Wait(13.0)


def test_windows_that_pass_empty_follow_one_another() -> None:
    """A record that comes after idle windows waits for the end of its own, not for a whole new one."""
    target = filled(lane(window_s=5.0), 1, now_s=12.0)
    assert target.next(0, 12.0) == Wait(15.0)


def test_a_failed_batch_blocks_the_lane() -> None:
    """ "To ensure in-order processing, the event source mapping pauses processing for the affected shard
    until the error is resolved": the same records come again before anything else."""
    target = filled(lane(size=1, rules=Rules(True, False)), 1, 2)
    for _ in range(3):
        batch = sent(target, 0.0)
        assert numbers(batch) == [1]
        target.settle(batch, ERROR, 0.0)
    target.settle(sent(target, 0.0), SUCCESS, 0.0)
    assert numbers(sent(target, 0.0)) == [2]


def test_the_halves_of_a_split_keep_their_order() -> None:
    """The second half is sent only when the first is done with."""
    target = filled(lane(size=4), 1, 2, 3, 4, 5)
    target.settle(sent(target, 0.0), ERROR, 0.0)
    order = []
    for _ in range(3):
        batch = sent(target, 0.0)
        order.append(numbers(batch))
        target.settle(batch, SUCCESS, 0.0)
    assert order == [[1, 2], [3, 4], [5]]


def test_a_repeated_batch_waits_and_a_split_does_not() -> None:
    """The same records are sent again after a pause; a split makes other batches of them."""
    target = filled(lane(size=2, backoff=Backoff(1.0, 8.0)), 1, 2)
    target.settle(sent(target, 0.0), ERROR, 0.0)
    target.settle(sent(target, 0.0), ERROR, 0.0)
    assert target.next(0, 0.0) == Wait(1.0)
    target.settle(sent(target, 1.0), ERROR, 1.0)
    assert target.next(0, 1.0) == Wait(3.0)


def test_discarding_lets_the_lane_go_on() -> None:
    """ "If the error handling measures fail, Lambda discards the records and continues processing batches
    from the stream." (kinesis-on-failure-destination)"""
    target = filled(lane(size=1, rules=Rules(True, True, maximum_retry_attempts=0)), 1, 2)
    decision = target.settle(sent(target, 0.0), ERROR, 0.0)
    assert decision.discard is not None
    assert numbers(decision.discard) == [1]
    assert numbers(sent(target, 0.0)) == [2]


def test_records_that_are_too_old_are_never_sent() -> None:
    """ "Maximum age of record – The maximum age of a record that Lambda sends to your function."
    (with-kinesis): the older part of a batch is given up, the rest goes to the function."""
    target = lane(rules=Rules(True, True, maximum_age_ms=10_000))
    target.offer(record(1, arrival_ms=0), 0.0)
    target.offer(record(2, arrival_ms=5_000), 0.0)
    step = target.next(12_000, 0.0)
    assert isinstance(step, Discard)
    assert (numbers(step), step.condition, step.invocations) == ([1], Condition.AGE, 0)
    assert numbers(sent(target, 0.0, wall_ms=12_000)) == [2]


def test_a_blocked_batch_grows_too_old() -> None:
    """ "Lambda retries until the records … exceed the maximum age", also while it waits to retry."""
    target = filled(lane(rules=Rules(True, True, maximum_age_ms=10_000), backoff=Backoff(60.0, 60.0)), 1)
    target.settle(sent(target, 0.0), ERROR, 0.0)
    assert isinstance(target.next(9_000, 9.0), Wait)
    step = target.next(10_001, 10.0)
    assert isinstance(step, Discard)
    assert step.invocations == 1


def test_a_batch_that_did_not_reach_the_function_is_not_a_retry() -> None:
    """ "Retry attempts … doesn't apply to service errors or throttles where the batch didn't reach the
    function." (with-kinesis)"""
    target = filled(lane(rules=Rules(True, True, maximum_retry_attempts=0), backoff=Backoff(1.0, 2.0)), 1)
    now_s = 0.0
    for pause_s in (1.0, 2.0, 2.0):
        sent(target, now_s)
        target.refuse(now_s)
        now_s += pause_s
        assert target.next(0, now_s - 0.1) == Wait(now_s)
    batch = sent(target, now_s)
    assert (batch.invocations, batch.repeated) == (0, False)


def test_a_partition_key_always_has_the_same_lane() -> None:
    """ "If you increase the number of concurrent batches per shard, Lambda still ensures in-order processing
    at the partition-key level." (with-kinesis): the lane depends on nothing else, and all are used."""
    keys = [f"gw-{number:04d}" for number in range(1_000)]
    lanes = [lane_of(key, 10) for key in keys]
    assert lanes == [lane_of(key, 10) for key in keys]
    assert set(lanes) == set(range(10))
    assert min(lanes.count(number) for number in range(10)) > 50
    assert lane_of("gw-0001", 10) == 6  # fixed: other processes and versions must agree


def test_the_age_is_that_of_the_last_record_of_the_batch_in_hand() -> None:
    """ "IteratorAge – For event source mappings that read from streams, the age of the last record in the
    event." (monitoring-metrics-types)"""
    target = lane(size=2)
    assert [target.last_arrival_ms] == [None]
    for number, arrival_ms in ((1, 100), (2, 200), (3, 300)):
        target.offer(record(number, arrival_ms), 0.0)
    assert target.last_arrival_ms == 200
    target.settle(sent(target, 0.0), SUCCESS, 0.0)
    assert target.last_arrival_ms == 300


def test_the_estimated_size_is_never_below_the_real_one() -> None:
    """An event filled to the limit by the estimate is within Lambda's 6 MB."""
    origin = Origin("arn:aws:kinesis:us-east-1:000000000000:stream/s", "us-east-1", "arn:aws:iam::0:role/r")
    size_of = event_sizer(origin)
    records = [
        Record("shardId-000000000000", "4" * 56, key, b"x" * length, 1_700_000_000_123)
        for key, length in (("gw-1", 0), ('"é\n', 1), ("k" * 256, 2), ("gw-1", 3_000))
    ]
    for each in records:
        assert 0 <= size_of(each) - len(json.dumps(event([each], origin)["Records"][0])) < 40
    assert sum(map(size_of, records)) >= len(json.dumps(event(records, origin))) - len('{"Records": []}')


def test_the_checkpoint_moves_over_completed_records_only() -> None:
    """Lanes complete out of order; the checkpoint never passes a record that is still in one."""
    progress = Progress()
    records = [record(number) for number in range(1, 6)]
    for each in records:
        progress.begin(each)
    seen = []
    for place in (1, 0, 3, 2, 4):
        progress.complete([records[place]])
        seen.append(progress.checkpoint)
    assert seen == [None, "2", "2", "4", "5"]
    assert progress.outstanding == 0
