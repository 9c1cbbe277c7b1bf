"""The ingest function with its own client against an endpoint of this machine that answers at once."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from cloud.dynamo import connect
from cloud.dynamo_http import Client
from cloud.latest_store import WORKERS
from tests.benchmarks import ingest_peer
from tests.benchmarks.ingest_fleet import READINGS, SETTINGS, Minutes, pipeline_on
from tests.benchmarks.paired import Row, rates

LEAST_A_SECOND = 40_000
WARM, REPEATS = 3, 7


def rows() -> list[Row]:
    """Readings a second of CPU time of the function's process, sockets and signatures included."""
    minutes = Minutes(WARM + REPEATS)
    messages = minutes.messages()
    with _endpoint() as url, _credentials(url):
        client = connect()  # botocore's, as the usual function has it
        pipeline = pipeline_on(Client(os.environ), WORKERS)
        for _ in range(WARM):
            minutes.run(pipeline)

        def peer() -> None:
            assert ingest_peer.run(messages, client, ingest_peer.One) == {"batchItemFailures": []}

        pair = rates(lambda: minutes.run(pipeline), peer, READINGS, REPEATS)
    peer_name = "Powertools, pydantic"
    return [Row("... over HTTP", "readings/s", *pair, peer_name, least=LEAST_A_SECOND)]


@contextmanager
def _credentials(url: str) -> Iterator[None]:
    """An environment in which the function's own client asks the stub."""
    given = {
        "AWS_ENDPOINT_URL_DYNAMODB": url,
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }
    before = dict(os.environ)
    os.environ.update(given)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _endpoint() -> Iterator[str]:
    """The stub in a process of its own: its CPU time is nobody's."""
    ours, theirs = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()


def _serve(tell: Connection) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Stub)
    tell.send(server.server_port)
    server.serve_forever()


class _Stub(BaseHTTPRequestHandler):
    """DynamoDB as far as the function asks it: keeps the latest states, takes the rest."""

    protocol_version = "HTTP/1.1"
    latest: dict[str, Any] = {}  # noqa: RUF012 - of the process

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        operation = self.headers["X-Amz-Target"].rpartition(".")[2]
        body = json.dumps(self._answer(operation, request)).encode()
        kind = "application/x-amz-json-1.0"
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        self.wfile.write(head.encode() + body)

    def _answer(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        table = SETTINGS.latest_table
        if operation == "BatchWriteItem":
            return {"UnprocessedItems": {}}
        if operation == "BatchGetItem":
            asked = request["RequestItems"].get(table, {"Keys": ()})["Keys"]
            names = [key["gateway"]["S"] for key in asked]
            found = [self.latest[name] for name in names if name in self.latest]
            return {"Responses": {table: found}, "UnprocessedKeys": {}}
        if operation == "PutItem" and request["TableName"] == table:
            self.latest[request["Item"]["gateway"]["S"]] = request["Item"]
        if operation == "UpdateItem":
            self.latest[request["Key"]["gateway"]["S"]].pop("ev", None)
        return {}

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
