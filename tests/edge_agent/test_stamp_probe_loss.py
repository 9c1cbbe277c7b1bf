"""A STAMP round whose packets are lost, late or never answered, and the sockets it leaves."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any

from edge_agent.probes.stamp import StampProbe
from edge_agent.probes.stamp_packet import ReflectedPacket, decode_sender, encode_reflected
from edge_agent.probes.stamp_time import to_ntp
from tests.edge_agent.columns import named
from tests.edge_agent.stamp_rig import LINK, probe


class Far(asyncio.DatagramProtocol):
    """A reflector that loses what a function says, by the sender's sequence number and its own."""

    def __init__(self, fate: Callable[[int], str]) -> None:
        self.fate = fate
        self.count = 0
        self.kept: list[tuple[bytes, Any]] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, source: Any) -> None:
        packet = decode_sender(data, None)
        fate = self.fate(packet.sequence)
        if fate == "out":
            return
        now = to_ntp(time.time_ns())
        reply = encode_reflected(
            ReflectedPacket(
                self.count, now, 1, packet.ssid, now, packet.sequence, packet.timestamp, packet.error, 64
            ),
            None,
        )
        self.count += 1
        if fate == "later":
            self.kept.append((reply, source))
        elif fate != "back":
            self.transport.sendto(reply, source)

    def release(self) -> None:
        for reply, source in self.kept:
            self.transport.sendto(reply, source)


Turn = Callable[[StampProbe, Far], Coroutine[Any, Any, Any]]


async def meet(fate: Callable[[int], str], turn: Turn, **settings: Any) -> Any:
    """What a turn of a probe against such a far end gives."""
    loop = asyncio.get_running_loop()
    transport, far = await loop.create_datagram_endpoint(lambda: Far(fate), ("127.0.0.1", 0))
    try:
        async with probe(transport.get_extra_info("sockname")[1], **settings) as stamp:
            return await turn(stamp, far)
    finally:
        transport.close()


def against(fate: Callable[[int], str], turn: Turn) -> Any:
    """The same in an event loop of its own."""
    return asyncio.run(meet(fate, turn))


async def once(stamp: StampProbe, far: Far) -> dict[str, int | None]:
    return named(await stamp(LINK))


CLOSING = [
    ({0: "out"}, (2, 1, 0)),
    ({1: "back"}, (2, 0, 1)),
    ({2: "out"}, (2, 1, 0)),
    ({2: "back"}, (2, 0, 1)),
    ({0: "out", 1: "back", 2: "out"}, (0, 2, 1)),
    ({2: "back", 3: "out"}, (2, None, None)),
    ({2: "back", 3: "back"}, (2, 0, 1)),
    ({0: "back", 1: "back", 2: "back", 3: "out", 4: "out"}, (0, None, None)),
]
"""Fates of some packets, of which 3 and 4 are the closing ones, and what is received, lost out and back."""


def test_the_direction_of_loss_is_found_with_closing_packets_that_are_not_counted() -> None:
    async def one(fates: dict[int, str]) -> tuple[int | None, ...]:
        got = await meet(lambda sequence: fates.get(sequence, ""), once, timeout_s=2.0)
        assert got["sent"] == 3
        return got["received"], got["lost_out"], got["lost_back"]

    async def every() -> list[tuple[int | None, ...]]:
        return await asyncio.gather(*(one(fates) for fates, _ in CLOSING))

    assert asyncio.run(every()) == [expected for _, expected in CLOSING]


def test_no_closing_packet_is_sent_when_nothing_was_lost() -> None:
    async def turn(stamp: StampProbe, far: Far) -> int:
        await stamp(LINK)
        return far.count

    assert against(lambda sequence: "", turn) == 3


def test_a_reply_between_two_rounds_is_late_in_the_second() -> None:
    async def turn(stamp: StampProbe, far: Far) -> list[dict[str, int | None]]:
        first = named(await stamp(LINK))
        far.release()
        far.fate, far.count = (lambda sequence: ""), 0
        return [first, named(await stamp(LINK))]

    first, second = against(lambda sequence: "later" if sequence == 1 else "", turn)
    assert (first["received"], first["late"], first["lost_back"]) == (2, 0, 1)
    assert (second["received"], second["late"], second["lost_back"]) == (3, 1, 0)


def test_every_reply_between_two_rounds_is_late_however_many() -> None:
    async def turn(stamp: StampProbe, far: Far) -> int | None:
        await stamp(LINK)
        far.release()
        far.fate = lambda sequence: "out"
        return named(await stamp(LINK))["late"]

    settings = {"count": 100, "spacing_ms": 1, "timeout_s": 1.0}
    assert asyncio.run(meet(lambda sequence: "later" if sequence < 100 else "", turn, **settings)) == 100


def test_a_reflector_that_ends_in_the_middle_of_a_round_takes_back_no_reply() -> None:
    """Nor does anybody who says that its port is closed, which takes no more than a forged ICMP error."""

    async def turn(stamp: StampProbe, far: Far) -> dict[str, int | None]:
        def fate(sequence: int) -> str:
            if sequence == 1:
                far.transport.close()
            return ""

        far.fate = fate
        return await once(stamp, far)

    got = against(lambda sequence: "", turn)
    assert (got["sent"], got["received"], got["lost_out"]) == (3, 2, None)
    assert got["rtt_min_us"]


def test_a_busy_machine_has_a_tenth_of_the_time_to_report_what_was_lost() -> None:
    timeout_s = 2.0

    async def turn(stamp: StampProbe, far: Far) -> dict[str, int | None]:
        asyncio.get_running_loop().call_later(0.94 * timeout_s, time.sleep, 0.1 * timeout_s)
        async with asyncio.timeout(timeout_s):  # as the scheduler has it
            return await once(stamp, far)

    got = asyncio.run(meet(lambda sequence: "out", turn, timeout_s=timeout_s))
    assert (got["sent"], got["received"]) == (3, 0)


def test_a_cancelled_round_leaves_no_socket_open() -> None:
    async def turn(stamp: StampProbe, far: Far) -> bool:
        with socket.socket() as before:
            lowest = before.fileno()
        arrived = asyncio.Event()

        def lose(sequence: int) -> str:
            arrived.set()
            return "out"

        far.fate = lose
        task = asyncio.create_task(stamp(LINK))
        await arrived.wait()
        task.cancel()
        await asyncio.wait([task])
        with socket.socket() as after:
            return task.cancelled() and after.fileno() == lowest

    assert against(lambda sequence: "out", turn)


def test_a_closed_probe_holds_no_socket_and_may_be_closed_again() -> None:
    async def turn(stamp: StampProbe, far: Far) -> bool:
        with socket.socket() as before:
            lowest = before.fileno()
        await stamp(LINK)
        stamp.close()
        stamp.close()
        with socket.socket() as after:
            return after.fileno() == lowest

    assert against(lambda sequence: "", turn)
