"""The wire contract: links, readings and sealed batches, packed for the wire or written as JSON.

This module is the only code that both halves share, so it imports the standard library alone.

A packed batch is ``version (1 B) | CRC-32 of the body (4 B) | raw DEFLATE of the body (RFC 1951)``.
The body is big-endian:

    gateway            text (1 B length, UTF-8)
    epoch, first sequence, sealed at (ms), base time (ms)       4 x 8 B
    link count (1 B), then each link: 1 B "defined", id text and, when defined,
        peer, interface, next hop, VLAN, target, medium text and metered (1 B)
    series count (1 B), then each series: kind code (1 B), link index (1 B)
    reading count (2 B)
    columns over all readings, in sequence order:
        series index (1 B), step from the reading before (4 B, ms, modulo 2^32, the first from
        the base time), flags (1 B), outcome (1 B)
    then for each kind present, by code: kind code, column count, and its columns

A column is stored as byte planes (all first bytes, then all second bytes, ...), which halves what
DEFLATE leaves of noisy integers. A value v is stored as v + 1, so that 0 means null; a column that
is "over" another is stored as the difference to it, modulo the column's range. Columns are only
ever appended to a kind; a missing one reads as null.
"""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from itertools import accumulate, chain, repeat
from typing import Any, TypeVar

T = TypeVar("T")
Values = Sequence[int | None]

VERSION = 1
METERING_UNIT = 5120
"""Bytes of topic and payload that AWS IoT Core bills as one message (aws.amazon.com/iot-core/pricing)."""
MAX_BODY = 65_536
MAX_READINGS = 4_096
MAX_SPAN_MS = 3_600_000
"""A batch covers at most one hour, so that a range query knows how far before its start to look."""

GATEWAY_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
LINK_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,62}")


class ContractError(ValueError):
    """The bytes or values do not keep the contract; the message says where."""


class Flag(IntFlag):
    """What is known about how a reading was taken."""

    NONE = 0
    KERNEL_SENT = 1
    """The kernel stamped the transmission; unset, user space did."""
    KERNEL_RECEIVED = 2
    """The kernel stamped the reception; unset, user space did."""
    CLOCK_SYNCED = 4
    """The wall clock was synchronised when the reading was taken."""
    RESTAMPED = 8
    """Taken before the first synchronisation and stamped after it, from monotonic time."""
    SIMULATED = 16
    """A simulated link, not a measured one."""
    PATH_CHANGED = 32
    """The route, or the hop count of the replies, is not that of the round before: compare with care."""
    CLOCK_STEPPED = 64
    """The wall clock was set during the round; times that span the step are of the monotonic clock."""


