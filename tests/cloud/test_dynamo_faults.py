"""The ingest function's own DynamoDB client before a server that fails: two tries, an end in time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.retries.base import BaseRetryableChecker
from botocore.retries.standard import RetryContext, StandardRetryConditions, ThrottledRetryableChecker

from cloud.dynamo import ATTEMPTS, TransientError, attempt
from cloud.dynamo_http import Client
from tests.cloud.dynamo_endpoint import ENVIRONMENT, Broken, Endpoint, endpoint

if TYPE_CHECKING:
    from tests.cloud.conftest import Cloud


ANSWER_S = 0.3


@pytest.fixture
def there(cloud: Cloud) -> Iterator[Endpoint]:
    with endpoint(cloud.client) as served:
        yield served


def put(client: Client, cloud: Cloud) -> Any:
    item = {"gateway": {"S": "gw-1"}, "ver": {"S": "1"}}
    return attempt(lambda: client.put_item(TableName=cloud.settings.latest_table, Item=item))


def badly(answer: Callable[[Any], object]) -> Broken:
    """Answers every request so."""

    def broken(handler: Any) -> bool:
        answer(handler)
        return True

    return broken


def fails(cloud: Cloud, there: Endpoint, answer: Callable[[Any], object], answer_s: float = 10.0) -> str:
    """The reason of a put that a broken server answers; each try and the next put has its own connection."""
    client = Client(there.environment, sleep=lambda _seconds: None, answer_s=answer_s)
    put(client, cloud)
    there.broken = badly(answer)
    with pytest.raises(TransientError) as raised:
        put(client, cloud)
    assert (len(there.bodies), there.connections) == (1 + ATTEMPTS, ATTEMPTS)
    there.broken = lambda _handler: False
    put(client, cloud)
    assert there.connections == ATTEMPTS + 1
    return str(raised.value)


def refusal(error: Mapping[str, str]) -> Broken:
    return badly(lambda handler: handler.answer(400, error))


def says(content: bytes) -> Callable[[Any], None]:
    """Something on the connection, which is then closed."""

    def broken(handler: Any) -> None:
        handler.wfile.write(content)
        handler.close_connection = True

    return broken


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"", "closed connection without response"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "SSH-2.0"),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"At', "5 more expected"),
        (b'HTTP/1.1 200 OK\r\n\r\n{"At', "no JSON object"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}", "IncompleteRead"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 23 + b"\r\n\r\n{}", "OverflowError"),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n", "103 is no answer"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, "LineTooLong"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 200, "more than 100 headers"),
    ],
)
def test_half_an_answer_or_none_is_transient(cloud: Cloud, there: Endpoint, said: bytes, reason: str) -> None:
    assert reason in fails(cloud, there, says(said))


@pytest.mark.parametrize("said", [b"", b"null", b"[[1]]", b'"ab"', b"<html>", b"\xff", b"[" * 200_000])
def test_an_answer_that_is_no_object_is_transient_and_its_connection_not_used_again(
    cloud: Cloud, there: Endpoint, said: bytes
) -> None:
    """An empty one would else mean that nothing was left unprocessed."""
    assert fails(cloud, there, lambda handler: handler.answer(200, said))


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_that_is_broken_is_asked_twice(cloud: Cloud, there: Endpoint, status: int) -> None:
    there.broken = badly(lambda handler: handler.answer(status, b"<html>"))
    client = Client(there.environment, sleep=lambda _seconds: None)
    with pytest.raises(TransientError, match=f"PutItem: {status}"):
        put(client, cloud)
    assert len(there.bodies) == ATTEMPTS


def test_an_answer_without_its_checksum_is_transient(cloud: Cloud, there: Endpoint) -> None:
    damaged = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nx-amz-crc32: 2745614148\r\n\r\n{}"
    assert "checksum" in fails(cloud, there, says(damaged))


def test_an_answer_with_its_checksum_is_taken(cloud: Cloud, there: Endpoint) -> None:
    there.broken = badly(says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nx-amz-crc32: 2745614147\r\n\r\n{}"))
    assert put(Client(there.environment), cloud) == {}


def test_when_a_kept_connection_fails_the_others_are_not_tried(there: Endpoint) -> None:
    """After a function was frozen all are dead, and not each is known to be: two tries must be enough."""
    both, kept = Barrier(2), list[object]()

    def together(handler: Any) -> bool:
        kept.append(handler)
        both.wait(10)
        handler.answer(200, b"{}")
        return True

    def dead(handler: Any) -> bool:
        handler.close_connection = handler in kept
        return handler in kept or handler.answer(200, b"{}") is None

    client = Client(there.environment, sleep=lambda _seconds: None)
    there.broken = together
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda _: client.put_item(TableName="t", Item={}), range(2))) == [{}, {}]
    there.broken = dead
    assert client.put_item(TableName="t", Item={}) == {}
    assert (there.connections, len(there.bodies)) == (3, 4)


def test_a_server_that_says_nothing_is_waited_for_so_long_and_no_longer(
    cloud: Cloud, there: Endpoint
) -> None:
    over = Event()
    try:
        reason = fails(cloud, there, lambda _handler: over.wait(30), ANSWER_S)
    finally:
        over.set()
    assert "timed out" in reason


def test_what_botocore_tries_again_is_tried_again(cloud: Cloud, there: Endpoint) -> None:
    service = cloud.client.meta.service_model
    models = [service.operation_model(f"{name}Item") for name in ("Put", "Update", "BatchGet", "BatchWrite")]
    codes = {"AccessDeniedException", "ExpiredTokenException", "InvalidSignatureException", "RequestTimeout"}
    codes |= {"PriorRequestNotComplete", "RequestTimeoutException", "ValidationException"}
    codes |= {shape.name for model in models for shape in model.error_shapes}
    codes |= set(vars(ThrottledRetryableChecker)["_THROTTLED_ERROR_CODES"])
    conditions: BaseRetryableChecker = StandardRetryConditions(max_attempts=ATTEMPTS)
    client = Client(there.environment, sleep=lambda _seconds: None)
    theirs, ours = {}, {}
    for code in sorted(codes):
        answer = SimpleNamespace(status_code=400, headers={}, content=b"")
        given = {"Error": {"Code": code}}
        theirs[code] = conditions.is_retryable(RetryContext(1, models[0], given, answer))
        there.broken = refusal({"__type": f"a#{code}"})
        before = len(there.bodies)
        with pytest.raises(ClientError):
            client.put_item(TableName=cloud.settings.latest_table, Item={})
        ours[code] = len(there.bodies) - before == ATTEMPTS
    assert ours == theirs


@pytest.mark.parametrize(
    "given",
    [
        {"__type": "com.amazonaws.dynamodb.v20120810#ResourceInUseException", "message": "a"},
        {"__type": "ResourceInUseException:http://internal.amazon.com/coral/", "Message": "b"},
        {"__type": "ResourceInUseException"},
        {"message": "no type"},
        {},
    ],
)
def test_an_error_is_read_as_botocore_reads_it(there: Endpoint, given: dict[str, str]) -> None:
    there.broken = refusal(given)
    theirs = boto3.Session().client(
        "dynamodb",
        region_name=ENVIRONMENT["AWS_DEFAULT_REGION"],
        endpoint_url=f"http://localhost:{there.server_port}",
        aws_access_key_id="a",
        aws_secret_access_key="b",
        config=Config(retries={"total_max_attempts": 1}),
    )
    errors = []
    for client in (theirs, Client(there.environment)):
        with pytest.raises(ClientError) as raised:
            client.put_item(TableName="t", Item={})
        errors.append((raised.value.response["Error"], str(raised.value)))
    assert errors[0] == errors[1]
