"""The STAMP reflector and its sender against each other and against strangers, over real sockets."""

from __future__ import annotations

import asyncio
import errno
import random
import socket
import time
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from edge_agent.contract import KINDS, Flag, Outcome
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.probe import Measurement, ProbeError
from edge_agent.probes.stamp import StampProbe, StampSettings
from edge_agent.probes.stamp_exchange import Exchange
from edge_agent.probes.stamp_packet import (
    ReflectedPacket,
    SenderPacket,
    decode_reflected,
    decode_sender,
    encode_reflected,
    encode_sender,
    padding,
)
from edge_agent.probes.stamp_session import Session
from edge_agent.probes.stamp_time import to_ns, to_ntp
from edge_agent.probes.train_packet import hello
from edge_agent.reflector.admission import Admission
from edge_agent.reflector.reflector import Reflector
from edge_agent.reflector.settings import ReflectorSettings
from edge_agent.reflector.stamp_responder import StampResponder
from tests.edge_agent.netns import needs_netns, run_in_netns

KEY = b"0123456789abcdef"
QUICK = {"count": 3, "spacing_ms": 5, "timeout_s": 0.6}
STAMPED = Flag.KERNEL_SENT | Flag.KERNEL_RECEIVED
TEST_PACKET = encode_sender(SenderPacket(0, to_ntp(1), 1, 9), None)


@asynccontextmanager
async def responder(listen: str = "127.0.0.1", **settings: Any) -> AsyncIterator[StampResponder]:
    wanted = ReflectorSettings(listen=listen, port=0, **settings)
    running = StampResponder(wanted, Admission(wanted), lambda: 1_000)
    await running.start()
    try:
        yield running
    finally:
        running.close()


@asynccontextmanager
async def probe(port: int, **settings: Any) -> AsyncIterator[StampProbe]:
    made = StampProbe(
        StampSettings(port=port, **{**QUICK, **settings}), random.Random(1), clock_error_ns=lambda: 2_000
    )
    try:
        yield made
    finally:
        made.close()


def named(measurement: Measurement) -> dict[str, int | None]:
    columns = [column.name for column in KINDS["stamp"].columns]
    return dict(zip(columns, measurement.values, strict=True))