class Outcome(IntEnum):
    """Whether the probe could measure; what it measured, loss included, is in the columns."""

    MEASURED = 0
    OVERRUN = 1
    """The round did not finish within its timeout: not measured, which is not loss."""
    DENIED = 2
    UNRESOLVED = 3
    UNREACHABLE = 4
    NO_INTERFACE = 5
    FAILED = 6
    OFF_PATH = 7
    """Routing would not take the link's next hop: something else would have been measured."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a kind: stored integer x scale = value in unit."""

    name: str
    width: int
    """Bytes on the wire: 1, 2, 4 or 8."""
    unit: str
    scale: float
    null: str
    """What null means."""
    over: str = ""
    """An earlier column that this one is stored as a difference to."""

    @property
    def maximum(self) -> int:
        """The largest value that fits beside the null."""
        return int((1 << (8 * self.width)) - 2)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of reading: its name, its code on the wire and its columns."""

    name: str
    code: int
    columns: tuple[Column, ...]


def _count(name: str) -> Column:
    return Column(name, 2, "1", 1, "not measured")


def _micros(name: str, null: str = "no reply", over: str = "") -> Column:
    return Column(name, 4, "s", 1e-6, null, over)


def _total(name: str, unit: str = "1", null: str = "first round, or the counter was reset") -> Column:
    return Column(name, 8, unit, 1, null)


def _rate(name: str, null: str) -> Column:
    return Column(name, 4, "bit/s", 1e3, null)


def _address() -> tuple[Column, ...]:
    """An IPv6 address, or an IPv4 one mapped into it (RFC 4291 section 2.5.5.2), in two halves."""
    return tuple(Column(f"address_{half}", 8, "1", 1, "nobody answered") for half in ("high", "low"))


def _ascii(name: str, pieces: int) -> tuple[Column, ...]:
    """A text of ASCII in pieces of 8 characters, big-endian, padded with NUL."""
    return tuple(Column(f"{name}_{piece}", 8, "ascii", 1, "not told") for piece in range(1, pieces + 1))


_NO_ONE_WAY = "a clock was not synchronised, or the clocks differ by more than the delay"

KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "echo",
            1,
            (
                _count("sent"),
                _count("received"),
                _count("late"),
                _count("duplicate"),
                _count("corrupt"),
                _count("in_flight"),
                _micros("rtt_min_us"),
                _micros("rtt_p50_us", over="rtt_min_us"),
                _micros("rtt_p95_us", "fewer than 20 replies", over="rtt_min_us"),
                _micros("rtt_max_us", over="rtt_min_us"),
                _micros("rtt_mean_us", over="rtt_min_us"),
                _micros("rtt_stddev_us", "fewer than 2 replies"),
                _micros("ipdv_mean_us", "no 2 consecutive replies"),
                _count("foreign"),
                Column("reply_ttl", 1, "1", 1, "no reply, or not told"),
            ),
        ),
        Kind(
            "connect",
            2,
            (
                _count("sent"),
                _count("connected"),
                _count("refused"),
                _count("timed_out"),
                _micros("connect_min_us", "none connected"),
                _micros("connect_p50_us", "none connected", over="connect_min_us"),
                _micros("connect_max_us", "none connected", over="connect_min_us"),
                _micros("connect_mean_us", "none connected", over="connect_min_us"),
            ),
        ),
        Kind(
            "interface",
            3,
            (
                Column("up", 1, "1", 1, "the interface is gone"),
                Column("speed_kbps", 4, "bit/s", 1e3, "not reported by the driver"),
                Column("full_duplex", 1, "1", 1, "not reported by the driver"),
                Column("mtu", 4, "B", 1, "the interface is gone"),
                Column("period_ms", 4, "s", 1e-3, "first round, or the counter was reset"),
                _total("rx_bytes", "B"),
                _total("tx_bytes", "B"),
                _total("rx_packets"),
                _total("tx_packets"),
                _total("rx_errors"),
                _total("tx_errors"),
                _total("rx_dropped"),
                _total("tx_dropped"),
                Column("signal_dbm", 1, "dBm", -1, "no Wi-Fi, or not associated"),
                _rate("rx_bitrate_kbps", "no Wi-Fi, or not associated"),
                _rate("tx_bitrate_kbps", "no Wi-Fi, or not associated"),
            ),
        ),
        Kind(
            "http",
            4,
            (
                _count("sent"),
                _count("answered"),
                _count("refused"),
                _count("timed_out"),
                Column("status", 2, "1", 1, "no response"),
                _micros("resolve_us", "an address was given"),
                _micros("connect_us", "not connected"),
                _micros("tls_us", "no TLS, or no handshake"),
                _micros("wait_us", "no response"),
                _micros("first_byte_us", "no response"),
            ),
        ),
        Kind(
            "dns",
            5,
            (
                _count("sent"),
                _count("answered"),
                _count("timed_out"),
                _count("corrupt"),
                Column("rcode", 1, "1", 1, "no answer"),
                _micros("lookup_min_us", "no answer"),
                _micros("lookup_p50_us", "no answer", over="lookup_min_us"),
                _micros("lookup_max_us", "no answer", over="lookup_min_us"),
                _micros("lookup_mean_us", "no answer", over="lookup_min_us"),
            ),
        ),
        Kind(
            "stamp",
            6,
            (
                _count("sent"),
                _count("received"),
                _count("late"),
                _count("duplicate"),
                _count("corrupt"),
                _count("in_flight"),
                _count("lost_out"),
                _count("lost_back"),
                _micros("rtt_min_us"),
                _micros("rtt_p50_us", over="rtt_min_us"),
                _micros("rtt_p95_us", "fewer than 20 replies", over="rtt_min_us"),
                _micros("rtt_max_us", over="rtt_min_us"),
                _micros("rtt_mean_us", over="rtt_min_us"),
                _micros("rtt_stddev_us", "fewer than 2 replies"),
                _micros("ipdv_mean_us", "no 2 consecutive replies"),
                _micros("ipdv_out_mean_us", "no 2 consecutive replies"),
                _micros("ipdv_back_mean_us", "no 2 consecutive replies"),
                _micros("out_min_us", _NO_ONE_WAY),
                _micros("out_p50_us", _NO_ONE_WAY, over="out_min_us"),
                _micros("out_max_us", _NO_ONE_WAY, over="out_min_us"),
                _micros("back_min_us", _NO_ONE_WAY),
                _micros("back_p50_us", _NO_ONE_WAY, over="back_min_us"),
                _micros("back_max_us", _NO_ONE_WAY, over="back_min_us"),
                _micros("one_way_error_us", _NO_ONE_WAY),
                _count("foreign"),
                Column("reply_ttl", 1, "1", 1, "no reply, or not told"),
            ),
        ),
        Kind(
            "capacity",
            7,
            (
                _count("sent"),
                _count("received"),
                Column("spent_bytes", 4, "B", 1, "not measured"),
                _rate("capacity_kbps", "no estimate could be made"),
                _rate("low_kbps", "no estimate could be made"),
                _rate("high_kbps", "no estimate, or only a lower bound"),
                _rate("sender_kbps", "no train was sent"),
                Column("lower_bound", 1, "1", 1, "no estimate could be made"),
                Column("trust", 1, "1", 1, "no estimate could be made"),
                Column("burst_bytes", 4, "B", 1, "no token bucket was recognised"),
                _rate("peak_kbps", "no token bucket was recognised"),
            ),
        ),
        Kind(
            "bulk",
            8,
            (
                Column("spent_bytes", 4, "B", 1, "not measured"),
                Column("duration_us", 8, "s", 1e-6, "nothing was delivered"),
                _rate("goodput_kbps", "nothing was delivered"),
                Column("retransmitted", 4, "1", 1, "not told by the kernel"),
                _micros("rtt_min_us", "not told by the kernel"),
                _micros("rtt_max_us", "not told by the kernel", over="rtt_min_us"),
            ),
        ),
        Kind(
            "load",
            9,
            (
                _rate("reference_kbps", "nothing to compare the traffic with"),
                *(
                    column
                    for name in ("idle", "loaded", "busy")
                    for column in (
                        Column(f"{name}_echoes", 4, "1", 1, "not measured"),
                        _micros(f"{name}_p50_us", "no echo at such a load"),
                        _micros(f"{name}_p95_us", "fewer than 20 echoes at such a load"),
                        _rate(f"{name}_kbps", "no echo at such a load"),
                    )
                ),
            ),
        ),
        Kind(
            "path",
            10,
            (
                Column("hop", 1, "1", 1, "not measured"),
                Column("hops", 1, "1", 1, "the target did not answer"),
                _count("sent"),
                _count("answered"),
                *_address(),
                _micros("rtt_min_us", "no answer"),
                Column("changed", 1, "1", 1, "no round before"),
            ),
        ),
        Kind(
            "neighbour",
            11,
            (
                Column("protocol", 1, "1", 1, "nothing was heard"),
                Column("mac", 8, "1", 1, "not told"),
                *_address(),
                *_ascii("port", 4),
                *_ascii("name", 4),
                Column("ttl_s", 2, "s", 1, "not told"),
            ),
        ),
        Kind(
            "host",
            12,
            (
                Column("period_ms", 4, "s", 1e-3, "first round"),
                Column("cpu_permille", 2, "1", 1e-3, "first round"),
                Column("load_1min_centi", 4, "1", 1e-2, "not told"),
                Column("memory_total_kib", 4, "B", 1024, "not told"),
                Column("memory_available_kib", 4, "B", 1024, "not told"),
                Column("swap_used_kib", 4, "B", 1024, "not told"),
                Column("disk_total_kib", 8, "B", 1024, "not told"),
                Column("disk_free_kib", 8, "B", 1024, "not told"),
                Column("temperature_ck", 4, "K", 1e-2, "no sensor"),
                Column("frequency_mhz", 4, "Hz", 1e6, "not told"),
                Column("uptime_s", 4, "s", 1, "not told"),
                Column("throttled", 4, "1", 1, "not a Raspberry Pi"),
                Column("supply_mv", 4, "V", 1e-3, "no sensor"),
                Column("battery_permille", 2, "1", 1e-3, "no battery"),
                Column("mains", 1, "1", 1, "not told"),
                Column("agent_rss_kib", 4, "B", 1024, "not told"),
                Column("agent_cpu_permille", 2, "1", 1e-3, "first round"),
            ),
        ),
    )
}
_BY_CODE = {kind.code: kind for kind in KINDS.values()}
_LIMITS = {kind.name: tuple(column.maximum for column in kind.columns) for kind in KINDS.values()}
_FLAGS = tuple(map(Flag, range(1 << len(Flag))))
_OUTCOMES = tuple(Outcome)


@dataclass(frozen=True, slots=True)
class Link:
    """A directed link: an id that names a site and port, never an address."""

    id: str
    peer: str = ""
    interface: str = ""
    next_hop: str = ""
    vlan: str = ""
    target: str = ""
    medium: str = ""
    metered: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """One round of one probe on one link; ``values`` follow the columns of its kind, null as None."""

    link: str
    kind: str
    at_ms: int
    """Wall time at the start of the round, ms since 1970 UTC."""
    values: tuple[int | None, ...]
    flags: Flag = Flag.NONE
    outcome: Outcome = Outcome.MEASURED

    def __getitem__(self, column: str) -> int | None:
        """The stored integer of a column by name."""
        for spec, value in zip(KINDS[self.kind].columns, self.values, strict=True):
            if spec.name == column:
                return value
        raise KeyError(column)


@dataclass(frozen=True, slots=True)
class Batch:
    """Readings of one gateway, sealed once; (gateway, epoch, first_sequence) is its identity."""

    gateway: str
    epoch: int
    """63 bit; a new one for each new spool."""
    first_sequence: int
    sealed_ms: int
    readings: tuple[Reading, ...]
    links: tuple[Link, ...] = ()
    """Definitions of links, carried when they are new to the cloud."""

    @property
    def first_ms(self) -> int:
        """Time of the earliest reading, ms."""
        return min(reading.at_ms for reading in self.readings)

    @property
    def last_ms(self) -> int:
        """Time of the latest reading, ms."""
        return max(reading.at_ms for reading in self.readings)


def row(kind: str, **values: int | None) -> tuple[int | None, ...]:
    """The values of a kind in the order of its columns, null where not given; KeyError for a wrong name."""
    names = [column.name for column in KINDS[kind].columns]
    unknown = values.keys() - set(names)
    if unknown:
        raise KeyError(f"{kind} has no columns {sorted(unknown)}")
    return tuple(map(values.get, names))


def not_measured(link: str, kind: str, at_ms: int, outcome: Outcome, flags: Flag = Flag.NONE) -> Reading:
    """A reading that says only why there is no measurement."""
    return Reading(link, kind, at_ms, (None,) * len(KINDS[kind].columns), flags, outcome)


# --- checks ---------------------------------------------------------------------------------------


def check(batch: Batch) -> None:
    """Raise ContractError unless the batch keeps every limit of the contract."""
    for position, reading in enumerate(batch.readings):
        _check_reading(reading, position)
    _check_frame(batch)


def _check_frame(batch: Batch) -> None:
    """All but the readings' own columns, which the packed form cannot hold out of range."""
    _require(bool(GATEWAY_PATTERN.fullmatch(batch.gateway)), f"gateway {batch.gateway!r} is not a valid name")
    _require(
        0 < len(batch.readings) <= MAX_READINGS, f"{len(batch.readings)} readings, not 1 to {MAX_READINGS}"
    )
    for name in ("epoch", "first_sequence", "sealed_ms"):
        _require(0 <= getattr(batch, name) < 1 << 63, f"{name} is not a 63-bit unsigned integer")
    defined = {link.id: link for link in batch.links}
    _require(len(defined) == len(batch.links), "a link is defined twice")
    for link in {*defined, *(reading.link for reading in batch.readings)}:
        _require(bool(LINK_PATTERN.fullmatch(link)), f"link {link!r} is not a valid id")
    for text in chain.from_iterable(map(_texts, batch.links)):
        _text(text)
    _require(batch.last_ms < 1 << 63, "at_ms is not a 63-bit unsigned integer")
    _require(batch.last_ms - batch.first_ms <= MAX_SPAN_MS, "the batch spans more than an hour")


