"""DynamoDB's HTTP API on a port of this machine, answered by moto in this process."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from botocore import xform_name
from botocore.exceptions import ClientError

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    "AWS_DEFAULT_REGION": "eu-central-1",
}

Broken = Callable[[Any], bool]
"""Whether a request is answered badly, which it does itself."""


class Endpoint(ThreadingHTTPServer):
    """Answers through a client of botocore; ``broken`` may answer instead."""

    daemon_threads = True

    def __init__(self, client: Any) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.client = client
        self.broken: Broken = lambda _handler: False
        self.heads: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self.connections = 0

    @property
    def environment(self) -> dict[str, str]:
        """What leads a function's client here."""
        return {**ENVIRONMENT, "AWS_ENDPOINT_URL_DYNAMODB": f"http://127.0.0.1:{self.server_port}"}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Endpoint

    def setup(self) -> None:
        self.server.connections += 1
        super().setup()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.heads.append({name.lower(): value for name, value in self.headers.items()})
        self.server.bodies.append(body)
        if not self.server.broken(self):
            self.answer(*self._ask(json.loads(body, object_hook=_bytes)))

    def _ask(self, request: Any) -> tuple[int, Any]:
        operation = self.headers["x-amz-target"].rpartition(".")[2]
        try:
            answer = getattr(self.server.client, xform_name(operation))(**request)
        except ClientError as exc:
            error = exc.response["Error"]
            return 400, {"__type": f"com.amazonaws.dynamodb#{error['Code']}", "message": error["Message"]}
        answer.pop("ResponseMetadata", None)
        return 200, answer

    def answer(self, status: int, given: Any) -> None:
        """Send an answer, of JSON unless it is bytes."""
        body = given if isinstance(given, bytes) else json.dumps(given, default=_text).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def _bytes(given: dict[str, Any]) -> dict[str, Any]:
    return {"B": b64decode(given["B"])} if isinstance(given.get("B"), str) else given


def _text(value: Any) -> str:
    return b64encode(bytes(value)).decode()


@contextmanager
def endpoint(client: Any) -> Iterator[Endpoint]:
    """An endpoint for the time of a test."""
    server = Endpoint(client)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
