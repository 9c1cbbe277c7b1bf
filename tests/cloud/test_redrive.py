"""Undelivered records: read from both formats of the bucket, put back, moved; done twice nothing changes."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from cloud import __main__ as linkview
from cloud import dead_letters, redrive, stream
from cloud.dead_letters import LetterError
from cloud.target import Target, TargetError
from edge_agent.contract import encode
from tests.cloud import aside_cloud
from tests.cloud.aside_cloud import BUCKET, Aside
from tests.cloud.records import NOW, batch, envelope, record

RULE_KEY = "rule-errors/0a5c5a4c-6a1e-4b7e-9d35-8b1f3c0e9f11"
BATCH_KEY = (
    "aws/lambda/aaaa0000-bbbb-1111-2222-cccccccccccc/shardId-000000000000/2026/11/21/"
    "2026-11-21T10.20.30-91f9ba08-ff1d-4fcd-b2a5-d7f4d0e1f9aa"
)


@pytest.fixture(scope="module")
def deployed(session: None) -> Target:
    return aside_cloud.create()


@pytest.fixture
def aside(deployed: Target, capsys: pytest.CaptureFixture[str]) -> Iterator[Aside]:
    yield from aside_cloud.opened(deployed, capsys)


def rule_error(
    payload: bytes, topic: str = "$aws/rules/linkpulse_dev_ingest/v1/gw-1/m", **more: Any
) -> bytes:
    """As in "Error action message format" of the AWS IoT developer guide."""
    given = {
        "ruleName": "linkpulse_dev_ingest",
        "topic": topic,
        "cloudwatchTraceId": "7e146a2c-95b5-6caf-98b9-50e3969734c7",
        "clientId": "gw-1",
        "base64OriginalPayload": base64.b64encode(payload).decode(),
        "failures": [
            {"failedAction": "KinesisAction", "failedResource": "stream", "errorMessage": "Rate exceeded"}
        ],
    }
    return json.dumps(given | more).encode()


def discarded(*data: bytes, **more: Any) -> bytes:
    """As in "Example Amazon S3 invocation record" of the Lambda developer guide."""
    event = {"Records": [record(each, 100 + number) for number, each in enumerate(data)]}
    given = {
        "requestContext": {
            "requestId": "c9b8fa9f-5a7f-xmpl-af9c-0c604cde93a5",
            "functionArn": "arn:aws:lambda:us-east-2:123456789012:function:myfunction",
            "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": 1,
        },
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "version": "1.0",
        "timestamp": "2026-11-21T00:38:06.021Z",
        "KinesisBatchInfo": {"shardId": "shardId-000000000000", "batchSize": len(data)},
        "payload": json.dumps(event),
    }
    return json.dumps(given | more).encode()


def put(aside: Aside, key: str, body: bytes) -> None:
    aside.target.client("s3").put_object(Bucket=BUCKET, Key=key, Body=body)


def test_a_message_of_the_error_action_is_stored_as_if_the_rule_had_worked(aside: Aside) -> None:
    put(aside, RULE_KEY, rule_error(encode(batch())))
    assert aside.run("redrive")[0] == 0
    assert aside.ingest() == 1
    (item,) = aside.cloud.items("readings")
    assert bytes(item["b"]["B"]) == encode(batch())
    assert "src" not in item
    assert aside.objects() == [f"redriven/{RULE_KEY}"]


def test_a_batch_that_the_mapping_gave_up_is_stored_whole(aside: Aside) -> None:
    sent = [envelope(batch(f"gw-{number}")) for number in range(7)]
    put(aside, BATCH_KEY, discarded(*sent))
    (found,) = aside.json("redrive")
    assert (found["records"], found["error"]) == (7, None)
    assert aside.ingest() == 7
    assert len(aside.cloud.items("readings")) == 7


def test_a_redrive_twice_and_one_that_was_cut_off_before_the_move_store_nothing_twice(aside: Aside) -> None:
    put(aside, RULE_KEY, rule_error(encode(batch())))
    put(aside, BATCH_KEY, discarded(envelope(batch(sequence=1))))
    aside.run("redrive")
    aside.ingest()
    before = aside.cloud.items("readings")
    assert aside.json("redrive") == []
    assert aside.ingest() == 0
    # The crash: in the stream, not yet moved.
    put(aside, RULE_KEY, rule_error(encode(batch())))
    aside.run("redrive")
    assert aside.ingest() == 1
    assert sorted(aside.cloud.items("readings"), key=repr) == sorted(before, key=repr)


def test_an_object_that_cannot_be_read_stays_is_told_and_stops_no_other(aside: Aside) -> None:
    put(aside, "rule-errors/0", b"\xff not json")
    put(aside, RULE_KEY, rule_error(encode(batch())))
    code, out, _ = aside.run("redrive")
    assert code == 1
    assert "rule-errors/0  stays: it is not JSON" in out
    assert "1 records of 1 objects put back" in out
    assert aside.objects() == [f"redriven/{RULE_KEY}", "rule-errors/0"]


def test_a_dry_run_counts_and_changes_nothing(aside: Aside) -> None:
    put(aside, BATCH_KEY, discarded(envelope(batch()), envelope(batch("gw-2"))))
    _, out, _ = aside.run("redrive", "--dry-run")
    assert "2 records of 1 objects would be put back" in out
    assert aside.objects() == [BATCH_KEY]
    assert aside.ingest() == 0


def test_one_source_and_a_limit_leave_the_rest(aside: Aside) -> None:
    for number in range(3):
        put(aside, f"rule-errors/{number}", rule_error(encode(batch(sequence=number))))
    put(aside, BATCH_KEY, discarded(envelope(batch("gw-2"))))
    aside.run("redrive", "--source", "rule", "--limit", "2")
    assert [key for key in aside.objects() if not key.startswith("redriven/")] == [BATCH_KEY, "rule-errors/2"]


@pytest.mark.parametrize("command", [("redrive",), ("quarantine", "list")])
def test_a_limit_that_is_no_number_is_said_in_words(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        linkview.main([*command, "--limit", "x"])
    assert caught.value.code == 2
    assert "'x' is no whole number from 1 to 1,000,000" in capsys.readouterr().err


def test_an_object_that_another_redrive_took_meanwhile_is_no_error(aside: Aside) -> None:
    gone = redrive.redrive(aside.target, redrive.Letter("rule-errors/gone", 1, NOW))
    assert (gone.gone, gone.error) == (True, "")


def test_an_object_that_another_redrive_moves_in_between_is_no_error_either(aside: Aside) -> None:
    put(aside, RULE_KEY, rule_error(encode(batch())))
    s3 = aside.target.client("s3")

    def overtake(**_: object) -> None:
        s3.delete_object(Bucket=BUCKET, Key=RULE_KEY)

    s3.meta.events.register("before-call.s3.CopyObject", overtake)
    try:
        found = redrive.redrive(aside.target, redrive.Letter(RULE_KEY, 1, NOW))
    finally:
        s3.meta.events.unregister("before-call.s3.CopyObject", overtake)
    assert (found.gone, found.error) == (True, "")


def test_a_client_that_published_to_the_topic_of_another_is_judged_again(aside: Aside) -> None:
    put(aside, RULE_KEY, rule_error(encode(batch()), clientId="gw-2"))
    aside.run("redrive")
    aside.ingest()
    assert aside.cloud.items("readings") == []
    assert aside.cloud.items("quarantine")[0]["code"]["S"] == "identity"


@pytest.mark.parametrize("topic", ["v1/gw-1/m", "$aws/rules/linkpulse_dev_ingest/v1/gw-1/m"])
def test_the_gateway_is_the_second_level_with_and_without_the_prefix_of_basic_ingest(topic: str) -> None:
    (entry,) = dead_letters.records(RULE_KEY, rule_error(b"x", topic), NOW)
    assert entry.partition_key == "gw-1"
    assert json.loads(entry.data)["thing"] == "gw-1"


NONSENSE = [
    (RULE_KEY, b""),
    (RULE_KEY, b"[" * 100_000),
    (RULE_KEY, b"[]"),
    (RULE_KEY, b"{}"),
    (RULE_KEY, rule_error(b"x", topic="v1")),
    (RULE_KEY, rule_error(b"x", topic="$aws/rules/a")),
    (RULE_KEY, rule_error(b"x", base64OriginalPayload="%")),
    (RULE_KEY, rule_error(b"x", base64OriginalPayload=None)),
    (RULE_KEY, rule_error(b"x", clientId=5)),
    (RULE_KEY, rule_error(b"x", topic="v1/\ud800/m")),
    (RULE_KEY, rule_error(b"x", clientId="\ud800")),
    (BATCH_KEY, discarded(b"x", payload=None)),
    (BATCH_KEY, discarded(b"x", payload="{")),
    (BATCH_KEY, discarded(b"x", payload={"Records": []})),
    (BATCH_KEY, discarded(b"x", payload={"Records": [1]})),
    (BATCH_KEY, discarded(b"x", payload={"Records": [{"kinesis": {"partitionKey": "1"}}]})),
]


@pytest.mark.parametrize(("key", "body"), NONSENSE, ids=range(len(NONSENSE)))
def test_whatever_else_is_in_the_bucket_is_an_error_of_that_object(key: str, body: bytes) -> None:
    with pytest.raises(LetterError):
        dead_letters.records(key, body, NOW)


def test_a_stream_that_is_away_ends_the_redrive_and_one_refused_record_does_not() -> None:
    def failing(code: str) -> TargetError:
        made = TargetError("x")
        made.__cause__ = ClientError({"Error": {"Code": code}}, "PutRecords")
        return made

    assert stream.is_refusal(failing("ValidationException"))
    assert not stream.is_refusal(failing("ResourceNotFoundException"))
    assert not stream.is_refusal(TargetError("no answer"))
