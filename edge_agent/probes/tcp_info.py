"""What the kernel knows of a TCP connection: TCP_INFO, struct tcp_info of include/uapi/linux/tcp.h."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

_TCP_INFO = getattr(socket, "TCP_INFO", 11)
_SIZE = 256
_OLDEST = 104
"""Bytes that every kernel has; later ones appended: bytes_sent came with Linux 4.19."""
_UNKNOWN_RTT = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class TcpInfo:
    """A moment of a connection; None for what this kernel does not tell."""

    segment_bytes: int
    """The maximum segment size in use for sending."""
    rtt_us: int
    """Smoothed (RFC 6298)."""
    retransmitted: int
    """Segments, so far."""
    rtt_min_us: int | None
    acked_bytes: int | None
    sent_bytes: int | None
    """Payload, sent again included."""
    segments: int | None
    """Sent and received, those without payload included."""


def tcp_info(opened: socket.socket) -> TcpInfo | None:
    """Ask the kernel; None where it has no such answer."""
    try:
        return parse_tcp_info(opened.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _SIZE))
    except OSError:
        return None


def parse_tcp_info(raw: bytes) -> TcpInfo | None:
    """The parts of the structure that are there; None when not even the oldest are."""
    if len(raw) < _OLDEST:
        return None
    (segment_bytes,) = struct.unpack_from("=I", raw, 16)
    (rtt_us,) = struct.unpack_from("=I", raw, 68)
    (retransmitted,) = struct.unpack_from("=I", raw, 100)
    out, back = _field("=I", raw, 136), _field("=I", raw, 140)
    rtt_min_us = _field("=I", raw, 148)
    return TcpInfo(
        segment_bytes,
        rtt_us,
        retransmitted,
        None if rtt_min_us == _UNKNOWN_RTT else rtt_min_us,
        _field("=Q", raw, 120),
        _field("=Q", raw, 200),
        None if out is None or back is None else out + back,
    )


def _field(form: str, raw: bytes, at: int) -> int | None:
    if len(raw) < at + struct.calcsize(form):
        return None
    return int(struct.unpack_from(form, raw, at)[0])
