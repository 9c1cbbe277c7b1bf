"""Connections that stay open: the one used last is used next, and no more are kept than said."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from cloud.http_connections import Connections
from tests.cloud.dynamo_endpoint import Endpoint, endpoint

AT_ONCE = 3


@pytest.fixture
def there() -> Iterator[Endpoint]:
    with endpoint(None) as served:
        served.broken = lambda handler: handler.answer(200, b"{}") is None
        yield served


def connections(there: Endpoint, kept: int) -> Connections:
    server = there.environment["AWS_ENDPOINT_URL_DYNAMODB"]
    return Connections(server, None, connect_s=5.0, answer_s=5.0, kept=kept)


def post(to: Connections) -> bytes:
    return to.post(b"{}", {"X-Amz-Target": "t.PutItem"}).content


def at_once(to: Connections, there: Endpoint) -> None:
    """As many requests as AT_ONCE, none answered before all are there."""
    usual, all_there = there.broken, Barrier(AT_ONCE)

    def together(handler: Any) -> bool:
        all_there.wait(10)
        return usual(handler)

    there.broken = together
    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert list(pool.map(lambda _: post(to), range(AT_ONCE))) == [b"{}"] * AT_ONCE
    there.broken = usual


@pytest.mark.parametrize(("kept", "ended"), [(1, 2), (2, 1), (10, 0)])
def test_as_many_connections_are_kept_as_were_used_at_once_and_no_more_than_said(
    there: Endpoint, kept: int, ended: int
) -> None:
    to = connections(there, kept)
    at_once(to, there)
    assert there.connections == AT_ONCE
    for _ in range(ended):
        assert there.ended.acquire(timeout=10)
    for _ in range(5):
        post(to)
    assert there.connections == AT_ONCE
    assert not there.ended.acquire(blocking=False)
    to.close()


def test_all_that_are_kept_are_closed_together_and_new_ones_made(there: Endpoint) -> None:
    to = connections(there, 10)
    at_once(to, there)
    to.close()
    for _ in range(AT_ONCE):
        assert there.ended.acquire(timeout=10)
    post(to)
    assert there.connections == AT_ONCE + 1
    to.close()


def test_several_threads_may_close_and_ask_at_once(there: Endpoint) -> None:
    to, before = connections(there, 2), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def ask_and_close(number: int) -> bytes:
        if number % 2:
            to.close()
        return post(to)

    try:
        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(ask_and_close, range(800))) == {b"{}"}
    finally:
        sys.setswitchinterval(before)
        to.close()
