"""A proxy before DynamoDB that throttles, errs, loses answers, processes batches in part and ends callers.

Real HTTP, so that the real client meets the faults. Codes are those of "Error handling with DynamoDB"
(https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html); a batch is left
in part as in https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html.
"""

from __future__ import annotations

import http.client
import json
import re
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any
from urllib.parse import urlsplit

from infrastructure.local.faults import Dice, Fault
from infrastructure.local.faults_function import Fates
from infrastructure.local.function.invocation import Outcome
from infrastructure.local.function.runtime_api import request_of

SHUTDOWN_CHECK_S = 0.1
ANSWER_LIMIT_S = 30.0
OPERATION = re.compile(r"DynamoDB_\d+\.(\w+)")
BATCHES = {"BatchWriteItem": "UnprocessedItems", "BatchGetItem": "UnprocessedKeys"}
THROTTLED = "ProvisionedThroughputExceededException"
SERVER_ERROR = "InternalServerError"
NOT_PASSED_ON = ("host", "connection", "content-length", "transfer-encoding", "date", "server")

End = Callable[[str, Outcome], None]
"""Ends the process that works on a request id as if it crashed or its time were over."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What DynamoDB answers."""

    status: int
    headers: dict[str, str]
    body: bytes


class FaultyDynamoDB:
    """The proxy, on a free port of 127.0.0.1."""

    def __init__(self, endpoint: str, dice: Dice, fates: Fates, end: End) -> None:
        self._endpoint = urlsplit(endpoint).netloc
        self._dice = dice
        self._fates = fates
        self._end = end
        self._server = _Server(self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(SHUTDOWN_CHECK_S,), name="faulty-dynamodb", daemon=True
        )

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def failure(self) -> str:
        """Why it answers no longer; empty while it does."""
        return "" if self._thread.is_alive() else "its thread has ended"

    def forward(self, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """Send a call on, without what belongs to a connection and the checksum of another body."""
        sent = {name: value for name, value in headers.items() if name not in NOT_PASSED_ON}
        # A connection of its own: one that is kept may be closed by the other side at any moment.
        with closing(http.client.HTTPConnection(self._endpoint, timeout=ANSWER_LIMIT_S)) as upstream:
            upstream.request("POST", path, body, sent)
            response = upstream.getresponse()
            content = response.read()
        dropped = (*NOT_PASSED_ON, "x-amz-crc32")
        kept = {name: value for name, value in response.getheaders() if name.lower() not in dropped}
        return Answer(response.status, kept, content)

    def exchange(self, path: str, headers: dict[str, str], body: bytes) -> Answer | None:
        """The answer to a call, None when none arrives. Raises OSError, http.client.HTTPException."""
        request_id = request_of(headers.get("x-amzn-trace-id", ""))
        blow = self._fates.call(request_id) if request_id else None
        if request_id and blow and not blow.after:
            self._end(request_id, blow.outcome)
            return None
        answer = self._answered(path, headers, body)
        if request_id and blow:
            self._end(request_id, blow.outcome)
            return None
        return answer

    def _answered(self, path: str, headers: dict[str, str], body: bytes) -> Answer | None:
        operation = _operation(headers)
        if self._dice.falls(Fault.THROTTLED):
            return _error(HTTPStatus.BAD_REQUEST, THROTTLED)
        if self._dice.falls(Fault.SERVER_ERROR):
            # "the operation may have succeeded or failed" (Programming.Errors): both happen.
            if self._dice.below(2):
                self.forward(path, headers, body)
            return _error(HTTPStatus.INTERNAL_SERVER_ERROR, SERVER_ERROR)
        if self._dice.falls(Fault.ANSWER_LOST):
            self.forward(path, headers, body)
            return None
        if operation in BATCHES and self._dice.threatens(Fault.UNPROCESSED):
            return self._in_part(operation, path, headers, body)
        return self.forward(path, headers, body)

    def _in_part(self, operation: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """Send on a part of the batch, at least one item, and name the rest as unprocessed."""
        request = json.loads(body)
        kept, left = split(request["RequestItems"], self._dice)
        if not left:
            return self.forward(path, headers, body)
        self._dice.count(Fault.UNPROCESSED)
        answer = self.forward(path, headers, json.dumps(request | {"RequestItems": kept}).encode())
        if answer.status != HTTPStatus.OK:
            return answer
        told = json.loads(answer.body)
        told[BATCHES[operation]] = _merged(left, told.get(BATCHES[operation]) or {})
        return Answer(answer.status, answer.headers, json.dumps(told).encode())


def split(items: dict[str, Any], dice: Dice) -> tuple[dict[str, Any], dict[str, Any]]:
    """RequestItems in two: what is processed, at least one, and what is left, at least one of several."""
    every = [(table, each) for table, asked in items.items() for each in _members(asked)]
    if len(every) < 2:
        return items, {}
    first = dice.below(len(every))
    count = 1 + dice.below(len(every) - 1)
    chosen = {(first + step) % len(every) for step in range(count)}
    parts: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    for place, (table, each) in enumerate(every):
        part = parts[place not in chosen]
        _members(part.setdefault(table, _empty(items[table]))).append(each)
    return parts


def _members(asked: Any) -> list[Any]:
    """The write requests of a table, or the keys of one that is read."""
    members: list[Any] = asked["Keys"] if isinstance(asked, dict) else asked
    return members


def _empty(asked: Any) -> Any:
    return asked | {"Keys": []} if isinstance(asked, dict) else []


def _merged(left: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    for table, asked in more.items():
        _members(left.setdefault(table, _empty(asked))).extend(_members(asked))
    return left


def _operation(headers: dict[str, str]) -> str:
    found = OPERATION.fullmatch(headers.get("x-amz-target", ""))
    return found[1] if found else ""


def _error(status: HTTPStatus, code: str) -> Answer:
    body = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "injected"}
    return Answer(status, {"Content-Type": "application/x-amz-json-1.0"}, json.dumps(body).encode())


class _Server(ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, proxy: FaultyDynamoDB) -> None:
        self.proxy = proxy
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that was killed while it talked to us is what we are for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            answer = self.server.proxy.exchange(self.path, headers, body)
        except (OSError, http.client.HTTPException):
            answer = None  # the engine is gone, and so is the answer
        if answer is None:
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: faults are counted."""
