"""Each record reaches the stream or the error action's bucket, and nothing else counts as delivered."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from infrastructure.local.iot.delivery import MAX_ATTEMPTS, Delivery, Entry, Stopped, batches
from infrastructure.local.iot.rule import Publication
from infrastructure.local.iot.topic_rule import TopicRule, parse
from infrastructure.local.state import Counters

SQL = "SELECT topic(2) AS thing FROM 'v1/+/m'"
THROTTLED = {"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "slow down"}
Answer = Callable[[list[dict[str, Any]]], list[dict[str, str]]]


class FakeStream:
    """Answers each PutRecords with what the test says, and keeps what it took."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.taken: list[bytes] = []
        self.calls = 0

    def put_records(self, StreamName: str, Records: list[dict[str, Any]]) -> dict[str, Any]:
        self.calls += 1
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        results = answer(Records)
        self.taken += [
            record["Data"]
            for record, result in zip(Records, results, strict=True)
            if "ErrorCode" not in result
        ]
        return {"Records": results}


class FakeBucket:
    """Keeps what is put, or fails."""

    def __init__(self, error: ClientError | None = None) -> None:
        self.objects: dict[str, Any] = {}
        self._error = error

    def put_object(self, Bucket: str, Key: str, Body: bytes) -> None:
        if self._error:
            raise self._error
        self.objects[f"{Bucket}/{Key}"] = json.loads(Body)


class NoWaiting(threading.Event):
    """An event that is never set and never waited for."""

    def wait(self, timeout: float | None = None) -> bool:
        return self.is_set()


def take(records: list[dict[str, Any]]) -> list[dict[str, str]]:
    return [{"SequenceNumber": "1"} for _ in records]


def throttle(records: list[dict[str, Any]]) -> list[dict[str, str]]:
    return [THROTTLED for _ in records]


def unreachable(records: list[dict[str, Any]]) -> list[dict[str, str]]:
    raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")


def refuse(records: list[dict[str, Any]]) -> list[dict[str, str]]:
    raise client_error("ResourceNotFoundException")


def client_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "Operation")


def rule(errors: bool = True) -> TopicRule:
    action = {"kinesis": {"streamName": "s", "partitionKey": "${topic(2)}", "roleArn": "r"}}
    payload = {"sql": SQL, "awsIotSqlVersion": "2016-03-23", "actions": [action]}
    bucket = {"s3": {"bucketName": "dead", "key": "rule-errors/${topic(2)}", "roleArn": "r"}}
    return parse("r", {**payload, "errorAction": bucket} if errors else payload)


def entry(name: str, key: str = "k", size: int = 0) -> Entry:
    publication = Publication(f"v1/{name}/m", name.encode(), name, "c", 1)
    return Entry(publication, key, name.encode() + b"." * size)


class Setting:
    """A delivery between fakes."""

    def __init__(self, *answers: Answer, bucket: FakeBucket | None = None) -> None:
        self.stream, self.bucket = FakeStream(*answers), bucket or FakeBucket()
        self.counters = Counters()
        self.stopping: threading.Event = NoWaiting()
        self._delivery = Delivery(
            cast("Any", self.stream), cast("Any", self.bucket), self.counters, self.stopping
        )

    def deliver(self, *entries: Entry, errors: bool = True) -> None:
        self._delivery.deliver(rule(errors), entries)


def test_records_reach_the_stream_in_their_order_and_are_counted() -> None:
    setting = Setting(take)
    setting.deliver(*(entry(str(number)) for number in range(1_200)))
    assert setting.stream.taken == [str(number).encode() for number in range(1_200)]
    assert setting.stream.calls == 3
    assert setting.counters.snapshot() == {"bridge.forwarded": 1_200}


def test_only_the_records_that_failed_are_put_again() -> None:
    def second_fails(records: list[dict[str, Any]]) -> list[dict[str, str]]:
        return [THROTTLED if index == 1 else {"SequenceNumber": "1"} for index, _ in enumerate(records)]

    setting = Setting(second_fails, take)
    setting.deliver(entry("a"), entry("b"), entry("c"))
    assert setting.stream.taken == [b"a", b"c", b"b"]
    assert setting.counters.snapshot() == {"bridge.forwarded": 3}


def test_a_record_that_fails_again_and_again_goes_to_the_error_action_with_its_payload_and_reason() -> None:
    # Developer guide, "Error action message format".
    setting = Setting(throttle)
    setting.deliver(entry("gw-1"))
    assert setting.stream.calls == MAX_ATTEMPTS
    assert setting.bucket.objects == {
        "dead/rule-errors/gw-1": {
            "ruleName": "r",
            "topic": "$aws/rules/r/v1/gw-1/m",
            "clientId": "gw-1",
            "base64OriginalPayload": base64.b64encode(b"gw-1").decode(),
            "failures": [
                {
                    "failedAction": "KinesisAction",
                    "failedResource": "s",
                    "errorMessage": "ProvisionedThroughputExceededException: slow down",
                }
            ],
        }
    }
    assert setting.counters.snapshot() == {"bridge.forwarded": 0, "bridge.failed": 1}


def test_a_stream_that_is_gone_sends_every_record_to_the_error_action() -> None:
    setting = Setting(refuse)
    setting.deliver(entry("a"), entry("b"))
    assert sorted(setting.bucket.objects) == ["dead/rule-errors/a", "dead/rule-errors/b"]


@pytest.mark.parametrize("key", ["", "k" * 257])
def test_an_impossible_partition_key_costs_only_its_own_record(key: str) -> None:
    # API reference, PutRecordsRequestEntry: PartitionKey of 1 to 256 characters.
    setting = Setting(take)
    setting.deliver(entry("a"), entry("bad", key), entry("c"))
    assert setting.stream.taken == [b"a", b"c"]
    assert list(setting.bucket.objects) == ["dead/rule-errors/bad"]


def test_an_engine_that_cannot_be_reached_is_waited_for_however_long() -> None:
    setting = Setting(*[unreachable] * (5 * MAX_ATTEMPTS), take)
    setting.deliver(entry("a"))
    assert setting.stream.taken == [b"a"]
    assert setting.bucket.objects == {}


def test_a_stop_while_the_engine_cannot_be_reached_delivers_nothing() -> None:
    setting = Setting(unreachable)
    setting.stopping.set()
    with pytest.raises(Stopped):
        setting.deliver(entry("a"))
    assert setting.counters.snapshot() == {}


def test_a_message_that_the_error_action_loses_too_is_counted() -> None:
    # Developer guide, "Rule metrics": ErrorActionFailure.
    setting = Setting(refuse, bucket=FakeBucket(client_error("NoSuchBucket")))
    setting.deliver(entry("a"))
    assert setting.counters.snapshot() == {
        "bridge.forwarded": 0,
        "bridge.failed": 1,
        "bridge.error_action_failed": 1,
    }


def test_without_an_error_action_a_failure_is_only_counted() -> None:
    setting = Setting(refuse)
    setting.deliver(entry("a"), errors=False)
    assert setting.counters.snapshot()["bridge.failed"] == 1
    assert setting.bucket.objects == {}


def test_a_call_takes_at_most_five_hundred_records_and_five_megabytes() -> None:
    # API reference, PutRecords: "up to 500 records ... up to a limit of 5 MiB ... including partition keys".
    big = [entry(str(number), size=1_000_000) for number in range(7)]
    assert [len(batch) for batch in batches(big)] == [4, 3]
    assert [len(batch) for batch in batches([entry("x")] * 1_001)] == [500, 500, 1]
    assert list(batches([])) == []
