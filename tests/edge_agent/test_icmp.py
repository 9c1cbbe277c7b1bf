"""ICMP messages and control messages, as bytes."""

from __future__ import annotations

import socket
import struct

import pytest

from edge_agent.probes.icmp_packet import checksum, echo_reply, echo_request, own_request
from edge_agent.probes.icmp_socket import kernel_time_ns


def test_an_ipv4_request_holds_the_checksum_of_rfc_1071() -> None:
    message = echo_request(socket.AF_INET, 0x1234, 1, b"abc")
    assert message[:2] == b"\x08\x00" and checksum(message) == 0
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0x220D


@pytest.mark.parametrize(("family", "kind"), [(socket.AF_INET, 0), (socket.AF_INET6, 129)])
def test_a_reply_is_parsed_and_anything_else_is_not(family: int, kind: int) -> None:
    message = struct.pack("!BBHHH", kind, 0, 0, 9, 3) + b"data"
    reply = echo_reply(family, message)
    assert reply and (reply.identifier, reply.sequence, reply.payload) == (9, 3, b"data")
    assert reply.intact is (family == socket.AF_INET6)
    assert echo_reply(family, message[:7]) is None
    assert echo_reply(family, bytes([3]) + message[1:]) is None


def test_an_own_request_is_found_behind_any_headers() -> None:
    message = echo_request(socket.AF_INET, 1, 77, bytes(range(56)))
    assert own_request(b"\0" * 34 + message, 56) == (77, bytes(range(56)))
    assert own_request(message[:20], 56) is None


@pytest.mark.parametrize("form", ["=qqqqqq", "=iiiiii"], ids=["64 bit", "32 bit"])
def test_the_kernels_timespecs_are_read_in_either_width(form: str) -> None:
    data = struct.pack(form, 1_700_000_000, 5, 0, 0, 0, 0)
    assert kernel_time_ns([(0, 8, b""), (socket.SOL_SOCKET, 37, data)]) == 1_700_000_000_000_000_005
    assert kernel_time_ns([(socket.SOL_SOCKET, 65, data)]) == 1_700_000_000_000_000_005


def test_no_or_a_zero_timespec_is_no_kernel_time() -> None:
    assert kernel_time_ns([]) is None
    assert kernel_time_ns([(socket.SOL_SOCKET, 37, bytes(48))]) is None
