"""What is fuzzed: each parser of bytes from outside, with what it may raise, and seeds to start from.

A target takes any bytes and returns; an exception that a parser does not promise is a finding.
Imports are inside the targets: so the fuzzer can instrument the module, and nothing else is loaded.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz import seeds

Take = Callable[[bytes], None]


@dataclass(frozen=True)
class Target:
    """A parser under test."""

    modules: tuple[str, ...]
    """Whose branches guide the fuzzer."""
    make: Callable[[], Take]
    """Imports the parser and returns what feeds it."""
    seeds: tuple[bytes, ...]


# --- the wire contract ----------------------------------------------------------------------------


def _contract() -> Take:
    from edge_agent.contract import ContractError, decode

    def take(data: bytes) -> None:
        # The checksum and the deflate stream are made right: no fuzzer guesses those.
        packed = zlib.compressobj(1, zlib.DEFLATED, -15)
        framed = struct.pack("!BI", 1, zlib.crc32(data)) + packed.compress(data) + packed.flush()
        for form in (framed, data):
            with contextlib.suppress(ContractError):
                decode(form)

    return take


# --- packets --------------------------------------------------------------------------------------


def _icmp() -> Take:
    from edge_agent.probes.icmp_packet import checksum, ipv4_message

    def take(data: bytes) -> None:
        message, ttl = ipv4_message(data)
        assert len(message) <= len(data) and (ttl is None or 0 <= ttl <= 255)
        assert 0 <= checksum(message) <= 0xFFFF

    return take


def _echo() -> Take:
    from edge_agent.probes.echo_ledger import EchoRound, Ledger, Tally

    target = ("10.0.0.2", 0)

    def take(data: bytes) -> None:
        ledger = Ledger(socket.AF_INET, 0x1234, 5)
        tally = Tally()
        sent = EchoRound(1_000_000, tally, target, b"x" * 56, 1)
        assert ledger.open(sent)
        sent.sent(0)
        head = struct.pack("!BBHHH", 0, 0, 0, 0x1234, sent.first_sequence)
        for message in (data, head + data):
            ledger.transmitted(message, 64, 5)
            for source in (target, ("10.0.0.3", 0)):
                ledger.received(source, message, 10, None, 64)
        assert all(0 <= count <= 4 for count in tally.take(0))

    return take


def _stamp() -> Take:
    from edge_agent.probes.stamp_packet import (
        StampError,
        decode_reflected,
        decode_sender,
        encode_reflected,
        encode_sender,
        reflected_tlvs,
    )

    def take(data: bytes) -> None:
        assert len(reflected_tlvs(data)) == len(data), "a reply longer than its request"
        for key in (None, b"key"):
            with contextlib.suppress(StampError):
                sender = decode_sender(data, key)
                assert decode_sender(encode_sender(sender, key), key) == sender
            with contextlib.suppress(StampError):
                reflected = decode_reflected(data, key)
                assert decode_reflected(encode_reflected(reflected, key), key) == reflected

    return take


def _train() -> Take:
    from edge_agent.probes import train_packet as train

    ask = train.Ask(bytes(8), bytes(16), 0, 0, 100)

    def take(data: bytes) -> None:
        for key in (None, b"key"):
            with contextlib.suppress(train.TrainError):
                train.parse_hello(data, key)
            with contextlib.suppress(train.TrainError):
                train.parse_challenge(data, bytes(8), key)
            with contextlib.suppress(train.TrainError):
                answer = train.ASK_BYTES + train.parse_ask(data, key).records * train.RECORD_BYTES
                assert answer <= len(data), "an answer longer than its question"
            with contextlib.suppress(train.TrainError):
                assert len(train.parse_report(data, ask, key).arrivals) <= ask.records
        with contextlib.suppress(train.TrainError):
            train.parse_car(data)

    return take


def _bulk() -> Take:
    from edge_agent.probes.bulk_packet import BulkError, parse_offer, parse_request, parse_result
    from edge_agent.probes.tcp_info import parse_tcp_info

    def take(data: bytes) -> None:
        parse_tcp_info(data)
        with contextlib.suppress(BulkError):
            parse_offer(data)
        for key in (None, b"key"):
            for parse in (parse_request, parse_result):
                with contextlib.suppress(BulkError):
                    parse(data, bytes(8), key)

    return take


def _dns() -> Take:
    from edge_agent.probes.dns_message import DnsError, Query, question, response_code

    query = Query(0x1234, question("example.com", "A"))

    def take(data: bytes) -> None:
        for message in (data, query.message[:2] + b"\x81\x80" + data):
            with contextlib.suppress(DnsError):
                code = response_code(message, query)
                assert code is None or 0 <= code <= 15

    return take


def _http() -> Take:
    from edge_agent.probes.http_exchange import final_status

    loop = asyncio.new_event_loop()

    def take(data: bytes) -> None:
        reader = asyncio.StreamReader(limit=1024, loop=loop)
        reader.feed_data(data[1:])
        reader.feed_eof()
        with contextlib.suppress(EOFError, asyncio.LimitOverrunError):
            code = loop.run_until_complete(final_status(data[:1], reader))
            assert code is None or 200 <= code <= 599

    return take


# --- netlink, /proc and /sys ----------------------------------------------------------------------


def _route() -> Take:
    from edge_agent.probes.route import parse

    def take(data: bytes) -> None:
        with contextlib.suppress(ValueError, OSError):
            parse(data, 1)

    return take


def _wifi() -> Take:
    from edge_agent.probes.netlink80211 import NetlinkError, family, payloads, station

    def take(data: bytes) -> None:
        with contextlib.suppress(NetlinkError):
            for body in payloads(data, 1):
                if body is not None:
                    with contextlib.suppress(NetlinkError):
                        family(body)
                    station(body)

    return take


def _table() -> Take:
    from edge_agent.discovery.neighbour_table import read

    def take(data: bytes) -> None:
        with contextlib.suppress(ValueError, OSError):
            read(data, 1, 60)

    return take


def _sysfs() -> Take:
    from edge_agent.probes.sysfs import number

    # In memory, and gone with the process however it ends.
    handle = os.memfd_create("value")
    path = Path("/proc/self/fd", str(handle))

    def take(data: bytes) -> None:
        os.truncate(handle, 0)
        os.pwrite(handle, data, 0)
        for base in (10, 16):
            value = number(path, base)
            assert value is None or 0 <= value < 1 << 64

    return take


# --- discovery ------------------------------------------------------------------------------------


def _findings() -> Take:
    from edge_agent.discovery.messages import ChildError, read_hops, read_neighbours
    from edge_agent.probes.neighbour import rows as neighbour_rows
    from edge_agent.probes.path import rows as path_rows
    from edge_agent.schedule import checked

    def take(data: bytes) -> None:
        with contextlib.suppress(ValueError, ChildError):
            for each in path_rows(read_hops(data), None):
                checked(each)
        with contextlib.suppress(ValueError, ChildError):
            for each in neighbour_rows(read_neighbours(data)):
                checked(each)

    return take


def _frames() -> Take:
    from edge_agent.discovery import packets
    from edge_agent.discovery.messages import PathRequest, read_neighbours, write

    old = PathRequest("10.0.0.1", "10.0.9.9", 0, 40_000, 33_434, 30, 3, 0.02, 1, 3, 4)
    new = PathRequest("fd00::1", "fd00:9::9", 0, 40_000, 33_434, 30, 3, 0.02, 1, 3, 4)

    def take(data: bytes) -> None:
        packets.read_path_answer(old, data, "")
        packets.read_path_answer(new, data, "fd00::2")
        heard = packets.read_arp(data), packets.read_lldp(data), packets.read_discovery(data, "fe80::2")
        for neighbour in filter(None, heard):
            assert read_neighbours(write(neighbour).encode()) == [neighbour], "the agent would not take it"

    return take


TARGETS = {
    "contract": Target(("edge_agent.contract",), _contract, (seeds.JSON, seeds.BODY)),
    "icmp": Target(("edge_agent.probes.icmp_packet",), _icmp, (bytes(28), seeds.EXCEEDED)),
    "echo": Target(
        ("edge_agent.probes.echo_ledger",), _echo, (b"x" * 56, bytes.fromhex("0000000012340000") + b"x" * 56)
    ),
    "stamp": Target(("edge_agent.probes.stamp_packet",), _stamp, (bytes(44), bytes(112), bytes(60))),
    "train": Target(
        ("edge_agent.probes.train_packet",),
        _train,
        tuple(b"LPT1" + bytes((kind,)) + bytes(91) for kind in range(1, 6)),
    ),
    "bulk": Target(
        ("edge_agent.probes.bulk_packet", "edge_agent.probes.tcp_info"),
        _bulk,
        tuple(b"LPB1" + bytes(size) for size in (12, 20, 36, 44, 100)),
    ),
    "dns": Target(("edge_agent.probes.dns_message",), _dns, (seeds.DNS,)),
    "http": Target(("edge_agent.probes.http_exchange",), _http, (b"HTTP/1.1 200 OK\r\n", seeds.CONTINUE)),
    "route": Target(("edge_agent.probes.route",), _route, (seeds.ROUTE,)),
    "wifi": Target(("edge_agent.probes.netlink80211",), _wifi, (seeds.STATION,)),
    "neighbour-table": Target(("edge_agent.discovery.neighbour_table",), _table, (seeds.NEIGHBOUR,)),
    "sysfs": Target(("edge_agent.probes.sysfs",), _sysfs, (b"42\n", b"0x50005\n")),
    "child": Target(("edge_agent.discovery.messages",), _findings, (seeds.HOP, seeds.NEAR)),
    "frames": Target(
        ("edge_agent.discovery.packets", "scapy.contrib.lldp"),
        _frames,
        (seeds.EXCEEDED, seeds.LLDP, seeds.LLDP[:14]),
    ),
}
