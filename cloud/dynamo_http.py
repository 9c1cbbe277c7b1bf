"""DynamoDB's low-level API over HTTP, as far as the ingest function asks it: four calls, signed and sent.

A client of botocore takes 1 ms of CPU for a call and reads megabytes of models when it is made; most of what
a call costs is then not its work. This one takes the same arguments, gives the same answers and raises the
same errors. Credentials and signature are botocore's.
"""

from __future__ import annotations

import json
import random
import ssl
import time
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Mapping
from functools import partialmethod
from http.client import HTTPException
from typing import Any
from urllib.parse import quote, urlsplit
from zlib import crc32

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import EnvProvider
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    InvalidConfigError,
    NoCredentialsError,
    SSLError,
)

from cloud.dynamo import ATTEMPTS, CONNECT_S, READ_S
from cloud.http_connections import Answer, Connections

PAUSE_S = 0.05
"""Before the second attempt, at most."""
KEPT = 10
"""Connections that are kept open, as many as botocore's (botocore, Config)."""
_TYPE = "application/x-amz-json-1.0"
_DOMAINS = {"cn": "amazonaws.com.cn", "eusc": "amazonaws.eu"}
"""By the first part of a region's name, where it is not amazonaws.com (botocore, partitions.json)."""
_PASSING = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "ReplicatedWriteConflictException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestTimeout",
        "RequestTimeoutException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)
"""Errors worth a second attempt: those of botocore's standard mode (botocore, retries/standard.py), and of
DynamoDB's model in it."""
_FAILURES = (HTTPException, OSError, ValueError, RuntimeError, OverflowError, MemoryError)
"""Of a request that has no answer. RuntimeError: credentials that are over (botocore), JSON nested too deep
(Python); the last two: an answer that says it is longer than anything."""
_BROKEN = frozenset({500, 502, 503, 504})


class Client:
    """A DynamoDB client of one process; its calls may be made from several threads."""

    def __init__(
        self,
        environment: Mapping[str, str],
        sleep: Callable[[float], None] = time.sleep,
        answer_s: float = READ_S,
    ) -> None:
        """``environment`` has region, credentials (Lambda developer guide, "Defined runtime environment
        variables") and, where they are not AWS's own, endpoint and CA; an answer may pause for ``answer_s``.

        Raises ValueError for an endpoint that is none, NoCredentialsError, InvalidConfigError.
        """
        self._region = environment.get("AWS_REGION") or environment["AWS_DEFAULT_REGION"]
        named = environment.get("AWS_ENDPOINT_URL_DYNAMODB") or environment.get("AWS_ENDPOINT_URL")
        domain = _DOMAINS.get(self._region.partition("-")[0], "amazonaws.com")
        self.endpoint = _server(named or f"https://dynamodb.{self._region}.{domain}")
        credentials = EnvProvider(environment).load()
        if credentials is None:
            raise NoCredentialsError
        self._credentials = credentials
        self._environment = environment
        self._sleep = sleep
        context = _trust(environment) if self.endpoint.startswith("https:") else None
        self._connections = Connections(self.endpoint, context, CONNECT_S, answer_s, KEPT)

    def _call(self, operation: str, **request: Any) -> dict[str, Any]:
        """The answer to one request; raises ClientError, SSLError, HTTPClientError."""
        content = json.dumps(request, default=_base64, separators=(",", ":")).encode()
        for attempt in range(1, ATTEMPTS + 1):
            try:
                answer = self._connections.post(content, self._headers(operation, content))
                given = _given(answer)
            except _FAILURES as exc:
                # After a pause the other end has closed them all: the next attempt must find a new one.
                self._connections.close()
                failed: Exception = self._failure(exc)
                again = True
            else:
                if answer.status == 200:
                    return given
                failed, again = _error(operation, answer.status, given)
            if not again or attempt == ATTEMPTS:
                raise failed
            self._sleep(random.random() * PAUSE_S)
        raise AssertionError("a call ends with an answer or an error")

    batch_get_item = partialmethod(_call, "BatchGetItem")
    batch_write_item = partialmethod(_call, "BatchWriteItem")
    put_item = partialmethod(_call, "PutItem")
    update_item = partialmethod(_call, "UpdateItem")

    def _headers(self, operation: str, content: bytes) -> dict[str, str]:
        """The headers of a request, signed; raises RuntimeError for credentials that are over."""
        named = {"Content-Type": _TYPE, "X-Amz-Target": f"DynamoDB_20120810.{operation}"}
        request = AWSRequest("POST", f"{self.endpoint}/", named, content)
        SigV4Auth(self._credentials.get_frozen_credentials(), "dynamodb", self._region).add_auth(request)
        headers = {**dict(request.headers.items()), "User-Agent": "linkpulse"}
        if trace := self._environment.get("_X_AMZN_TRACE_ID"):
            # Of this invocation, as botocore passes it on.
            headers["X-Amzn-Trace-Id"] = quote(trace, safe="-=;:+&[]{}\"',")
        return headers

    def _failure(self, exc: Exception) -> BotoCoreError:
        if isinstance(exc, ssl.SSLError):
            return SSLError(endpoint_url=self.endpoint, error=exc)
        # What a server says is part of some messages, at any length.
        return HTTPClientError(error=f"{type(exc).__name__}: {exc}"[:200])