def _check_reading(reading: Reading, position: int) -> None:
    where = f"reading {position}"
    kind = KINDS.get(reading.kind)
    if kind is None:
        raise ContractError(f"{where}: unknown kind {reading.kind!r}")
    _require(0 <= reading.at_ms < 1 << 63, f"{where}: at_ms is not a 63-bit unsigned integer")
    _require(0 <= reading.flags < 1 << len(Flag), f"{where}: flags {int(reading.flags):#x} are not all known")
    limits = _LIMITS[kind.name]
    _require(len(reading.values) == len(limits), f"{where}: {len(reading.values)} values for {kind.name}")
    for place, (value, limit) in enumerate(zip(reading.values, limits, strict=True)):
        if value is not None and not 0 <= value <= limit:
            raise ContractError(f"{where}: {kind.columns[place].name} {value} is not within 0 to {limit}")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ContractError(message)


# --- packed form ----------------------------------------------------------------------------------

_HEAD = struct.Struct("!QQQQ")
_ENVELOPE = struct.Struct("!BI")


def encode(batch: Batch) -> bytes:
    """The batch packed and deflated; raises ContractError when it breaks a limit."""
    check(batch)
    body = _pack(batch)
    _require(len(body) <= MAX_BODY, f"the body is {len(body)} B, more than {MAX_BODY}")
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
    return _ENVELOPE.pack(VERSION, zlib.crc32(body)) + deflate.compress(body) + deflate.flush()


