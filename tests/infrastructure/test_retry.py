"""The documented rules of stream mappings; each test quotes the statement that it checks.

Quotes are from the AWS Lambda developer guide: services-kinesis-batchfailurereporting ("Configuring partial
batch response with Kinesis Data Streams and Lambda"), kinesis-on-failure-destination ("Retain discarded batch
records") and services-kinesis-parameters, each at https://docs.aws.amazon.com/lambda/latest/dg/<name>.html.
"""

from __future__ import annotations

from typing import Any

import pytest

from infrastructure.local.function.invocation import Outcome, Result
from infrastructure.local.mapping.retry import (
    Backoff,
    Batch,
    Condition,
    Decision,
    Rules,
    decide,
    outdated,
    processed,
)
from infrastructure.local.mapping.stream import Record

SUCCESS = Result(Outcome.SUCCESS, "request")
FAILURES = [
    Result(Outcome.ERROR, "request", error_type="ValueError", message="no"),
    Result(Outcome.TIMED_OUT, "request", error_type="Sandbox.Timedout"),
    Result(Outcome.CRASHED, "request", error_type="Runtime.ExitError"),
]


def record(number: int, arrival_ms: int = 1_000) -> Record:
    return Record("shardId-000000000000", str(number), f"key-{number}", b"data", arrival_ms)


def batch(*numbers: int, invocations: int = 0) -> Batch:
    return Batch(tuple(record(number) for number in numbers), invocations)


def reported(*identifiers: Any) -> Result:
    items = [{"itemIdentifier": identifier} for identifier in identifiers]
    return Result(Outcome.SUCCESS, "request", {"batchItemFailures": items})


def numbers(records: tuple[Record, ...]) -> list[int]:
    return [int(each.sequence_number) for each in records]


def sent_again(decision: Decision) -> list[list[int]]:
    return [numbers(each.records) for each in decision.again]


# Partial batch responses


def test_complete_success_checkpoints_to_the_highest_number() -> None:
    """ "by default Lambda checkpoints to the highest sequence number of a batch only when the batch is a
    complete success"."""
    decision = decide(batch(1, 2, 3), SUCCESS, Rules(False, False))
    assert (numbers(decision.acknowledged), decision.again, decision.discard) == ([1, 2, 3], (), None)


@pytest.mark.parametrize("result", FAILURES)
def test_all_other_results_are_a_complete_failure(result: Result) -> None:
    """ "Lambda treats all other results as a complete failure and retries processing the batch up to the
    retry limit"."""
    decision = decide(batch(1, 2, 3), result, Rules(False, False))
    assert (decision.acknowledged, sent_again(decision)) == ((), [[1, 2, 3]])


def test_the_lowest_reported_number_is_the_checkpoint() -> None:
    """ "If the batchItemFailures array contains multiple items, Lambda uses the record with the lowest
    sequence number as the checkpoint. Lambda then retries all records starting from that checkpoint."."""
    decision = decide(batch(1, 2, 3, 4), reported("4", "3"), Rules(True, False))
    assert (numbers(decision.acknowledged), sent_again(decision)) == ([1, 2], [[3, 4]])


def test_numbers_are_compared_as_numbers() -> None:
    """A longer sequence number is a higher one, whatever its digits."""
    decision = decide(batch(9, 10, 11), reported("10", "9"), Rules(True, False))
    assert sent_again(decision) == [[9, 10, 11]]


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param({"batchItemFailures": []}, id="an empty batchItemFailure list"),
        pytest.param({"batchItemFailures": None}, id="a null batchItemFailure list"),
        pytest.param({}, id="an empty EventResponse"),
        pytest.param(None, id="a null EventResponse"),
        pytest.param({"other": 1}, id="an EventResponse without the list"),
    ],
)
def test_responses_that_are_a_complete_success(payload: Any) -> None:
    """ "Lambda treats a batch as a complete success if you return any of the following: An empty
    batchItemFailure list; A null batchItemFailure list; An empty EventResponse; A null EventResponse"."""
    assert processed(batch(1, 2).records, Result(Outcome.SUCCESS, "r", payload), True) == 2


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param({"batchItemFailures": [{"itemIdentifier": ""}]}, id="an empty string itemIdentifier"),
        pytest.param({"batchItemFailures": [{"itemIdentifier": None}]}, id="a null itemIdentifier"),
        pytest.param({"batchItemFailures": [{"sequenceNumber": "2"}]}, id="a bad key name"),
        pytest.param({"batchItemFailures": [{"itemIdentifier": "2"}, {"id": "1"}]}, id="one of two bad"),
        pytest.param({"batchItemFailures": [{"itemIdentifier": 2}]}, id="a number"),
        pytest.param({"batchItemFailures": ["2"]}, id="a list of strings"),
        pytest.param({"batchItemFailures": "2"}, id="no list"),
        pytest.param({"batchItemFailures": [{"itemIdentifier": "7"}]}, id="a number of another batch"),
        pytest.param("ok", id="a string"),
    ],
)
def test_responses_that_are_a_complete_failure(payload: Any) -> None:
    """ "Lambda treats a batch as a complete failure if you return any of the following: An empty string
    itemIdentifier; A null itemIdentifier; An itemIdentifier with a bad key name". What else cannot be
    understood, a sequence number that is not in the batch included, is taken the same way: never a loss."""
    assert processed(batch(1, 2).records, Result(Outcome.SUCCESS, "r", payload), True) == 0


def test_reports_are_ignored_unless_turned_on() -> None:
    """ "Even when your function code returns partial batch failure responses, these responses will not be
    processed by Lambda unless the ReportBatchItemFailures feature is explicitly turned on"."""
    assert processed(batch(1, 2).records, reported("1"), False) == 2


