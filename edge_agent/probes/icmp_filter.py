"""What an ICMP socket lets through: the kernel drops the rest before it costs the agent anything."""

from __future__ import annotations

import ctypes
import socket
import struct

from edge_agent.probes.icmp_packet import REPLY_V4, REPLY_V6

_SO_ATTACH_FILTER = 26
_SOL_RAW, _ICMP_FILTER = 255, 1
_ICMP6_FILTER = 1
_INSTRUCTION = struct.Struct("=HBBI")
"""struct sock_filter: code, jump if true, jump if false, operand (classic BPF)."""
_LOAD_IP_HEADER_SIZE = (0xB1, 0, 0, 0)  # X = 4 * (packet[0] & 15)
_LOAD_HALF, _LOAD_HALF_AT_X = 0x28, 0x48
_SKIP_UNLESS_EQUAL, _RETURN = 0x15, 0x06
_IDENTIFIER_AT = 4
_WHOLE_PACKET = 0x40000


def only_replies(raw: socket.socket) -> None:
    """Keep all but echo replies from a raw socket (a set bit blocks a type)."""
    if raw.family == socket.AF_INET6:
        blocked = [0xFFFFFFFF] * 8
        blocked[REPLY_V6 >> 5] &= ~(1 << (REPLY_V6 & 31))
        raw.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, struct.pack("=8I", *blocked))
    else:
        raw.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", 0xFFFFFFFF & ~(1 << REPLY_V4)))


def only_identifier(raw: socket.socket, identifier: int) -> None:
    """Keep the replies to every other program of this host from a raw socket; best effort.

    A raw IPv4 socket's filter sees the packet from its IP header on, an IPv6 one from the ICMPv6 header.
    """
    if raw.family == socket.AF_INET6:
        load = [(_LOAD_HALF, 0, 0, _IDENTIFIER_AT)]
    else:
        load = [_LOAD_IP_HEADER_SIZE, (_LOAD_HALF_AT_X, 0, 0, _IDENTIFIER_AT)]
    program = [
        *load,
        (_SKIP_UNLESS_EQUAL, 0, 1, identifier),
        (_RETURN, 0, 0, _WHOLE_PACKET),
        (_RETURN, 0, 0, 0),
    ]
    code = ctypes.create_string_buffer(b"".join(_INSTRUCTION.pack(*each) for each in program))
    try:
        raw.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(program), ctypes.addressof(code))
        )
    except OSError:
        return  # the ledger tells replies apart as well, at the price of seeing them