class Stranger:
    """A socket of a test's own, which sends a responder what it likes."""

    def __init__(self, port: int, address: str = "127.0.0.1") -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.connect((address, port))

    async def ask(self, data: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        self.socket.send(data)
        async with asyncio.timeout(5):
            return await loop.sock_recv(self.socket, 4_096)

    async def silence_of(self, running: StampResponder, data: bytes, counter: str) -> bool:
        """Whether there is no reply, once a counter shows that the packet has been dealt with."""
        before = running.counters[counter]
        self.socket.send(data)
        async with asyncio.timeout(5):
            while running.counters[counter] == before:
                await asyncio.sleep(0.001)
        try:
            self.socket.recv(4_096)
        except BlockingIOError:
            return True
        return False


@pytest.mark.parametrize(
    ("listen", "target"), [("127.0.0.1", "127.0.0.1"), ("::", "::1"), ("::", "127.0.0.1")]
)
def test_a_round_is_measured_in_both_families(listen: str, target: str) -> None:
    async def run() -> Measurement:
        async with responder(listen) as running, probe(running.port) as stamp:
            return await stamp(ProbedLink("here", target=target, interface="lo"))

    measured = asyncio.run(run())
    got = named(measured)
    assert (got["sent"], got["received"], got["lost_out"], got["lost_back"]) == (3, 3, 0, 0)
    assert (got["late"], got["duplicate"], got["corrupt"], got["foreign"], got["in_flight"]) == (0,) * 5
    assert got["reply_ttl"] == 64 and got["one_way_error_us"] == 4
    assert got["rtt_min_us"] is not None and got["out_min_us"] is not None
    assert measured.flags & STAMPED == STAMPED


@pytest.mark.parametrize("extra", [0, 1, 1_000])
def test_authenticated_rounds_with_padding(tmp_path: Path, extra: int) -> None:
    key_file = tmp_path / "key"
    key_file.write_bytes(KEY + b"\n")

    async def run() -> Measurement:
        async with (
            responder(key_file=key_file) as running,
            probe(running.port, key_file=key_file, padding=extra) as stamp,
        ):
            return await stamp(ProbedLink("here", target="127.0.0.1"))

    measured = asyncio.run(run())
    assert named(measured)["received"] == 3 and measured.flags & STAMPED == STAMPED


def test_a_sender_without_the_key_gets_no_answer(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(KEY)

    async def run() -> tuple[Measurement, int]:
        async with responder(key_file=tmp_path / "key") as running, probe(running.port) as stamp:
            measured = await stamp(ProbedLink("here", target="127.0.0.1"))
            return measured, running.counters["malformed"] + running.counters["not_authentic"]

    measured, ignored = asyncio.run(run())
    got = named(measured)
    assert (got["sent"], got["received"], got["lost_out"], got["rtt_min_us"]) == (3, 0, None, None)
    assert ignored == 3 + 2, "each packet and both closing ones"


def test_a_closed_port_is_not_measured_rather_than_lost() -> None:
    async def run() -> None:
        async with responder() as running:
            port = running.port
        async with probe(port) as stamp:
            await stamp(ProbedLink("here", target="127.0.0.1"))

    with pytest.raises(
        ProbeError, match=r"nothing on UDP port \d+: is 'edge-agent reflect' running"
    ) as caught:
        asyncio.run(run())
    assert caught.value.outcome is Outcome.UNREACHABLE


@pytest.mark.parametrize(
    ("link", "outcome"),
    [
        (ProbedLink("x", target="no.such.host.invalid"), Outcome.UNRESOLVED),
        (ProbedLink("x", target="127.0.0.1", interface="nothere0"), Outcome.NO_INTERFACE),
        (ProbedLink("x", target="127.0.0.1", source="192.0.2.1"), Outcome.UNREACHABLE),
    ],
)
def test_what_cannot_be_measured_says_why(link: ProbedLink, outcome: Outcome) -> None:
    async def run() -> None:
        async with probe(862) as stamp:
            await stamp(link)

    with pytest.raises(ProbeError) as caught:
        asyncio.run(run())
    assert caught.value.outcome is outcome


@pytest.mark.parametrize(
    ("content", "message"), [(None, "cannot read key_file"), (b"short", "holds 5 bytes")]
)
def test_a_key_that_is_of_no_use_is_one_clear_message(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    key_file = tmp_path / "key"
    if content:
        key_file.write_bytes(content)

    async def start() -> None:
        async with responder(key_file=key_file):
            pass

    async def ask() -> None:
        async with probe(862, key_file=key_file) as stamp:
            await stamp(ProbedLink("here", target="127.0.0.1"))

    for attempt in (start, ask):
        with pytest.raises(ProbeError, match=message):
            asyncio.run(attempt())


# --- a far end of the test's own: loss and lateness at will ---------------------------------------


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


LINK = ProbedLink("here", target="127.0.0.1")


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


class Told:
    """A socket that is told of an earlier packet's fate when it sends the next."""

    def __init__(self, *errors: OSError) -> None:
        self.errors = list(errors)
        self.sent: list[bytes] = []

    def send(self, data: bytes) -> None:
        if self.errors:
            raise self.errors.pop()
        self.sent.append(data)


def test_an_error_of_an_earlier_packet_does_not_keep_the_next_from_being_sent() -> None:
    told = Told(OSError(errno.EHOSTUNREACH, "prohibited"))
    exchange = Exchange(told, Session(7, None, None))  # type: ignore[arg-type]
    exchange.send()
    assert (len(told.sent), exchange.session.count) == (1, 1)


def test_an_error_of_this_machine_is_no_packet_sent() -> None:
    told = Told(*[OSError(errno.ENETUNREACH, "no route")] * 2)
    exchange = Exchange(told, Session(7, None, None))  # type: ignore[arg-type]
    with pytest.raises(ProbeError, match="cannot send a STAMP packet"):
        exchange.send()
    assert exchange.session.count == 0


def test_a_key_that_cannot_be_read_leaves_no_socket_to_the_collector(tmp_path: Path) -> None:
    async def run() -> None:
        async with probe(9, key_file=tmp_path / "none") as stamp:
            await stamp(LINK)

    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        with pytest.raises(ProbeError, match="cannot read key_file"):
            asyncio.run(run())
    assert not found


def test_a_cancelled_round_leaves_no_socket_open() -> None:
    async def turn(stamp: StampProbe, far: Far) -> bool:
        with socket.socket() as before:
            lowest = before.fileno()
        task = asyncio.create_task(stamp(LINK))  # type: ignore[arg-type]
        await asyncio.sleep(0.1)
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


# --- strangers -------------------------------------------------------------------------------------


def answer(data: bytes, **settings: Any) -> bytes:
    async def run() -> bytes:
        async with responder(**settings) as running:
            return await Stranger(running.port).ask(data)

    return asyncio.run(run())


@pytest.mark.parametrize("tlvs", [b"", padding(100), bytes.fromhex("80f00001aa"), b"\x80"])
def test_a_reply_is_as_long_as_the_request(tlvs: bytes) -> None:
    request = encode_sender(SenderPacket(5, to_ntp(7), 0x8001, 9, tlvs), None)
    reply = answer(request)
    packet = decode_reflected(reply, None)
    assert len(reply) == len(request)
    assert (packet.sequence, packet.sender_sequence, packet.sender_timestamp) == (0, 5, to_ntp(7))
    assert (packet.ssid, packet.sender_error, packet.sender_ttl) == (9, 0x8001, 64)
    now = time.time_ns()
    came, left = (to_ns(each, packet.error, now) for each in (packet.received, packet.timestamp))
    assert now - 60_000_000_000 < came <= left <= now


def test_replies_are_numbered_within_their_session() -> None:
    async def run() -> list[int]:
        async with responder() as running:
            stranger = Stranger(running.port)
            packets = [SenderPacket(turn, to_ntp(turn), 1, ssid) for turn in range(3) for ssid in (7, 8)]
            replies = [await stranger.ask(encode_sender(packet, None)) for packet in packets]
            return [decode_reflected(reply, None).sequence for reply in replies]

    assert asyncio.run(run()) == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("data", "counter"),
    [
        (b"", "malformed"),
        (TEST_PACKET[:-1], "malformed"),
        (encode_reflected(ReflectedPacket(0, 1, 0, 0, 1, 0, 0, 0, 0), None), "malformed"),
    ],
)
def test_what_is_no_test_packet_is_counted_and_not_answered(data: bytes, counter: str) -> None:
    async def run() -> bool:
        async with responder() as running:
            return await Stranger(running.port).silence_of(running, data, counter)

    assert asyncio.run(run())


def test_an_unsigned_packet_is_not_answered_where_a_key_is_set(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(KEY)
    unsigned = encode_sender(SenderPacket(0, 1, 1, 9, bytes(68)), None)

    async def run() -> bool:
        async with responder(key_file=tmp_path / "key") as running:
            return await Stranger(running.port).silence_of(running, unsigned, "not_authentic")

    assert asyncio.run(run())


def test_a_stranger_is_not_answered_and_a_greedy_one_not_always() -> None:
    async def run(**settings: Any) -> tuple[int, int, int]:
        wanted = ReflectorSettings(listen="127.0.0.1", port=0, **settings)
        gate = Admission(wanted, lambda: 0.0)
        running = StampResponder(wanted, gate)
        await running.start()
        stranger = Stranger(running.port)
        for _ in range(10):
            stranger.socket.send(TEST_PACKET)
        while gate.refused + gate.limited + running.counters["reflected"] < 10:
            await asyncio.sleep(0.001)
        running.close()
        return gate.refused, gate.limited, running.counters["reflected"]

    assert asyncio.run(run(allow=("192.0.2.0/24",))) == (10, 0, 0)
    assert asyncio.run(run(packets_per_s=4)) == (0, 6, 4)


def test_what_is_no_test_packet_uses_up_nothing_of_what_its_source_may_send() -> None:
    """Its address may be forged."""

    async def run() -> int:
        async with responder(packets_per_s=1) as running:
            stranger = Stranger(running.port)
            assert await stranger.silence_of(running, b"x", "malformed")
            return len(await stranger.ask(TEST_PACKET))

    assert asyncio.run(run()) == len(TEST_PACKET)


def test_a_signed_packet_that_is_repeated_uses_up_nothing_either(tmp_path: Path) -> None:
    """Its signature holds whoever sends it, and whatever source that gives it."""
    (tmp_path / "key").write_bytes(KEY)
    first, second = (encode_sender(SenderPacket(turn, to_ntp(turn), 1, 9), KEY) for turn in range(2))

    async def run() -> int:
        async with responder(key_file=tmp_path / "key", packets_per_s=2) as running:
            stranger = Stranger(running.port)
            await stranger.ask(first)
            for _ in range(5):
                assert await stranger.silence_of(running, first, "replayed")
            return decode_reflected(await stranger.ask(second), KEY).sequence

    assert asyncio.run(run()) == 1


@pytest.mark.parametrize("flood", [hello(b"nonce678", None), b"LPT1\x01"])
def test_a_flood_of_another_service_or_without_the_key_costs_stamp_nothing(
    tmp_path: Path, flood: bytes
) -> None:
    (tmp_path / "key").write_bytes(KEY)
    packet = encode_sender(SenderPacket(0, to_ntp(1), 1, 9), KEY)

    async def run() -> int:
        settings = ReflectorSettings(
            listen="127.0.0.1", port=0, train_port=0, key_file=tmp_path / "key", packets_per_s=5
        )
        running = Reflector(settings)
        await running.start()
        try:
            for data in (flood, hello(b"nonce678", KEY)):
                trains = Stranger(running.train.port)
                for _ in range(5):
                    trains.socket.send(data)
            async with asyncio.timeout(5):
                while running.counters["train.greeted"] < 5:
                    await asyncio.sleep(0.001)
            assert (running.counters["train.malformed"], running.counters["limited"]) == (5, 0)
            return len(await Stranger(running.stamp.port).ask(packet))
        finally:
            running.close()

    assert asyncio.run(run()) == len(packet)


@pytest.mark.parametrize("listen", ["0.0.0.0", "::"])
def test_what_was_sent_to_all_is_not_answered(listen: str) -> None:
    """Else every reflector of a segment would answer one packet, to whatever source it was given."""

    async def run() -> tuple[int, int]:
        async with responder(listen) as running:
            stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            stranger.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            stranger.sendto(TEST_PACKET, ("127.255.255.255", running.port))
            async with asyncio.timeout(5):
                while not (running.counters["reflected"] or running.counters["failed"]):
                    await asyncio.sleep(0.001)
            stranger.close()
            return running.counters["reflected"], running.counters["failed"]

    assert asyncio.run(run()) == (0, 1)


def test_what_the_kernel_throws_away_is_counted() -> None:
    """To its senders it looks like loss: here one can see that it was none."""

    async def run() -> tuple[int, int]:
        async with responder(packets_per_s=100_000, packets_per_s_in_all=100_000) as running:
            stranger = Stranger(running.port)
            before = running.counters["dropped"]
            for _ in range(20_000):  # the event loop takes none of them meanwhile
                stranger.socket.send(TEST_PACKET)
            return before, running.counters["dropped"]

    before, after = asyncio.run(run())
    assert before == 0 < after < 20_000


def test_a_port_that_is_taken_is_one_clear_message() -> None:
    async def run() -> None:
        async with responder() as running:
            wanted = ReflectorSettings(listen="127.0.0.1", port=running.port)
            await StampResponder(wanted, Admission(wanted)).start()

    with pytest.raises(ProbeError, match=r"STAMP: UDP port \d+ of 127.0.0.1: another program uses it"):
        asyncio.run(run())


def test_a_responder_may_be_closed_twice_and_before_it_is_started() -> None:
    async def run() -> None:
        wanted = ReflectorSettings(port=0)
        running = StampResponder(wanted, Admission(wanted))
        running.close()
        await running.start()
        running.close()
        running.close()

    asyncio.run(run())


NETNS = """
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.stamp import StampProbe, StampSettings
from edge_agent.reflector.admission import Admission
from edge_agent.reflector.settings import ReflectorSettings
from edge_agent.reflector.stamp_responder import StampResponder

def made(**settings):
    wanted = ReflectorSettings(**settings)
    return StampResponder(wanted, Admission(wanted))

def stamp(**settings):
    return StampProbe(StampSettings(count=3, spacing_ms=5, timeout_s=1, **settings))

async def failure(doing):
    try:
        await doing
    except ProbeError as error:
        return error
"""


@needs_netns
def test_port_862_without_privilege_is_denied_with_advice() -> None:
    script = """
    responder = made()
    become_nobody()
    error = asyncio.run(failure(responder.start()))
    print(error.outcome.name, error.message)
    """
    printed = run_in_netns(NETNS + script.replace("\n    ", "\n"))
    assert printed.startswith(
        "DENIED cannot listen for STAMP: UDP port 862 of all addresses: ports below 1024 need root or CAP_NET"
    )


@needs_netns
def test_a_reply_leaves_from_the_address_that_was_asked() -> None:
    script = """
    ip("addr", "add", "10.9.0.1/24", "dev", "lo")
    ip("addr", "add", "10.9.0.2/24", "dev", "lo")
    ip("-6", "addr", "add", "fd09::1/64", "dev", "lo", "nodad")
    ip("-6", "addr", "add", "fd09::2/64", "dev", "lo", "nodad")
    async def main():
        for listen, sources in (("0.0.0.0", ("10.9.0.1",)), ("::", ("10.9.0.1", "fd09::1"))):
            responder, probe = made(listen=listen), stamp()
            await responder.start()
            for source in sources:
                link = ProbedLink("x", target=source[:-1] + "2", source=source)
                print((await probe(link)).values[1])
            probe.close()
            responder.close()
    asyncio.run(main())
    """
    assert run_in_netns(NETNS + script.replace("\n    ", "\n")).split() == ["3"] * 3


@needs_netns
def test_without_ipv6_every_address_is_those_of_ipv4() -> None:
    script = """
    with open("/proc/sys/net/ipv6/conf/all/disable_ipv6", "w") as switch:
        switch.write("1")
    async def main():
        responder, probe = made(), stamp()
        await responder.start()
        print((await probe(ProbedLink("x", target="127.0.0.1"))).values[1])
        probe.close()
        responder.close()
    asyncio.run(main())
    """
    assert run_in_netns(NETNS + script.replace("\n    ", "\n")).split() == ["3"]


@needs_netns
def test_an_interface_that_vanishes_is_not_measured_and_one_made_anew_is() -> None:
    script = """
    async def main():
        holder, probe = veth(), stamp(port=8621)
        link = ProbedLink("x", target="10.9.0.2", interface="v0")
        far = subprocess.Popen(["nsenter", "-t", str(holder.pid), "-n", sys.executable, "-c", FAR])
        while True:
            error = await failure(probe(link))
            if error is None:
                break
        print((await probe(link)).values[1])
        ip("link", "del", "v0")
        print((await failure(probe(link))).outcome.name)
        connect(holder)
        print((await probe(link)).values[1])
        probe.close()
        far.kill()
        holder.kill()
    asyncio.run(main())
    """
    far = (
        'FAR = """'
        + NETNS
        + (
            "\nimport asyncio\n"
            "async def main():\n"
            "    await made(listen='0.0.0.0', port=8621).start()\n"
            "    await asyncio.Event().wait()\n"
            'asyncio.run(main())\n"""\n'
        )
    )
    far = far.replace(
        "\nfrom edge_agent.probes.binding",
        "\nfrom edge_agent.probes import ProbeError\nfrom edge_agent.probes.binding",
        1,
    )
    assert run_in_netns(NETNS + far + script.replace("\n    ", "\n")).split() == ["3", "NO_INTERFACE", "3"]


@needs_netns
def test_a_path_of_another_length_is_flagged() -> None:
    script = """
    async def main():
        responder, probe = made(listen="0.0.0.0"), stamp()
        await responder.start()
        link = ProbedLink("x", target="127.0.0.1")
        for hops in (64, 64, 60, 60):
            with open("/proc/sys/net/ipv4/ip_default_ttl", "w") as limit:
                limit.write(str(hops))
            measured = await probe(link)
            print(int(Flag.PATH_CHANGED in measured.flags), measured.values[-1])
        probe.close()
        responder.close()
    asyncio.run(main())
    """
    printed = run_in_netns(NETNS + script.replace("\n    ", "\n"))
    assert printed.split() == ["0", "64", "0", "64", "1", "60", "0", "60"]