def _pack(batch: Batch) -> bytes:
    definitions = {link.id: link for link in batch.links}
    names = list(dict.fromkeys([*definitions, *(reading.link for reading in batch.readings)]))
    series = list(dict.fromkeys((reading.kind, reading.link) for reading in batch.readings))
    _require(len(names) <= 255 and len(series) <= 255, "more than 255 links or series in a batch")
    link_index = {name: index for index, name in enumerate(names)}
    series_index = {key: index for index, key in enumerate(series)}
    base = batch.first_ms
    parts = [
        _text(batch.gateway),
        _HEAD.pack(batch.epoch, batch.first_sequence, batch.sealed_ms, base),
        bytes([len(names)]),
        *(_pack_link(name, definitions.get(name)) for name in names),
        bytes([len(series)]),
        *(bytes([KINDS[kind].code, link_index[link]]) for kind, link in series),
        len(batch.readings).to_bytes(2, "big"),
        bytes(series_index[reading.kind, reading.link] for reading in batch.readings),
        _planes(_steps([reading.at_ms - base for reading in batch.readings]), 4),
        bytes(reading.flags for reading in batch.readings),
        bytes(reading.outcome for reading in batch.readings),
    ]
    for kind in sorted({KINDS[name] for name, _ in series}, key=lambda kind: kind.code):
        rows = [reading.values for reading in batch.readings if reading.kind == kind.name]
        parts.append(bytes([kind.code, len(kind.columns)]))
        columns = dict(zip((column.name for column in kind.columns), zip(*rows, strict=True), strict=True))
        for column in kind.columns:
            parts.append(
                _planes(_stored(columns[column.name], columns.get(column.over), column), column.width)
            )
    return b"".join(parts)


