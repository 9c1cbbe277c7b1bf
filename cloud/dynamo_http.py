"""DynamoDB's low-level API over HTTP, as far as the ingest function asks it: four calls, signed and sent.

A client of botocore takes 1 ms of CPU for a call and reads megabytes of models when it is made; most of what
a call costs is then not its work. This one takes the same arguments, gives the same answers and raises the
same errors. Credentials and signature are botocore's, the connections those of the standard library.
"""

from __future__ import annotations

import json
import random
import ssl
import time
from binascii import a2b_base64, b2a_base64
from collections import deque
from collections.abc import Callable, Mapping
from functools import partialmethod
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import EnvProvider
from botocore.exceptions import ClientError, HTTPClientError, NoCredentialsError

from cloud.dynamo import ATTEMPTS, CONNECT_S, READ_S

PAUSE_S = 0.05
"""Before the second attempt, at most."""
_TYPE = "application/x-amz-json-1.0"
_THROTTLED = frozenset(
    {"ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException"}
)
_BROKEN = frozenset({500, 502, 503, 504})


class Client:
    """A DynamoDB client of one process; its calls may be made from several threads."""

    def __init__(self, environment: Mapping[str, str], sleep: Callable[[float], None] = time.sleep) -> None:
        """``environment`` has region, credentials (Lambda developer guide, "Defined runtime environment
        variables") and, where it is not AWS's own, the endpoint."""
        region = environment.get("AWS_REGION") or environment["AWS_DEFAULT_REGION"]
        domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        named = environment.get("AWS_ENDPOINT_URL_DYNAMODB") or environment.get("AWS_ENDPOINT_URL")
        self._url = urlsplit(f"{(named or f'https://dynamodb.{region}.{domain}').rstrip('/')}/")
        self._region = region
        credentials = EnvProvider(environment).load()
        if credentials is None:
            raise NoCredentialsError
        self._credentials = credentials
        self._environment = environment
        self._sleep = sleep
        self._tls = ssl.create_default_context() if self._url.scheme == "https" else None
        self._idle: deque[HTTPConnection] = deque()

    def _call(self, operation: str, **request: Any) -> dict[str, Any]:
        """The answer to one request; raises ClientError, HTTPClientError."""
        body = json.dumps(request, default=_base64, separators=(",", ":")).encode()
        for attempt in range(1, ATTEMPTS + 1):
            try:
                status, answer = self._send(operation, body)
                given = json.loads(answer, object_hook=_bytes) if answer else {}
            except (OSError, HTTPException, ValueError) as exc:
                failed: Exception = HTTPClientError(error=exc)
                again = True
            else:
                if status == 200:
                    return dict(given)
                failed, again = _error(operation, status, given)
            if not again or attempt == ATTEMPTS:
                raise failed
            self._sleep(random.random() * PAUSE_S)
        raise AssertionError

    batch_get_item = partialmethod(_call, "BatchGetItem")
    batch_write_item = partialmethod(_call, "BatchWriteItem")
    put_item = partialmethod(_call, "PutItem")
    update_item = partialmethod(_call, "UpdateItem")

    def _send(self, operation: str, body: bytes) -> tuple[int, bytes]:
        """Status and content of one answer; raises OSError, HTTPException."""
        connection = self._idle.pop() if self._idle else self._connect()
        try:
            # In one piece: http.client would send head and body apart, two system calls for one.
            connection.sock.sendall(self._head(operation, body) + body)
            with HTTPResponse(connection.sock, method="POST") as response:
                response.begin()
                answer = response.read()
                status, closes = response.status, response.will_close
        except BaseException:
            connection.close()
            # After a pause the other end has closed all of them; the next attempt must find a new one.
            self._idle.clear()
            raise
        if closes:
            connection.close()
        else:
            self._idle.append(connection)
        return status, answer

    def _connect(self) -> HTTPConnection:
        host, port = self._url.hostname or "", self._url.port
        made = (
            HTTPConnection(host, port, timeout=CONNECT_S)
            if self._tls is None
            else HTTPSConnection(host, port, timeout=CONNECT_S, context=self._tls)
        )
        made.connect()
        made.sock.settimeout(READ_S)
        return made

    def _head(self, operation: str, body: bytes) -> bytes:
        """Request line and headers, signed."""
        named = {"Content-Type": _TYPE, "X-Amz-Target": f"DynamoDB_20120810.{operation}"}
        request = AWSRequest("POST", self._url.geturl(), named, body)
        SigV4Auth(self._credentials.get_frozen_credentials(), "dynamodb", self._region).add_auth(request)
        more = {"Host": self._url.netloc, "Content-Length": str(len(body)), "User-Agent": "linkpulse"}
        if trace := self._environment.get("_X_AMZN_TRACE_ID"):
            more["X-Amzn-Trace-Id"] = trace  # of this invocation, as botocore passes it on
        fields = (*request.headers.items(), *more.items())
        headers = "".join(f"{name}: {value}\r\n" for name, value in fields)
        return f"POST / HTTP/1.1\r\n{headers}\r\n".encode("ascii")


def _error(operation: str, status: int, given: Any) -> tuple[ClientError, bool]:
    """The error in an answer, and whether it is worth a second attempt."""
    named = given if isinstance(given, dict) else {}
    code = str(named.get("__type", "")).rpartition("#")[2] or str(status)
    message = str(named.get("message") or named.get("Message") or "")
    error = ClientError({"Error": {"Code": code, "Message": message}}, operation)
    return error, status in _BROKEN or code in _THROTTLED


def _base64(value: Any) -> str:
    return b2a_base64(value, newline=False).decode()


def _bytes(given: dict[str, Any]) -> dict[str, Any]:
    """An attribute value of type binary with its bytes; anything else as it is."""
    binary = given.get("B")
    return {"B": a2b_base64(binary)} if isinstance(binary, str) else given
