"""DynamoDB's HTTP API on a port of this machine, answered by moto in this process."""

from __future__ import annotations

import json
import ssl
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Semaphore, Thread
from typing import Any

from botocore import xform_name
from botocore.exceptions import ClientError

from tests.edge_agent.certificates import Identity

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

    def __init__(self, client: Any, identity: Identity | None = None) -> None:
        """With an identity over TLS, whose certificate is for the name localhost."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self.scheme = "http"
        if identity:
            self.scheme = "https"
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(identity.certificate, identity.key)
            # The handshake is the business of a connection's thread.
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.client = client
        self.broken: Broken = lambda _handler: False
        self.heads: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        self.ended = Semaphore(0)

    @property
    def environment(self) -> dict[str, str]:
        """What leads a function's client here."""
        return self.named("localhost" if self.scheme == "https" else "127.0.0.1")

    def named(self, host: str) -> dict[str, str]:
        """What leads it here by another name of this machine."""
        return {**ENVIRONMENT, "AWS_ENDPOINT_URL_DYNAMODB": f"{self.scheme}://{host}:{self.server_port}"}

    def shutdown_request(self, request: Any) -> None:
        """End a connection, and tell so by ``ended``."""
        super().shutdown_request(request)
        self.ended.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that go away."""


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
def endpoint(client: Any, identity: Identity | None = None) -> Iterator[Endpoint]:
    """An endpoint for the time of a test."""
    server = Endpoint(client, identity)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