def _stored(values: Values, over: Values | None, column: Column) -> list[int]:
    modulus = column.maximum + 1
    return [
        0 if value is None else (value - (base or 0)) % modulus + 1
        for value, base in zip(values, over or repeat(0, len(values)), strict=True)
    ]


def _steps(times: Sequence[int]) -> list[int]:
    return [(time - before) % (1 << 32) for time, before in zip(times, [0, *times], strict=False)]


def _pack_link(name: str, link: Link | None) -> bytes:
    if link is None:
        return b"\0" + _text(name)
    return b"\1" + b"".join(map(_text, _texts(link))) + bytes([link.metered])


def _texts(link: Link) -> tuple[str, ...]:
    return (link.id, link.peer, link.interface, link.next_hop, link.vlan, link.target, link.medium)


def _text(value: str) -> bytes:
    try:
        raw = value.encode()
    except UnicodeEncodeError as error:  # JSON can escape half a surrogate pair, UTF-8 cannot hold one
        raise ContractError(f"{value[:20]!r} is not Unicode text") from error
    _require(len(raw) <= 255, f"{value[:20]!r}... is longer than 255 B")
    return bytes([len(raw)]) + raw


_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}


def _planes(values: Sequence[int], width: int) -> bytes:
    raw = struct.pack(f"!{len(values)}{_CODES[width]}", *values)
    return b"".join(raw[plane::width] for plane in range(width))


