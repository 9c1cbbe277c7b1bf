"""The invocation record of discarded batches, against the example of the AWS Lambda developer guide.

https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html; the event's shape is that of
https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html.
"""

from __future__ import annotations

import json
import uuid

from infrastructure.local.function.invocation import Outcome, Result
from infrastructure.local.mapping.failure import invocation_record, object_key
from infrastructure.local.mapping.retry import Condition, Discard
from infrastructure.local.mapping.stream import Origin, Record, event

RANDOM = uuid.UUID("00000000-0000-4000-8000-000000000001")
ORIGIN = Origin(
    "arn:aws:kinesis:us-east-2:123456789012:stream/mystream", "us-east-2", "arn:aws:iam::1:role/r"
)
FUNCTION = "arn:aws:lambda:us-east-2:123456789012:function:myfunction"
RECORDS = (
    Record("shardId-000000000001", "49601", "1", b"Hello", 1_573_691_884_835),
    Record("shardId-000000000001", "49602", "1", b"again", 1_573_691_885_580),
)
ERROR = Result(Outcome.ERROR, "c9b8fa9f", error_type="ValueError")


def test_the_key_follows_the_naming_convention() -> None:
    """ "aws/lambda/<ESM-UUID>/<shardID>/YYYY/MM/DD/YYYY-MM-DDTHH.MM.SS-<Random UUID>"."""
    assert object_key("2b733gdc", "shardId-000000000001", 1_573_691_886_021, RANDOM) == (
        "aws/lambda/2b733gdc/shardId-000000000001/2019/11/14/2019-11-14T00.38.06-"
        "00000000-0000-4000-8000-000000000001"
    )


def test_the_record_has_the_fields_of_the_example() -> None:
    """ "The following example shows what Lambda sends to an Amazon S3 bucket for a failed Kinesis event
    source invocation."."""
    discard = Discard(RECORDS, Condition.RETRIES, 1, ERROR)
    record = invocation_record(discard, ORIGIN, FUNCTION, 1_573_691_886_021, RANDOM)
    record.pop("payload")
    assert record == {
        "requestContext": {
            "requestId": "c9b8fa9f",
            "functionArn": FUNCTION,
            "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": 1,
        },
        "responseContext": {
            "statusCode": 200,
            "executedVersion": "$LATEST",
            "functionError": "Unhandled",
        },
        "version": "1.0",
        "timestamp": "2019-11-14T00:38:06.021Z",
        "KinesisBatchInfo": {
            "shardId": "shardId-000000000001",
            "startSequenceNumber": "49601",
            "endSequenceNumber": "49602",
            "approximateArrivalOfFirstRecord": "2019-11-14T00:38:04.835Z",
            "approximateArrivalOfLastRecord": "2019-11-14T00:38:05.580Z",
            "batchSize": 2,
            "streamArn": ORIGIN.stream_arn,
        },
    }


def test_the_payload_is_the_event_as_a_string() -> None:
    """ "the payload field contains the original invocation record as an escaped JSON string"."""
    record = invocation_record(Discard(RECORDS, Condition.RETRIES, 1, ERROR), ORIGIN, FUNCTION, 0, RANDOM)
    assert json.loads(record["payload"]) == event(RECORDS, ORIGIN)


def test_a_partial_failure_is_no_function_error() -> None:
    """A function that returned, reporting failed items, did not fail itself."""
    partial = Result(Outcome.SUCCESS, "r", {"batchItemFailures": [{"itemIdentifier": "49601"}]})
    record = invocation_record(Discard(RECORDS, Condition.RETRIES, 3, partial), ORIGIN, FUNCTION, 0, RANDOM)
    assert record["responseContext"]["functionError"] is None


def test_records_that_were_never_sent_have_no_response() -> None:
    """Records too old before their first invocation say so and have no responseContext."""
    record = invocation_record(Discard(RECORDS, Condition.AGE, 0), ORIGIN, FUNCTION, 0, RANDOM)
    assert "responseContext" not in record
    assert record["requestContext"]["condition"] == "RecordAgeExceeded"
    assert record["requestContext"]["approximateInvokeCount"] == 0


def test_an_event_has_the_shape_of_the_example() -> None:
    """ "Example Kinesis record event" (with-kinesis), field by field."""
    record = Record("shardId-000000000006", "4959", "1", b"Hello, this is a test.", 1_545_084_650_987)
    assert event([record], ORIGIN) == {
        "Records": [
            {
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": "1",
                    "sequenceNumber": "4959",
                    "data": "SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==",
                    "approximateArrivalTimestamp": 1545084650.987,
                },
                "eventSource": "aws:kinesis",
                "eventVersion": "1.0",
                "eventID": "shardId-000000000006:4959",
                "eventName": "aws:kinesis:record",
                "invokeIdentityArn": ORIGIN.role_arn,
                "awsRegion": "us-east-2",
                "eventSourceARN": ORIGIN.stream_arn,
            }
        ]
    }
