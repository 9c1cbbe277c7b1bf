"""ICMP messages, what a socket lets through, and control messages, as bytes."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.probes.icmp_packet import EchoForm, checksum, ipv4_message
from edge_agent.probes.stamps import WallClock, kernel_time_ns, time_to_live
from tests.edge_agent.netns import needs_netns, run_in_netns


def by_the_book(message: bytes) -> int:
    """RFC 1071, word by word."""
    padded = message + b"\0" * (len(message) % 2)
    total = 0
    for (word,) in struct.iter_unpack("!H", padded):
        total += word
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@given(st.binary(max_size=100))
def test_the_checksum_is_that_of_rfc_1071(message: bytes) -> None:
    assert checksum(message) == by_the_book(message)


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.binary(min_size=18, max_size=80))
def test_an_ipv4_request_and_its_reply_hold_their_checksums(identifier: int, seq: int, data: bytes) -> None:
    form = EchoForm(socket.AF_INET, identifier, data)
    message = form.request(seq)
    assert by_the_book(message) == 0
    assert message[:2] == b"\x08\0" and message[4:] == struct.pack("!HH", identifier, seq) + data
    right = by_the_book(b"\0\0\0\0" + message[4:])
    assert form.is_intact(right, seq)
    assert not form.is_intact(right ^ 1, seq)


def test_an_ipv6_request_leaves_its_checksum_to_the_kernel() -> None:
    form = EchoForm(socket.AF_INET6, 1, b"x" * 18)
    assert form.request(2)[:8] == struct.pack("!BBHHH", 128, 0, 0, 1, 2)
    assert form.is_intact(12345, 2)


@given(st.binary(max_size=80))
def test_any_ipv4_packet_is_taken_apart_without_an_error(packet: bytes) -> None:
    message, ttl = ipv4_message(packet)
    assert len(message) <= len(packet)
    assert (ttl is None) == (len(packet) < 20)


def test_options_are_skipped_and_the_ttl_is_told() -> None:
    header = bytes([0x46]) + bytes(7) + bytes([61]) + bytes(15)
    assert ipv4_message(header + b"message") == (b"message", 61)


@pytest.mark.parametrize("form", ["=qqqqqq", "=iiiiii"], ids=["64 bit", "32 bit"])
def test_the_kernels_timespecs_are_read_in_either_width(form: str) -> None:
    data = struct.pack(form, 1_700_000_000, 5, 0, 0, 0, 0)
    assert kernel_time_ns([(0, 8, b""), (socket.SOL_SOCKET, 37, data)]) == 1_700_000_000_000_000_005
    assert kernel_time_ns([(socket.SOL_SOCKET, 65, data)]) == 1_700_000_000_000_000_005


def test_no_or_a_zero_or_a_short_timespec_is_no_kernel_time() -> None:
    assert kernel_time_ns([]) is None
    assert kernel_time_ns([(socket.SOL_SOCKET, 37, bytes(48))]) is None
    assert kernel_time_ns([(socket.SOL_SOCKET, 37, b"1234")]) is None


def test_hop_counts_are_read_from_either_family() -> None:
    assert time_to_live([(socket.SOL_IP, 2, struct.pack("=i", 57))]) == 57
    assert time_to_live([(socket.IPPROTO_IPV6, 52, struct.pack("=i", 255))]) == 255
    assert time_to_live([(socket.SOL_IP, 2, b"1"), (socket.SOL_SOCKET, 37, bytes(48))]) is None


class Clocks:
    """Clocks that stand still between readings."""

    def __init__(self) -> None:
        self.monotonic = 5_000
        self.wall = 10**18

    def look(self) -> WallClock:
        return WallClock(lambda: self.monotonic, lambda: self.wall)


def test_a_step_of_the_wall_clock_is_seen_once_and_moves_the_offset() -> None:
    clocks = Clocks()
    clock = clocks.look()
    before = clock.offset_ns
    assert not clock.look() and clock.steps == 0
    clocks.wall -= 3_600_000_000_000
    assert clock.look() and not clock.look()
    assert (clock.steps, clock.offset_ns) == (1, before - 3_600_000_000_000)


def test_an_interrupted_reading_of_the_clocks_is_no_step() -> None:
    times = iter([0, 10, *(at for n in range(5) for at in (n * 10**9, n * 10**9 + 5_000_000))])
    clock = WallClock(lambda: next(times), lambda: 10**18)
    assert not clock.look() and clock.steps == 0


@needs_netns
@pytest.mark.parametrize("target", ["127.0.0.1", "::1"])
def test_a_raw_socket_gets_no_other_programs_replies(target: str) -> None:
    """Two raw sockets send; each finds its own reply alone, and where the kernel says so, its TTL."""
    said = run_in_netns(f"""
        import random, socket, time
        from edge_agent.probes.binding import ProbedLink
        from edge_agent.probes.icmp_packet import EchoForm
        from edge_agent.probes.icmp_socket import IcmpSocket
        allow_ping(1, 0)
        family = socket.AF_INET6 if ":" in "{target}" else socket.AF_INET
        address = ("{target}", 0, 0, 0) if ":" in "{target}" else ("{target}", 0)
        opened = [IcmpSocket(family, ProbedLink("a"), random.Random(n)) for n in (1, 2)]
        for each in opened:
            assert each.raw
            each.send(EchoForm(family, each.identifier, b"x" * 18).request(1), address)
        time.sleep(0.05)
        for each in opened:
            for message, _, ttl, source in each.received(10):
                print(source[0], ttl, int.from_bytes(message[4:6], "big") == each.identifier)
    """)
    assert said.splitlines() == [f"{target} 64 True"] * 2


@needs_netns
def test_a_socket_that_overflows_says_so() -> None:
    said = run_in_netns("""
        import random, socket
        from edge_agent.probes.binding import ProbedLink
        from edge_agent.probes.icmp_packet import EchoForm
        from edge_agent.probes.icmp_socket import IcmpSocket
        icmp = IcmpSocket(socket.AF_INET, ProbedLink("a"), random.Random(1))
        form = EchoForm(socket.AF_INET, icmp.identifier, b"x" * 1400)
        print(icmp.overflowed())
        for n in range(30_000):
            icmp.send(form.request(n), ("127.0.0.1", 0))
        print(icmp.overflowed(), icmp.overflowed())
    """)
    assert said.split() == ["False", "True", "False"]
