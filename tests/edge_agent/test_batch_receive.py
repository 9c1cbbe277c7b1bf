"""Both ways of reading packets off a socket, held to the same tests; UDP shows the same as ICMP does."""

from __future__ import annotations

import ctypes
import socket
import struct
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.probes.batch_receive import (
    PACKETS,
    BatchReceiver,
    Packet,
    Receiver,
    SingleReceiver,
    control_messages,
    receiver,
)
from edge_agent.probes.stamps import SO_TIMESTAMPING

SIZE = 64
STAMPED = (1 << 1) | (1 << 3) | (1 << 4)
ERRORS = 0x2000
Make = Callable[[socket.socket, int], Receiver]


def pair(family: socket.AddressFamily, stamped: bool = True) -> tuple[socket.socket, socket.socket]:
    """A non-blocking socket that tells stamps and hop counts, and one that sends to it."""
    here = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    listening, sending = (socket.socket(family, socket.SOCK_DGRAM) for _ in range(2))
    listening.bind((here, 0))
    listening.setblocking(False)
    if family == socket.AF_INET6:
        listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
    else:
        listening.setsockopt(socket.SOL_IP, 12, 1)
    for each in (listening, sending) if stamped else ():
        each.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, STAMPED)
    sending.connect(listening.getsockname())
    time.sleep(0.05)  # the kernel begins to stamp a moment after it has been asked to
    return listening, sending


@pytest.fixture(params=[socket.AF_INET, socket.AF_INET6], ids=["IPv4", "IPv6"])
def sockets(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket]]:
    listening, sending = pair(request.param)
    with listening, sending:
        yield listening, sending


@pytest.fixture(params=[SingleReceiver, receiver], ids=["single", "batch"])
def make(request: pytest.FixtureRequest) -> Make:
    made: Make = request.param
    return made


def test_this_machine_reads_in_batches() -> None:
    listening, sending = pair(socket.AF_INET)
    with listening, sending:
        assert isinstance(receiver(listening, SIZE), BatchReceiver)


def test_content_time_hops_and_source_are_told(
    sockets: tuple[socket.socket, socket.socket], make: Make
) -> None:
    listening, sending = sockets
    before = time.time_ns()
    sending.send(b"one")
    sending.send(b"")
    packets = make(listening, SIZE).read(10, 0)
    assert [data for data, _, _, _ in packets] == [b"one", b""]
    for _, at_ns, hops, source in packets:
        assert at_ns is not None and before - 1_000_000_000 < at_ns < time.time_ns() + 1_000_000_000
        assert hops == 64
        # ICMP has no ports, so batches tell none.
        assert source[0] == sending.getsockname()[0]


def test_nothing_that_waits_is_nothing(sockets: tuple[socket.socket, socket.socket], make: Make) -> None:
    listening, _ = sockets
    each = make(listening, SIZE)
    assert each.read(10, 0) == [] and each.read(10, ERRORS) == []


@pytest.mark.parametrize("waiting", [1, PACKETS - 1, PACKETS, PACKETS + 1, 2 * PACKETS + 5])
def test_any_number_is_read_in_order_and_no_more_than_asked_for(
    sockets: tuple[socket.socket, socket.socket], make: Make, waiting: int
) -> None:
    listening, sending = sockets
    for number in range(waiting):
        sending.send(b"%d" % number)
    each = make(listening, SIZE)
    first = each.read(waiting - 1, 0)
    rest = each.read(1_000, 0)
    assert len(first) == waiting - 1
    assert [int(data) for data, _, _, _ in first + rest] == list(range(waiting))


def test_a_packet_that_is_too_long_is_cut(sockets: tuple[socket.socket, socket.socket], make: Make) -> None:
    listening, sending = sockets
    sending.send(bytes(range(SIZE + 9)))
    sending.send(b"short")
    assert [data for data, *_ in make(listening, SIZE).read(9, 0)] == [bytes(range(SIZE)), b"short"]


def test_what_was_sent_comes_back_with_its_time(
    sockets: tuple[socket.socket, socket.socket], make: Make
) -> None:
    _, sending = sockets
    sending.setblocking(False)
    for number in range(3):
        sending.send(b"request %d" % number)
    sent = make(sending, 256).read(9, ERRORS)
    assert [data[-9:] for data, *_ in sent] == [b"request %d" % number for number in range(3)]
    times = [at_ns for _, at_ns, _, _ in sent]
    assert None not in times and times == sorted(times, key=lambda at_ns: at_ns or 0)


def test_without_stamps_the_time_is_unknown_and_the_hops_are_not(make: Make) -> None:
    listening, sending = pair(socket.AF_INET, stamped=False)
    with listening, sending:
        sending.send(b"plain")
        packets: list[Packet] = make(listening, SIZE).read(9, 0)
    assert [(data, at_ns, hops) for data, at_ns, hops, _ in packets] == [(b"plain", None, 64)]


def test_a_refusal_of_the_network_does_not_stop_the_reading(make: Make) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        nobody = free.getsockname()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.setblocking(False)
        asking.connect(nobody)
        asking.send(b"is anyone there?")  # answered by ICMP port unreachable, an error of the next call
        assert make(asking, SIZE).read(9, 0) == []


def test_a_closed_socket_reads_nothing(make: Make) -> None:
    listening, sending = pair(socket.AF_INET)
    each = make(listening, SIZE)
    sending.close()
    listening.close()
    assert each.read(9, 0) == []


def test_a_library_without_the_call_is_read_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: object())
    listening, sending = pair(socket.AF_INET)
    with listening, sending:
        assert isinstance(receiver(listening, SIZE), SingleReceiver)


@given(st.binary(max_size=120))
def test_any_control_buffer_is_taken_apart_without_an_error(control: bytes) -> None:
    assert sum(len(data) for _, _, data in control_messages(control)) <= len(control)


def test_control_messages_are_those_of_the_kernel() -> None:
    word = struct.calcsize("@N")
    header = struct.Struct("@Nii")
    wanted = [(1, 2, b"abc"), (3, 4, b""), (5, 6, bytes(9))]
    packed = b"".join(
        (header.pack(header.size + len(data), level, kind) + data).ljust(
            -(-(header.size + len(data)) // word) * word, b"\0"
        )
        for level, kind, data in wanted
    )
    assert control_messages(packed) == wanted
    assert control_messages(packed[: header.size - 1]) == []
    assert control_messages(packed[: len(packed) - word]) == wanted[:2]
