"""The trains of a capacity round: how long they are, which are believed, and what is asked again."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.capacity import CapacityProbe, agreed, reading
from edge_agent.probes.capacity_settings import SCOUTS, CapacitySettings
from edge_agent.probes.probe import Measurement
from edge_agent.probes.train_analysis import Estimate, Train, Trust
from edge_agent.probes.train_exchange import Exchange, Ride, Spending
from edge_agent.probes.train_packet import Message, message_of, parse_car
from edge_agent.probes.train_steps import Arrival
from edge_agent.reflector.admission import Admission
from edge_agent.reflector.settings import ReflectorSettings
from edge_agent.reflector.train_responder import TrainResponder
from tests.edge_agent.columns import named


def ride(count: int, every_us: int, at_us: int) -> Ride:
    """Packets that left every so many µs, and came every ``at_us``."""
    sent = [number * every_us * 1_000 for number in range(count)]
    arrivals = [Arrival(number, number * at_us * 1_000) for number in range(count)]
    return Ride(count, 1_000_000, True, Train(1_400, sent, arrivals))


def test_a_train_that_is_much_faster_than_its_scouts_is_not_believed() -> None:
    """As it is when something stood still on the way, and then let all of it go at once."""
    believed = named(reading([ride(6, 1, 112), ride(200, 1, 112)], 1))
    assert (believed["capacity_kbps"], believed["trust"]) == (100_000, Trust.TRUSTED)
    doubted = named(reading([ride(6, 1, 560), ride(200, 1, 112)], 1))
    assert (doubted["capacity_kbps"], doubted["low_kbps"], doubted["trust"]) == (
        100_000,
        20_000,
        Trust.DISAGREE,
    )


class Scripted(Exchange):
    """An exchange whose trains come as a test says: a gap in µs, one for each train."""

    largest_packet = 1_500

    def __init__(self, *gaps_us: int | None) -> None:
        self._gaps_us = list(gaps_us)
        self.spending = Spending(300_000, 28)
        self.asked: list[tuple[int, float]] = []

    def cost_of_fetching(self, count: int, packet_bytes: int) -> int:
        return 16 * count

    async def ride(self, count: int, packet_bytes: int, expected_s: float) -> Ride:
        self.asked.append((count, round(expected_s, 3)))
        self.spending.spend(packet_bytes - 28, count)
        gap_us = self._gaps_us.pop(0)
        if gap_us is None:
            return Ride(count, 1_000_000, True, Train(packet_bytes, list(range(count)), ()))
        return ride(count, 1, gap_us)


@pytest.mark.parametrize(
    ("gaps_us", "asked"),
    [
        ((11_200, 11_200), [(6, 0), (89, 0.997)]),  # 1 Mbit/s for a second
        ((1_120, 1_120), [(6, 0), (200, 0.224)]),
        ((112, 112), [(6, 0), (200, 0.022)]),
        ((0, 112), [(6, 0), (200, 0)]),  # scouts that came all at once
        ((112_000, 112_000), [(6, 0), (20, 2.24)]),  # 0.1 Mbit/s: the shortest train
        ((None, None), [(6, 0), (20, 0)]),  # nothing comes through
    ],
)
def test_a_train_is_as_long_as_the_link_bears(
    gaps_us: tuple[int | None, ...], asked: list[tuple[int, float]]
) -> None:
    scripted = Scripted(*gaps_us)
    asyncio.run(CapacityProbe(CapacitySettings())._measure(scripted))
    assert scripted.asked == asked


def test_what_nobody_could_tell_is_null() -> None:
    lost = Ride(200, 1_000_000, True, None)
    got = named(reading([ride(6, 1, 112), lost], 300_000))
    assert (got["sent"], got["received"], got["spent_bytes"]) == (206, None, 300_000)
    assert got["capacity_kbps"] is got["trust"] is got["lower_bound"] is None
    nothing = Ride(200, 1_000_000, True, Train(1_400, list(range(200)), ()))
    got = named(reading([ride(6, 1, 112), nothing], 300_000))
    assert (got["received"], got["capacity_kbps"]) == (6, None)


class Relay:
    """Passes messages both ways, but loses the first of some kinds and one packet, and doubles answers."""

    def __init__(self, responder: tuple[str, int]) -> None:
        self.front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.back = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for each in (self.front, self.back):
            each.setblocking(False)
            each.bind(("127.0.0.1", 0))
        self.back.connect(responder)
        self._client: Any = None
        self._to_lose = {Message.HELLO, Message.REPORT}
        loop = asyncio.get_running_loop()
        loop.add_reader(self.front.fileno(), self._forth)
        loop.add_reader(self.back.fileno(), self._here)

    def close(self) -> None:
        for each in (self.front, self.back):
            asyncio.get_running_loop().remove_reader(each.fileno())
            each.close()

    def _forth(self) -> None:
        data, self._client = self.front.recvfrom(4_096)
        if not self._loses(data):
            self.back.send(data)

    def _here(self) -> None:
        data = self.back.recv(4_096)
        if not self._loses(data):
            self.front.sendto(data, self._client)
            self.front.sendto(data, self._client)

    def _loses(self, data: bytes) -> bool:
        kind = message_of(data)
        if kind is Message.CAR:
            car = parse_car(data)
            return (car.train, car.sequence) == (2, 7)
        if kind not in self._to_lose:
            return False
        self._to_lose.discard(kind)
        return True


def test_lost_questions_are_asked_again_and_doubled_answers_heard_once() -> None:
    async def run() -> Measurement:
        running = TrainResponder(wanted := ReflectorSettings(train_port=0), Admission(wanted))
        await running.start()
        relay = Relay(("127.0.0.1", running.port))
        settings = CapacitySettings(port=relay.front.getsockname()[1], packets=40)
        try:
            return await CapacityProbe(settings)(ProbedLink("a", target="127.0.0.1"))
        finally:
            relay.close()
            running.close()

    got = named(asyncio.run(run()))
    sent, received = got["sent"] or 0, got["received"] or 0
    # On a busy machine one train may need another to agree with.
    assert (sent - received, (sent - SCOUTS) % 40) == (1, 0) and sent > SCOUTS


def estimate(kbps: int, trust: Trust, high: int | None = None) -> Estimate:
    return Estimate(kbps, kbps - 10, kbps + 10 if high is None else high, trust)


def test_trains_that_agree_are_believed_and_others_are_not() -> None:
    doubted = estimate(1_000, Trust.DISAGREE)
    same = agreed([doubted, estimate(1_020, Trust.DISAGREE)])
    assert (same.kbps, same.low_kbps, same.high_kbps, same.trust) == (1_020, 990, 1_030, Trust.TRUSTED)
    other = agreed([doubted, estimate(2_000, Trust.FEW)])
    assert (other.kbps, other.low_kbps, other.high_kbps, other.trust) == (2_000, 990, 2_010, Trust.DISAGREE)
    assert agreed([doubted, estimate(2_000, Trust.TRUSTED)]) == estimate(2_000, Trust.TRUSTED)
    assert agreed([doubted]) == doubted
