"""Records put on the stream: all of them, again where one failed, in calls that PutRecords takes."""

from __future__ import annotations

from typing import Any

import pytest

from cloud import stream
from cloud.stream import Entry
from cloud.target import Target, TargetError


class Kinesis:
    """Takes every third record of a call, the others when they are put again."""

    def __init__(self, fails_for_ever: bool = False) -> None:
        self.taken: list[bytes] = []
        self.fails_for_ever = fails_for_ever

    def put_records(self, StreamName: str, Records: list[dict[str, Any]]) -> dict[str, Any]:
        answers = []
        for number, each in enumerate(Records):
            if self.fails_for_ever or number % 3:
                answers.append({"ErrorCode": "ProvisionedThroughputExceededException"})
            else:
                self.taken.append(each["Data"])
                answers.append({"SequenceNumber": "1"})
        return {"Records": answers}


def test_a_single_record_failure_does_not_stop_the_others_and_is_put_again() -> None:
    kinesis = Kinesis()
    target = Target("x", _made={"kinesis": kinesis, "outputs": {"StreamName": "s"}})
    sent = [Entry("gw", str(number).encode()) for number in range(20)]
    stream.put(target, sent, lambda seconds: None, lambda: 1.0)
    assert sorted(kinesis.taken) == sorted(each.data for each in sent)


def test_a_stream_that_takes_nothing_is_an_error_after_some_tries() -> None:
    target = Target("x", _made={"kinesis": Kinesis(True), "outputs": {"StreamName": "s"}})
    slept: list[float] = []
    with pytest.raises(TargetError, match="does not take 2 records: ProvisionedThroughput"):
        stream.put(target, [Entry("gw", b"1"), Entry("gw", b"2")], slept.append, lambda: 1.0)
    assert len(slept) == stream.TRIES - 1
    assert slept == sorted(slept)


def test_no_call_is_larger_than_put_records_takes() -> None:
    entries = [Entry("gw", b"x" * 700_000)] * 10 + [Entry("gw", b"y")] * 1_200
    made = list(stream.batches(entries))
    assert [each for batch in made for each in batch] == entries
    assert all(len(each) <= 500 and sum(one.size for one in each) <= 5 << 20 for each in made)
