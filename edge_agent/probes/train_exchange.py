"""A session with a train responder: get a cookie, send trains, and fetch what came of them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from edge_agent.probes.train_analysis import Train
from edge_agent.probes.train_packet import (
    ASK_BYTES,
    MAC_BYTES,
    NONCE_BYTES,
    RECORD_BYTES,
    Ask,
    Car,
    Report,
    TrainError,
    encode_ask,
    encode_car,
    hello,
    parse_challenge,
    parse_report,
)
from edge_agent.probes.train_socket import LONGEST_MESSAGE, TrainSocket
from edge_agent.probes.train_steps import Arrival

TRIES, WAIT_S = 4, 1.0
"""How often a message is sent, and how long each waits for its answer."""
QUIET_S = 0.3
QUIET_PACKETS = 10
"""When nothing has come for this long, and the time of so many packets, the rest of a train is lost."""

Answer = TypeVar("Answer")


class Spending:
    """Bytes of IP packets in both directions, against a limit."""

    def __init__(self, limit_bytes: int, header_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._header_bytes = header_bytes
        self.spent_bytes = 0

    @property
    def left_bytes(self) -> int:
        """What may still be spent."""
        return self._limit_bytes - self.spent_bytes

    def spend(self, payload_bytes: int, packets: int = 1) -> None:
        """Note packets that are about to be sent, or came."""
        self.spent_bytes += packets * (payload_bytes + self._header_bytes)

    def affords_question(self, payload_bytes: int) -> bool:
        """Whether a question and an answer of its length fit."""
        return 2 * (payload_bytes + self._header_bytes) <= self.left_bytes


@dataclass(frozen=True, slots=True)
class Ride:
    """One train that was sent, and what is known of it."""

    sent: int
    sender_kbps: int
    """How fast it left this machine."""
    is_stamped: bool
    """Whether the kernel told that, or user space."""
    train: Train | None
    """None when the responder did not answer any more."""


class Exchange:
    """The client's end of one session; ``until`` (monotonic, s) ends every waiting."""

    def __init__(self, opened: TrainSocket, limit_bytes: int, key: bytes | None, until: float) -> None:
        self._socket = opened
        self._key = key
        self._until = until
        self._nonce = os.urandom(NONCE_BYTES)
        self._cookie = b""
        self._trains = 0
        self._questions = 0
        self.spending = Spending(limit_bytes, opened.header_bytes)

    @property
    def largest_packet(self) -> int:
        """The longest IP packet that the way is known to take whole."""
        return self._socket.largest_packet

    async def introduce(self) -> bool:
        """Get a cookie; False when nobody gives one."""
        message = hello(self._nonce, self._key)
        cookie = await self._answer(message, lambda data: parse_challenge(data, self._nonce, self._key))
        self._cookie = cookie or b""
        return cookie is not None

    async def ride(self, count: int, packet_bytes: int, expected_s: float) -> Ride:
        """Send a train, and fetch what came of it once it is expected to be there."""
        self._trains += 1
        payload_bytes = packet_bytes - self._socket.header_bytes
        cars = [
            encode_car(Car(self._nonce, self._cookie, self._trains, number, count), payload_bytes)
            for number in range(count)
        ]
        self.spending.spend(payload_bytes, count)
        sent_ns = await self._socket.send_train(cars)
        train = await self._fetch(Train(packet_bytes, sent_ns, ()), expected_s)
        rate = self._socket.packets_per_ns()
        is_stamped = rate is not None
        if rate is None:
            rate = (count - 1) / max(sent_ns[-1] - sent_ns[0], 1)
        return Ride(count, round(rate * packet_bytes * 8e6), is_stamped, train)

    async def _fetch(self, sent: Train, expected_s: float) -> Train | None:
        count = len(sent.sent_ns)
        quiet_s = max(QUIET_S, QUIET_PACKETS * expected_s / count)
        await asyncio.sleep(max(min(expected_s, self._until - time.monotonic() - WAIT_S), 0))
        while True:
            report = await self._ask(0, 0)
            if report is None:
                return None
            settled = report.received >= count or report.quiet_ns >= quiet_s * 1e9
            if settled or time.monotonic() + quiet_s > self._until:
                return await self._fetch_all(report, sent)
            await asyncio.sleep(quiet_s / 2)

    async def _fetch_all(self, told: Report, sent: Train) -> Train | None:
        arrivals: list[Arrival] = []
        while len(arrivals) < told.received:
            records = min(told.received - len(arrivals), self.records_a_page(sent.packet_bytes))
            page = await self._ask(len(arrivals), records)
            if page is None or not page.arrivals:
                return None
            arrivals += [each for each in page.arrivals if each.sequence < len(sent.sent_ns)]
        return replace(sent, arrivals=arrivals, is_stamped=told.is_stamped)

    def records_a_page(self, packet_bytes: int) -> int:
        """Arrivals that an answer holds which is no longer than a packet of the train."""
        longest = min(packet_bytes - self._socket.header_bytes, LONGEST_MESSAGE)
        return (longest - ASK_BYTES - MAC_BYTES) // RECORD_BYTES

    def cost_of_fetching(self, count: int, packet_bytes: int) -> int:
        """Bytes that it takes to fetch so many arrivals, when each question is answered at once."""
        pages = -(-count // self.records_a_page(packet_bytes))
        fixed = ASK_BYTES + MAC_BYTES + self._socket.header_bytes
        return 2 * (pages * fixed + count * RECORD_BYTES)

    async def _ask(self, begin: int, records: int) -> Report | None:
        self._questions += 1
        ask = Ask(self._nonce, self._cookie, self._trains, begin, records, self._questions % 256)
        return await self._answer(encode_ask(ask, self._key), lambda data: parse_report(data, ask, self._key))

    async def _answer(self, message: bytes, parse: Callable[[bytes], Answer]) -> Answer | None:
        """The first answer that ``parse`` accepts; None when there is none, or no budget to ask for it."""
        for _ in range(TRIES):
            left_s = self._until - time.monotonic()
            if left_s <= 0 or not self.spending.affords_question(len(message)):
                return None
            self.spending.spend(len(message))
            try:
                async with asyncio.timeout(min(left_s, WAIT_S)):
                    await self._socket.send(message)
                    return await self._accepted(parse)
            except TimeoutError:
                continue
        return None

    async def _accepted(self, parse: Callable[[bytes], Answer]) -> Answer:
        while True:
            data = await self._socket.receive()
            self.spending.spend(len(data))
            try:
                return parse(data)
            except TrainError:
                continue
