"""The responder of trains against strangers, over real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from edge_agent.probes.probe import ProbeError
from edge_agent.probes.train_packet import (
    Ask,
    Car,
    Message,
    challenge,
    encode_ask,
    encode_car,
    hello,
    parse_challenge,
    parse_report,
)
from edge_agent.probes.train_steps import Arrival
from edge_agent.reflector.admission import Admission
from edge_agent.reflector.settings import ReflectorSettings
from edge_agent.reflector.train_responder import TrainResponder
from edge_agent.reflector.trains import FORGET_AFTER_S, MOST_OF_ONE, MOST_TRAINS, Trains

NONCE = b"nonce678"
COOKIE = b"cookie7890123456"


@asynccontextmanager
async def responder(**settings: Any) -> AsyncIterator[TrainResponder]:
    wanted = ReflectorSettings(**{"listen": "127.0.0.1", "train_port": 0, **settings})
    running = TrainResponder(wanted, Admission(wanted))
    await running.start()
    try:
        yield running
    finally:
        running.close()


class Client:
    """A socket that says what a test likes."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.connect(("127.0.0.1", port))

    async def ask(self, data: bytes) -> bytes:
        self.socket.send(data)
        async with asyncio.timeout(5):
            return await asyncio.get_running_loop().sock_recv(self.socket, 4_096)

    async def cookie(self, nonce: bytes = NONCE) -> bytes:
        return parse_challenge(await self.ask(hello(nonce, None)), nonce, None)

    async def hears_nothing(self, running: TrainResponder, data: bytes) -> bool:
        """Whether only the question after this one is answered."""
        self.socket.send(data)
        answer = await self.ask(hello(b"after567", None))
        return answer[4] == Message.CHALLENGE and answer[5:13] == b"after567"


async def report(client: Client, cookie: bytes, train: int = 1, records: int = 50) -> tuple[Arrival, ...]:
    ask = Ask(NONCE, cookie, train, 0, records)
    return parse_report(await client.ask(encode_ask(ask, None)), ask, None).arrivals


def test_arrivals_are_told_in_order_once_each_and_by_the_kernels_clock() -> None:
    async def run() -> tuple[Arrival, ...]:
        async with responder() as running:
            client = Client(running.port)
            cookie = await client.cookie()
            for sequence in (0, 2, 2, 1):
                client.socket.send(encode_car(Car(NONCE, cookie, 1, sequence, 3), 200))
            return await report(client, cookie)

    arrivals = asyncio.run(run())
    assert [each.sequence for each in arrivals] == [0, 2, 1]
    times = [each.at_ns for each in arrivals]
    assert times[0] == 0 and times == sorted(times) and times[-1] > 0


def test_packets_that_claim_another_length_of_the_train_or_cookie_are_left_out() -> None:
    async def run() -> list[int]:
        async with responder() as running:
            client = Client(running.port)
            cookie = await client.cookie()
            for car in (
                Car(NONCE, cookie, 1, 0, 3),
                Car(NONCE, cookie, 1, 9, 10),
                Car(NONCE, COOKIE, 1, 1, 3),
                Car(NONCE, cookie, 1, 2, 3),
            ):
                client.socket.send(encode_car(car, 200))
            return [each.sequence for each in await report(client, cookie)]

    assert asyncio.run(run()) == [0, 2]


def test_nobody_gets_a_train_or_an_answer_without_a_cookie_of_the_same_address() -> None:
    async def run() -> None:
        async with responder() as running:
            client, thief = Client(running.port), Client(running.port)
            cookie = await client.cookie()
            for forged in (COOKIE, cookie):
                assert await thief.hears_nothing(running, encode_car(Car(NONCE, forged, 1, 0, 3), 200))
                assert await thief.hears_nothing(running, encode_ask(Ask(NONCE, forged, 1, 0, 9), None))
            assert running.counters["trains"] == running.counters["packets"] == 0
            assert running.counters["malformed"] == 4

    asyncio.run(run())


@pytest.mark.parametrize(
    "data", [b"", b"LPT1", b"LPT1\x09" + bytes(60), b"x" * 100, challenge(NONCE, COOKIE, None)]
)
def test_what_is_no_question_gets_no_answer(data: bytes) -> None:
    async def run() -> bool:
        async with responder() as running:
            return await Client(running.port).hears_nothing(running, data)

    assert asyncio.run(run())


def test_a_source_that_is_not_allowed_is_ignored() -> None:
    async def run() -> int:
        async with responder(allow=("192.0.2.0/24",)) as running:
            client = Client(running.port)
            client.socket.send(hello(NONCE, None))
            async with asyncio.timeout(5):
                while not running._admission.refused:
                    await asyncio.sleep(0.001)
            with pytest.raises(BlockingIOError):
                client.socket.recv(100)
            return running.counters["greeted"]

    assert asyncio.run(run()) == 0


def test_an_unknown_train_has_nothing() -> None:
    async def run() -> tuple[Arrival, ...]:
        async with responder() as running:
            client = Client(running.port)
            return await report(client, await client.cookie(), train=7)

    assert asyncio.run(run()) == ()


def test_a_port_in_use_is_a_clear_error() -> None:
    async def run() -> None:
        async with responder() as running:
            with pytest.raises(ProbeError, match="another program uses it"):
                async with responder(train_port=running.port):
                    pass

    asyncio.run(run())


def test_a_greedy_source_drives_out_its_own_trains_only() -> None:
    trains, car = Trains(lambda: 0.0), Car(NONCE, COOKIE, 1, 0, 3)
    honest = ("10.0.0.1", 1, NONCE, 1)
    trains.begin(honest, car, 5)
    for number in range(3 * MOST_TRAINS):
        for host in range(2, 8):
            trains.begin((f"10.0.0.{host}", number, NONCE, 1), car, 5)
    assert trains.find(honest)
    assert len(trains) == MOST_TRAINS


def test_one_source_has_a_few_trains_however_much_room_there_is() -> None:
    trains, car = Trains(lambda: 0.0), Car(NONCE, COOKIE, 1, 0, 3)
    for number in range(MOST_OF_ONE + 1):
        trains.begin(("10.0.0.1", 2, NONCE, number), car, 5)
    assert len(trains) == MOST_OF_ONE
    assert trains.find(("10.0.0.1", 2, NONCE, 0)) is None


def test_trains_are_bounded_in_number_and_in_time() -> None:
    now = 0.0
    trains = Trains(lambda: now)
    car = Car(NONCE, COOKIE, 1, 0, 3)
    for number in range(3 * MOST_TRAINS):
        trains.begin((f"10.0.0.{number}", 1, NONCE, 1), car, 5)
    assert len(trains) == MOST_TRAINS
    now = FORGET_AFTER_S
    trains.begin(("10.0.0.1", 1, NONCE, 1), car, 5)
    assert len(trains) == 1