def _server(named: str) -> str:
    """Scheme and authority of an endpoint; raises ValueError, as botocore does, for what is none."""
    url = urlsplit(named.rstrip("/"))
    extra = url.path or url.query or url.fragment or "@" in url.netloc or "%" in url.netloc
    if url.scheme not in ("http", "https") or not url.hostname or extra or not named.isascii():
        raise ValueError(f"Invalid endpoint: {named}")
    # In lower case, as it is signed.
    return f"{url.scheme}://{url.netloc.lower()}"


def _trust(environment: Mapping[str, str]) -> ssl.SSLContext:
    """Trusts the system's CAs, or those of AWS_CA_BUNDLE alone; raises InvalidConfigError, as botocore does.

    "Specifies the path to a custom certificate bundle (a file with a .pem extension) to use when establishing
    SSL/TLS connections" (AWS SDKs and Tools reference guide, "General configuration settings").
    """
    bundle = environment.get("AWS_CA_BUNDLE")
    try:
        # None is the system's, and so would an empty name be.
        return ssl.create_default_context(cafile=bundle if bundle is None else bundle or "/")
    except OSError as exc:
        raise InvalidConfigError(error_msg=f"AWS_CA_BUNDLE, {bundle!r}, cannot be used: {exc}") from exc


def _given(answer: Answer) -> dict[str, Any]:
    """The content of an answer, {} of an error without; raises HTTPException, ValueError, RuntimeError."""
    content = answer.content
    # DynamoDB's own, which botocore checks as well (botocore, retries/special.py).
    if (told := answer.headers.get("x-amz-crc32")) and int(told) != crc32(content):
        raise HTTPException("an answer that does not have its checksum")
    try:
        given = json.loads(content, object_hook=_bytes)
    except ValueError:
        given = None
    if isinstance(given, dict):
        return given
    if answer.status == 200:
        raise HTTPException("an answer that is no JSON object")
    return {}


def _error(operation: str, status: int, given: Mapping[str, Any]) -> tuple[ClientError, bool]:
    """The error in an answer, and whether it is worth a second attempt."""
    code = str(given.get("__type", "")).partition(":")[0].rpartition("#")[2] or str(status)
    message = str(given.get("message") or given.get("Message") or "")
    error = ClientError({"Error": {"Code": code, "Message": message}}, operation)
    return error, status in _BROKEN or code in _PASSING


def _base64(value: Any) -> str:
    return b2a_base64(value, newline=False).decode()


def _bytes(given: dict[str, Any]) -> dict[str, Any]:
    """An attribute value of type binary with its bytes; anything else as it is."""
    binary = given.get("B")
    return {"B": a2b_base64(binary)} if isinstance(binary, str) else given