# Bisection


@pytest.mark.parametrize("report", [False, True])
@pytest.mark.parametrize("result", FAILURES)
def test_a_failed_invocation_bisects_whatever_the_report_setting(result: Result, report: bool) -> None:
    """ "If your invocation fails and BisectBatchOnFunctionError is turned on, the batch is bisected
    regardless of your ReportBatchItemFailures setting."."""
    decision = decide(batch(1, 2, 3, 4, 5), result, Rules(report, True))
    assert sent_again(decision) == [[1, 2, 3], [4, 5]]


def test_a_partial_success_bisects_at_the_returned_number() -> None:
    """ "When a partial batch success response is received and both BisectBatchOnFunctionError and
    ReportBatchItemFailures are turned on, the batch is bisected at the returned sequence number and Lambda
    retries only the remaining records."."""
    decision = decide(batch(1, 2, 3, 4), reported("3"), Rules(True, True))
    assert (numbers(decision.acknowledged), sent_again(decision)) == ([1, 2], [[3, 4]])


def test_a_report_of_the_first_record_bisects_in_half() -> None:
    """Cut at its first record a batch stays whole, so it is halved: only the bad record ends up discarded."""
    decision = decide(batch(1, 2, 3, 4), reported("1"), Rules(True, True))
    assert sent_again(decision) == [[1, 2], [3, 4]]


@pytest.mark.parametrize("result", [FAILURES[0], reported("3")])
def test_splitting_does_not_consume_the_retry_quota(result: Result) -> None:
    """ "Splitting batches doesn't consume the retry quota."."""
    decision = decide(batch(1, 2, 3, 4), result, Rules(True, True, maximum_retry_attempts=0))
    assert decision.discard is None
    assert [each.invocations for each in decision.again] == [0] * len(decision.again)


def test_bisection_isolates_the_bad_record() -> None:
    """ "which splits a failed batch into two smaller batches, isolating bad records": with no retries at all,
    one bad record of eight is the only one given up."""
    rules = Rules(False, True, maximum_retry_attempts=0)
    work, given_up, acknowledged = [batch(*range(1, 9))], [], []
    while work:
        head = work.pop(0)
        bad = "6" in [each.sequence_number for each in head.records]
        decision = decide(head, FAILURES[0] if bad else SUCCESS, rules)
        acknowledged += numbers(decision.acknowledged)
        work[:0] = decision.again
        given_up += numbers(decision.discard.records) if decision.discard else []
    assert (acknowledged, given_up) == ([1, 2, 3, 4, 5, 7, 8], [6])


# Limits


def test_a_batch_is_retried_up_to_the_quota_then_discarded() -> None:
    """ "If the function is invoked but returns an error, Lambda retries until the records expire, exceed the
    maximum age (MaximumRecordAgeInSeconds), or reach the configured retry quota (MaximumRetryAttempts)"."""
    rules = Rules(False, False, maximum_retry_attempts=2)
    head, invocations = batch(1, 2), 0
    while True:
        invocations += 1
        decision = decide(head, FAILURES[0], rules)
        if decision.discard:
            break
        (head,) = decision.again
    assert invocations == 3  # the first and two retries
    assert (numbers(decision.discard.records), decision.discard.condition) == ([1, 2], Condition.RETRIES)
    assert decision.discard.invocations == 3


def test_only_the_rest_of_a_partial_success_is_discarded() -> None:
    """ "For function errors … If the error handling measures fail, Lambda discards the records": what was
    acknowledged is not among them."""
    decision = decide(batch(1, 2, 3), reported("2"), Rules(True, False, maximum_retry_attempts=0))
    assert decision.discard is not None
    assert (numbers(decision.acknowledged), numbers(decision.discard.records)) == ([1], [2, 3])


def test_unlimited_retries_never_discard() -> None:
    """ "MaximumRetryAttempts … -1 means infinite: failed records are retried until the record expires"."""
    decision = decide(batch(1, invocations=100_000), FAILURES[0], Rules(False, True))
    assert sent_again(decision) == [[1]]


def test_records_beyond_the_maximum_age_are_too_old() -> None:
    """ "The maximum age of a record that Lambda sends to your function": what exceeds it is held back."""
    records = [record(1, 1_000), record(2, 2_000), record(3, 3_000)]
    assert [outdated(records, now, 10_000) for now in (11_000, 11_001, 12_001, 99_000)] == [0, 1, 2, 3]


def test_without_a_maximum_age_no_record_is_too_old() -> None:
    """ "-1 means infinite: Lambda doesn't discard records"."""
    assert outdated([record(1, 0)], 10**15, None) == 0


def test_pauses_double_up_to_the_maximum() -> None:
    """Retries come ever slower, and no count of failures overflows."""
    backoff = Backoff(0.5, 4.0)
    assert [backoff.delay_s(n) for n in (0, 1, 2, 3, 4, 5, 10**6)] == [0.0, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0]


def test_a_decision_never_loses_or_doubles_a_record() -> None:
    """Whatever the result and the rules, every record is in exactly one part of the decision, in order."""
    results = [SUCCESS, *FAILURES, *(reported(str(n)) for n in range(1, 6)), reported("x")]
    for result in results:
        for rules in (Rules(r, b, m) for r in (False, True) for b in (False, True) for m in (-1, 0, 3)):
            decision = decide(batch(1, 2, 3, 4, 5), result, rules)
            parts = numbers(decision.acknowledged)
            parts += [number for again in sent_again(decision) for number in again]
            parts += numbers(decision.discard.records) if decision.discard else []
            assert parts == [1, 2, 3, 4, 5], (result, rules)
