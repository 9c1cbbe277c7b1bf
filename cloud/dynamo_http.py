"""DynamoDB's low-level API over HTTP, as far as the ingest function asks it: four calls, signed and sent.

A client of botocore takes 1 ms of CPU for a call and reads megabytes of models when it is made; most of what
a call costs is then not its work. This one takes the same arguments, gives the same answers and raises the
same errors. Credentials and region are those of the function's environment (Lambda developer guide, "Defined
runtime environment variables"), the signature is Signature Version 4 (IAM user guide, "Create a signed AWS
API request").
"""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import ssl
import time
from binascii import a2b_base64, b2a_base64
from collections import deque
from collections.abc import Callable, Mapping
from functools import lru_cache, partialmethod
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError, HTTPClientError

from cloud.dynamo import ATTEMPTS, CONNECT_S, READ_S

PAUSE_S = 0.05
"""Before the second attempt, at most."""
_TYPE = "application/x-amz-json-1.0"
_SIGNED = "content-type;host;x-amz-date;x-amz-target"
_THROTTLED = frozenset(
    {"ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException"}
)
_BROKEN = frozenset({500, 502, 503, 504})


class Client:
    """A DynamoDB client of one process; its calls may be made from several threads."""

    def __init__(
        self,
        environment: Mapping[str, str],
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        region = environment.get("AWS_REGION") or environment["AWS_DEFAULT_REGION"]
        domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        named = environment.get("AWS_ENDPOINT_URL_DYNAMODB") or environment.get("AWS_ENDPOINT_URL")
        self._url = urlsplit(named or f"https://dynamodb.{region}.{domain}")
        self._region = region
        self._key_id, self._secret = environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"]
        self._token = environment.get("AWS_SESSION_TOKEN", "")
        self._now = now
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
        at = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._now()))
        target, host = f"DynamoDB_20120810.{operation}", self._url.netloc
        scope = f"{at[:8]}/{self._region}/dynamodb/aws4_request"
        headers = f"content-type:{_TYPE}\nhost:{host}\nx-amz-date:{at}\n"
        signed = _SIGNED
        if self._token:
            headers += f"x-amz-security-token:{self._token}\n"
            signed = _SIGNED.replace("x-amz-target", "x-amz-security-token;x-amz-target")
        headers += f"x-amz-target:{target}\n"
        canonical = f"POST\n/\n\n{headers}\n{signed}\n{hashlib.sha256(body).hexdigest()}"
        text = f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = _signing_key(self._secret, at[:8], self._region)
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        credential = f"AWS4-HMAC-SHA256 Credential={self._key_id}/{scope}"
        return (
            "POST / HTTP/1.1\r\n"
            + headers.replace("\n", "\r\n")
            + f"content-length:{len(body)}\r\nuser-agent:linkpulse\r\n"
            + f"authorization:{credential}, SignedHeaders={signed}, Signature={signature}\r\n\r\n"
        ).encode("ascii")


@lru_cache(maxsize=4)
def _signing_key(secret: str, day: str, region: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, region, "dynamodb", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


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
