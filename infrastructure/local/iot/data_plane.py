"""IoT Data on 127.0.0.1: Publish, handed to the broker (AWS IoT API reference, "Publish").

boto3 sends POST /topics/<topic>?qos=1 with the payload as body; 200 with an empty object is success. The
rest of the service (shadows, retained messages) does not exist here: 404.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

log = logging.getLogger(__name__)

MAX_PAYLOAD = 131_072
"""AWS IoT Core quotas: 128 KB a message."""
PREFIX = "/topics/"
Publish = Callable[[str, bytes, int], None]
"""Publishes on a topic at a QoS; raises OSError when the broker does not take it."""


class DataPlane:
    """The service, on a port of its own."""

    def __init__(self, publish: Publish) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, publish))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="data plane", daemon=True)

    @property
    def url(self) -> str:
        """Its endpoint."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5.0)

    def failure(self) -> str:
        """Why it works no longer; empty while it does."""
        return "" if self._thread.is_alive() else "its thread has ended; see its log"


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, publish: Publish, *args: Any) -> None:
        self._publish = publish
        super().__init__(*args)

    def do_POST(self) -> None:
        """Publish."""
        asked = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        if length > MAX_PAYLOAD:
            self._answer(413, "RequestEntityTooLargeException", "the payload is larger than 128 KB")
            return
        payload = self.rfile.read(length)
        topic, qos = unquote(asked.path.removeprefix(PREFIX)), parse_qs(asked.query).get("qos", ["0"])[0]
        if not asked.path.startswith(PREFIX) or not topic:
            self._answer(404, "ResourceNotFoundException", "only Publish is here")
        elif qos not in ("0", "1") or {"+", "#"} & set(topic):
            self._answer(400, "InvalidRequestException", "QoS is 0 or 1, a topic has no wildcards")
        else:
            self._hand_over(topic, payload, int(qos))

    def _hand_over(self, topic: str, payload: bytes, qos: int) -> None:
        try:
            self._publish(topic, payload, qos)
        except OSError as exc:
            self._answer(500, "InternalFailureException", str(exc))
        else:
            self._answer(200)

    def _answer(self, status: int, code: str = "", message: str = "") -> None:
        body = json.dumps({"message": message} if code else {}).encode()
        self.send_response(status)
        if code:
            self.send_header("x-amzn-ErrorType", code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """To our log, not to stderr."""
        log.debug(format, *args)
