"""Connections of a publisher that fail or are lost: what is said of them, and what they leave behind."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from awscrt.exceptions import AwsCrtError

from edge_agent.mqtt_aws import describe
from edge_agent.publisher import Publisher, PublishError
from tests.edge_agent.mqtt_rig import TOPIC, WITHIN_S, failure, mqtt, run

TLS_S = 3
"""The SDK says why it does not trust a broker only after 10 to 30 s; that it does not connect is enough."""


def native_threads() -> int:
    """All threads of this process, those that Python does not know included."""
    return len(list(Path("/proc/self/task").iterdir()))


def test_a_publish_waiting_for_its_answer_fails_when_the_broker_dies(kind: str, broker: Any) -> None:
    async def work(publisher: Publisher) -> None:
        await publisher.connect()
        broker.freeze()
        waiting = asyncio.create_task(publisher.publish(TOPIC, b"unanswered"))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        broker.kill()
        with pytest.raises(PublishError, match="localhost"):
            await waiting

    run(mqtt(kind, broker, timeout_s=2 * WITHIN_S), work)


def test_a_broker_that_does_not_answer_counts_as_lost(kind: str, broker: Any) -> None:
    async def work(publisher: Publisher) -> None:
        await publisher.connect()
        broker.freeze()
        with pytest.raises(PublishError, match=r"no acknowledgement within 0\.5 s"):
            await publisher.publish(TOPIC, b"unanswered")
        with pytest.raises(PublishError, match="no acknowledgement"):
            await publisher.publish(TOPIC, b"at once")
        broker.thaw()
        await publisher.connect()
        await publisher.publish(TOPIC, b"answered")

    run(mqtt(kind, broker, timeout_s=0.5), work)


def test_a_lost_connection_is_not_reopened_before_it_is_asked_for(kind: str, broker: Any) -> None:
    async def work(publisher: Publisher) -> None:
        await publisher.connect()
        broker.kill()
        with pytest.raises(PublishError):
            await publisher.publish(TOPIC, b"lost")
        broker.start()
        await asyncio.sleep(2.5)  # the SDK's own first attempt would come within 1 s

    run(mqtt(kind, broker), work)
    assert broker.log.count(" as gw-1 ") == 1


def test_a_dead_port_is_named(kind: str, broker: Any) -> None:
    broker.kill()
    message = failure(mqtt(kind, broker))
    assert message.startswith(f"localhost:{broker.port}: ")
    assert "refused" in message.lower()


def test_a_port_that_never_speaks_ends_in_its_timeout(kind: str, broker: Any) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        message = failure(mqtt(kind, broker, port=silent.getsockname()[1], timeout_s=0.5))
    assert message.startswith("localhost:")


def test_a_name_that_does_not_resolve_is_said_so(kind: str, broker: Any) -> None:
    message = failure(mqtt(kind, broker, endpoint="broker.invalid"))
    assert message.startswith(f"broker.invalid:{broker.port}: ")


def test_a_broker_of_another_ca_is_not_trusted(kind: str, broker: Any, tmp_path: Path) -> None:
    other = type(broker.authority)(tmp_path / "other")
    message = failure(mqtt(kind, broker, ca=other.ca, timeout_s=TLS_S))
    assert message.startswith(f"localhost:{broker.port}: ")
    assert kind == "awsiotsdk" or "certificate is not trusted: self-signed" in message


def test_a_broker_under_another_name_is_not_trusted(kind: str, broker: Any) -> None:
    message = failure(mqtt(kind, broker, endpoint="127.0.0.1", timeout_s=TLS_S))
    assert kind == "awsiotsdk" or "certificate is not trusted: IP address mismatch" in message


def test_the_sdks_word_for_a_broker_it_does_not_trust_is_put_in_ours() -> None:
    exc = AwsCrtError(1029, "AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE", "TLS (SSL) negotiation failed")
    assert describe(exc) == "TLS failed: the broker's certificate is not of this CA or not for this name"


def test_a_certificate_of_another_ca_is_refused_by_the_broker(kind: str, broker: Any, tmp_path: Path) -> None:
    stranger = type(broker.authority)(tmp_path / "other").issue("gw-1")
    message = failure(mqtt(kind, broker, stranger, ca=broker.authority.ca))
    assert message.startswith(f"localhost:{broker.port}: ")


@pytest.mark.parametrize("file", ["ca", "certificate", "key"])
def test_a_missing_file_is_named(kind: str, broker: Any, tmp_path: Path, file: str) -> None:
    missing = tmp_path / "missing.pem"
    assert failure(mqtt(kind, broker, **{file: missing})) == f"{missing}: No such file or directory"


@pytest.mark.parametrize("file", ["ca", "certificate", "key"])
def test_a_file_that_is_no_pem_is_named(kind: str, broker: Any, tmp_path: Path, file: str) -> None:
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("not a certificate")
    assert str(garbage) in failure(mqtt(kind, broker, **{file: garbage}))


def test_a_key_of_another_certificate_is_said_so(kind: str, broker: Any) -> None:
    other = broker.authority.issue("gw-9")
    assert str(other.key) in failure(mqtt(kind, broker, key=other.key))


def test_a_second_client_of_the_same_name_ends_the_first(kind: str, broker: Any) -> None:
    identity = broker.authority.issue("gw-1")

    async def work(first: Publisher) -> None:
        await first.connect()
        second = mqtt(kind, broker, identity)
        await second.connect()
        await second.publish(TOPIC, b"second")
        with pytest.raises(PublishError):
            await first.publish(TOPIC, b"first")
        await second.close()

    run(mqtt(kind, broker, identity), work)


def test_close_leaves_no_thread(kind: str, broker: Any, eventually: Callable[..., None]) -> None:
    async def work(publisher: Publisher) -> int:
        await publisher.connect()
        await publisher.publish(TOPIC, b"once")
        return native_threads()

    before = native_threads()
    assert run(mqtt(kind, broker), work) > before
    eventually(lambda: native_threads() <= before)


def test_failed_connections_leave_no_thread(kind: str, broker: Any, eventually: Callable[..., None]) -> None:
    broker.kill()

    async def work(publisher: Publisher) -> None:
        for _ in range(5):
            with pytest.raises(PublishError):
                await publisher.connect()

    before = native_threads()
    run(mqtt(kind, broker), work)
    eventually(lambda: native_threads() <= before)


def test_failed_connections_leave_no_descriptor(kind: str, broker: Any) -> None:
    """Even where the garbage collector has no reason to run: an agent offline for days."""
    broker.kill()

    async def work(publisher: Publisher) -> int:
        counts = []
        for _ in range(12):
            with pytest.raises(PublishError):
                await publisher.connect()
            counts.append(len(list(Path("/proc/self/fd").iterdir())))
        return counts[-1] - counts[1]

    gc.disable()
    try:
        assert run(mqtt(kind, broker), work) <= 4
    finally:
        gc.enable()