class _Reader:
    """Takes fields off the front of a body; running out of bytes is a ContractError."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def take(self, size: int) -> bytes:
        self._at += size
        _require(self._at <= len(self._body), "the body is cut short")
        return self._body[self._at - size : self._at]

    def byte(self) -> int:
        return self.take(1)[0]

    def text(self) -> str:
        return self.take(self.byte()).decode()

    def column(self, count: int, width: int) -> tuple[int, ...]:
        planes = self.take(count * width)
        raw = bytearray(len(planes))
        for plane in range(width):
            raw[plane::width] = planes[plane * count : (plane + 1) * count]
        return struct.unpack(f"!{count}{_CODES[width]}", raw)

    def end(self) -> None:
        _require(self._at == len(self._body), f"{len(self._body) - self._at} B too many in the body")


def _inflate(data: bytes) -> bytes:
    _require(len(data) >= _ENVELOPE.size, f"{len(data)} B are too few for a batch")
    version, checksum = _ENVELOPE.unpack_from(data)
    _require(version == VERSION, f"version {version} is not known")
    inflate = zlib.decompressobj(-15)
    body = inflate.decompress(data[_ENVELOPE.size :], MAX_BODY + 1)
    _require(len(body) <= MAX_BODY, f"the body inflates to more than {MAX_BODY} B")
    _require(inflate.eof and not inflate.unused_data, "the deflate stream does not end with the payload")
    _require(zlib.crc32(body) == checksum, "the checksum does not match")
    return body


def _unpack(body: bytes) -> Batch:
    reader = _Reader(body)
    gateway = reader.text()
    epoch, first_sequence, sealed_ms, base = _HEAD.unpack(reader.take(_HEAD.size))
    names, links = _unpack_links(reader)
    series = [(_kind_of(reader.byte()), _item(names, reader.byte(), "link")) for _ in range(reader.byte())]
    count = int.from_bytes(reader.take(2), "big")
    which = [_item(series, index, "series") for index in reader.take(count)]
    steps = reader.column(count, 4)
    flags = [_item(_FLAGS, flag, "flags value") for flag in reader.take(count)]
    outcomes = [_item(_OUTCOMES, outcome, "outcome") for outcome in reader.take(count)]
    times = (time % (1 << 32) for time in accumulate(steps))
    values = _unpack_values(reader, [kind for kind, _ in which])
    reader.end()
    readings = tuple(
        Reading(link, kind.name, base + time, next(values[kind.code]), flag, outcome)
        for (kind, link), time, flag, outcome in zip(which, times, flags, outcomes, strict=True)
    )
    return Batch(gateway, epoch, first_sequence, sealed_ms, readings, links)


def _unpack_links(reader: _Reader) -> tuple[list[str], tuple[Link, ...]]:
    names: list[str] = []
    links: list[Link] = []
    for _ in range(reader.byte()):
        defined = reader.byte()
        names.append(reader.text())
        if defined:
            peer, interface, next_hop, vlan, target, medium = (reader.text() for _ in range(6))
            metered = bool(reader.byte())
            links.append(Link(names[-1], peer, interface, next_hop, vlan, target, medium, metered))
    return names, tuple(links)


def _unpack_values(reader: _Reader, kinds: Sequence[Kind]) -> dict[int, Any]:
    values: dict[int, Any] = {}
    for code in sorted({kind.code for kind in kinds}):
        kind = _kind_of(reader.byte())
        _require(kind.code == code, f"columns of {kind.name} are out of place")
        rows, given = sum(each.code == code for each in kinds), reader.byte()
        _require(given <= len(kind.columns), f"{given} columns for {kind.name}")
        columns: dict[str, Values] = {column.name: (None,) * rows for column in kind.columns}
        for column in kind.columns[:given]:
            columns[column.name] = _values(
                reader.column(rows, column.width), columns.get(column.over), column
            )
        values[code] = zip(*columns.values(), strict=True)
    return values


def _values(stored: Sequence[int], over: Values | None, column: Column) -> Values:
    modulus = column.maximum + 1
    return [
        (value - 1 + (base or 0)) % modulus if value else None
        for value, base in zip(stored, over or repeat(0, len(stored)), strict=True)
    ]


def _kind_of(code: int) -> Kind:
    kind = _BY_CODE.get(code)
    if kind is None:
        raise ContractError(f"unknown kind code {code}")
    return kind


def _item(items: Sequence[T], index: int, what: str) -> T:
    if index >= len(items):
        raise ContractError(f"{what} {index} of {len(items)}")
    return items[index]


# --- JSON form ------------------------------------------------------------------------------------


def encode_json(batch: Batch) -> bytes:
    """The same content as JSON, for people and for other devices; values stay stored integers."""
    check(batch)
    return json.dumps(describe(batch), allow_nan=False, separators=(",", ":")).encode()


def describe(batch: Batch) -> dict[str, Any]:
    """The batch as JSON values, columns by name."""
    return {
        "version": VERSION,
        "gateway": batch.gateway,
        "epoch": f"{batch.epoch:016x}",
        "first_sequence": batch.first_sequence,
        "sealed_ms": batch.sealed_ms,
        "links": [{name: getattr(link, name) for name in Link.__slots__} for link in batch.links],
        "readings": [describe_reading(reading) for reading in batch.readings],
    }


def describe_reading(reading: Reading) -> dict[str, Any]:
    """A reading as JSON values: its identity, then its columns by name."""
    columns = (column.name for column in KINDS[reading.kind].columns)
    return {
        "link": reading.link,
        "kind": reading.kind,
        "at_ms": reading.at_ms,
        "flags": [flag.name.lower() for flag in Flag if flag in reading.flags and flag.name],
        "outcome": reading.outcome.name.lower(),
        **dict(zip(columns, reading.values, strict=True)),
    }


def _from_json(data: bytes) -> Batch:
    given = json.loads(data)
    version = _typed(given["version"], int, "version")
    _require(version == VERSION, f"version {version} is not known")
    _known(given, ("version", "links", *Batch.__slots__), "the batch")
    links = tuple(Link(**link) for link in given.get("links", ()))
    for link in links:
        _require(
            all(
                isinstance(getattr(link, name), bool if name == "metered" else str) for name in Link.__slots__
            ),
            f"link {link.id!r} has a field of the wrong type",
        )
    return Batch(
        _typed(given["gateway"], str, "gateway"),
        int(_typed(given["epoch"], str, "epoch"), 16),
        _typed(given["first_sequence"], int, "first_sequence"),
        _typed(given["sealed_ms"], int, "sealed_ms"),
        tuple(_reading_from_json(reading) for reading in _typed(given["readings"], list, "readings")),
        links,
    )


_READING_FIELDS = ("link", "kind", "at_ms", "flags", "outcome")


def _reading_from_json(given: Mapping[str, Any]) -> Reading:
    kind = KINDS.get(_typed(given["kind"], str, "kind"))
    if kind is None:
        raise ContractError(f"unknown kind {given['kind']!r}")
    columns = tuple(column.name for column in kind.columns)
    _known(given, (*_READING_FIELDS, *columns), "a reading")
    flags = Flag.NONE
    for name in given.get("flags", ()):
        flags |= Flag[name.upper()]
    values = map(given.get, columns)
    return Reading(
        _typed(given["link"], str, "link"),
        kind.name,
        _typed(given["at_ms"], int, "at_ms"),
        tuple(None if value is None else _typed(value, int, "a column") for value in values),
        flags,
        Outcome[given.get("outcome", "measured").upper()],
    )


def _known(given: Mapping[str, Any], fields: Sequence[str], where: str) -> None:
    """Refuse a misspelt field: ignoring it would turn its value into a silent null."""
    unknown = sorted(given.keys() - set(fields))
    _require(not unknown, f"{where} has unknown fields {unknown[:3]}")


def _typed(value: object, kind: type[T], name: str) -> T:
    _require(isinstance(value, kind) and not isinstance(value, bool), f"{name} is not {kind.__name__}")
    return value  # type: ignore[return-value]


def decode(data: bytes) -> Batch:
    """The batch in either form; raises ContractError, and nothing else, for anything but a valid one."""
    try:
        if data[:1] == b"{":
            batch = _from_json(data)
            check(batch)
        else:
            batch = _unpack(_inflate(data))
            _check_frame(batch)
    except ContractError:
        raise
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        struct.error,
        zlib.error,
    ) as error:
        raise ContractError(f"not a batch: {error!r}") from error
    return batch
