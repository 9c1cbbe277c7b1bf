"""The Lambda runtime API for one process: it asks for an event, then posts a response or an error.

"Using the Lambda runtime API for custom runtimes" (Lambda developer guide, runtimes-api), version 2018-06-01.
"""

from __future__ import annotations

import json
import queue
import re
import threading
import time
import uuid
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any

PREFIX = "/2018-06-01/runtime"
RESPONSE_LIMIT = 6 * 1024 * 1024
"""Bytes of a response (Lambda quotas: 6 MB for a synchronous invocation)."""


_ROOT = re.compile(r"Root=1-([0-9a-f]{8})-([0-9a-f]{24});")

SHUTDOWN_CHECK_S = 0.1


@dataclass(frozen=True, slots=True)
class Invocation:
    """One event on its way to the process."""

    request_id: str
    body: bytes
    function_arn: str
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Taken:
    """The process has received the event; its time runs."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The process returned."""

    body: bytes


@dataclass(frozen=True, slots=True)
class Failed:
    """The process reported an error, of an invocation or of its start."""

    error_type: str
    message: str


Message = Taken | Answered | Failed


def trace_id(request_id: str) -> str:
    """The X-Ray trace id of an invocation, whose root has the digits of its request id.

    Header Lambda-Runtime-Trace-Id of "Next invocation" (Lambda developer guide, runtimes-api).
    """
    digits = request_id.replace("-", "")
    return f"Root=1-{digits[:8]}-{digits[8:32]};Parent={digits[16:32]};Sampled=0"


def request_of(trace: str) -> str:
    """The request id of the invocation that a trace id belongs to; empty when it is none of ours."""
    found = _ROOT.match(trace)
    return str(uuid.UUID(found[1] + found[2])) if found else ""


class RuntimeApi:
    """The HTTP server that one process talks to, on a free port of 127.0.0.1."""

    def __init__(self) -> None:
        self._events: queue.Queue[Invocation | None] = queue.Queue()
        self.messages: queue.Queue[Message] = queue.Queue()
        """What the process said, in order."""
        self._current = ""
        self._server = _Server(self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(SHUTDOWN_CHECK_S,), name="runtime-api", daemon=True
        )
        self._thread.start()

    @property
    def address(self) -> str:
        """The value of AWS_LAMBDA_RUNTIME_API."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    def offer(self, invocation: Invocation) -> None:
        """Hand an event to the process when it next asks."""
        self._events.put(invocation)

    def close(self) -> None:
        """Stop answering; requests that wait for an event are let go."""
        self._events.put(None)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def take(self) -> Invocation | None:
        """Wait for an event, in the name of the process; None when the server closes."""
        invocation = self._events.get()
        if invocation is None:
            self._events.put(None)  # for whoever else waits
            return None
        self._current = invocation.request_id
        self.messages.put(Taken())
        return invocation

    def answer(self, path: str, body: bytes, oversized: bool) -> HTTPStatus:
        """Take what the process posted."""
        if path == "init/error":
            self.messages.put(_failure(body))
            return HTTPStatus.ACCEPTED
        request, _, kind = path.removeprefix("invocation/").partition("/")
        if kind not in ("response", "error"):
            return HTTPStatus.NOT_FOUND
        if request != self._current:
            return HTTPStatus.BAD_REQUEST
        if oversized:
            self.messages.put(
                Failed("Function.ResponseSizeTooLarge", f"the response is larger than {RESPONSE_LIMIT} bytes")
            )
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        self.messages.put(Answered(body) if kind == "response" else _failure(body))
        return HTTPStatus.ACCEPTED


def _failure(body: bytes) -> Failed:
    try:
        error = json.loads(body)
    except ValueError:
        error = None
    if not isinstance(error, dict):
        return Failed("Unknown", body.decode(errors="replace"))
    return Failed(str(error.get("errorType") or "Unknown"), str(error.get("errorMessage") or ""))


class _Server(ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False  # a connection that the process keeps open must not hold up the end

    def __init__(self, api: RuntimeApi) -> None:
        self.api = api
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A process that was killed while it talked to us is reported as that, not here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        if self.path != f"{PREFIX}/invocation/next":
            self._reply(HTTPStatus.NOT_FOUND, b"{}", {})
            return
        invocation = self.server.api.take()
        if invocation is None:
            self.close_connection = True
            return
        deadline_ms = int((time.time() + invocation.timeout_s) * 1000)
        self._reply(
            HTTPStatus.OK,
            invocation.body,
            {
                "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
                "Lambda-Runtime-Deadline-Ms": str(deadline_ms),
                "Lambda-Runtime-Invoked-Function-Arn": invocation.function_arn,
                "Lambda-Runtime-Trace-Id": trace_id(invocation.request_id),
            },
        )

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        oversized = length > RESPONSE_LIMIT
        body = b"" if oversized else self.rfile.read(length)
        self.close_connection = oversized  # the rest of it is never read
        status = self.server.api.answer(self.path.removeprefix(f"{PREFIX}/"), body, oversized)
        self._reply(status, b'{"status":"OK"}' if status == HTTPStatus.ACCEPTED else b"{}", {})

    def _reply(self, status: HTTPStatus, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: results are reported by the runtime."""
