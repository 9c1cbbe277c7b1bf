"""nl80211 over generic netlink: what is asked about a Wi-Fi station, and what is read of the answer.

Numbers are the kernel's (include/uapi/linux/netlink.h, genetlink.h and nl80211.h). Netlink is in the byte
order of the machine.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

CONTROLLER = 16
"""The message type of the controller, which knows the others' (GENL_ID_CTRL)."""
ROUND_UP = 4

_MESSAGE = struct.Struct("=IHHII")
_GENERIC = struct.Struct("=BBH")
_ATTRIBUTE = struct.Struct("=HH")
_ATTRIBUTE_TYPE = 0x3FFF
_REQUEST, _ACKNOWLEDGE, _DUMP = 0x001, 0x004, 0x300
_ERROR, _DONE = 2, 3
_GET_FAMILY, _FAMILY_ID, _FAMILY_NAME = 3, 1, 2
_GET_STATION, _INTERFACE_INDEX, _STATION_INFO = 17, 3, 21
_SIGNAL, _TX_BITRATE, _RX_BITRATE = 7, 8, 14
_BITRATE_16, _BITRATE_32 = 1, 5


class NetlinkError(ValueError):
    """The kernel refused, or its answer cannot be read."""


@dataclass(frozen=True, slots=True)
class Station:
    """The far end of a Wi-Fi link as the driver sees it; None for what it does not tell."""

    signal_dbm: int | None = None
    rx_bitrate_kbps: int | None = None
    tx_bitrate_kbps: int | None = None


def family_request(sequence: int, name: str = "nl80211") -> bytes:
    """Asks the controller for the message type of a family."""
    which = _attribute(_FAMILY_NAME, name.encode() + b"\0")
    return _message(CONTROLLER, _REQUEST | _ACKNOWLEDGE, sequence, _GET_FAMILY, which)


def stations_request(family: int, sequence: int, interface_index: int) -> bytes:
    """Asks for every station that the interface talks to."""
    which = _attribute(_INTERFACE_INDEX, struct.pack("=I", interface_index))
    return _message(family, _REQUEST | _DUMP, sequence, _GET_STATION, which)


def _message(kind: int, flags: int, sequence: int, command: int, attributes: bytes) -> bytes:
    length = _MESSAGE.size + _GENERIC.size + len(attributes)
    header = _MESSAGE.pack(length, kind, flags, sequence, 0)
    return header + _GENERIC.pack(command, 1, 0) + attributes


def _attribute(kind: int, value: bytes) -> bytes:
    padding = b"\0" * (-len(value) % ROUND_UP)
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + padding


def payloads(datagram: bytes, sequence: int) -> Iterator[bytes | None]:
    """The attributes of each message that answers a request; None for the end of what was asked for.

    Raises NetlinkError when the kernel refused or a message is cut off.
    """
    at = 0
    while at < len(datagram):
        if len(datagram) - at < _MESSAGE.size:
            raise NetlinkError("cut off within a header")
        length, kind, _, answered, _ = _MESSAGE.unpack_from(datagram, at)
        if not _MESSAGE.size <= length <= len(datagram) - at:
            raise NetlinkError(f"a message of {length} bytes in {len(datagram) - at}")
        if answered == sequence:
            yield _payload(kind, datagram[at + _MESSAGE.size : at + length])
        at += length + -length % ROUND_UP


def _payload(kind: int, body: bytes) -> bytes | None:
    if kind == _ERROR:
        if len(body) < 4:
            raise NetlinkError("cut off within an error")
        code = -int(struct.unpack_from("=i", body)[0])
        if code:
            raise NetlinkError(f"refused with error {code}")
    return None if kind in (_ERROR, _DONE) else body[_GENERIC.size :]


def attributes(body: bytes) -> dict[int, bytes]:
    """The attributes by type, the last of each; raises NetlinkError when one is cut off."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(body):
        if len(body) - at < _ATTRIBUTE.size:
            raise NetlinkError("cut off within an attribute's header")
        length, kind = _ATTRIBUTE.unpack_from(body, at)
        if not _ATTRIBUTE.size <= length <= len(body) - at:
            raise NetlinkError(f"an attribute of {length} bytes in {len(body) - at}")
        found[kind & _ATTRIBUTE_TYPE] = body[at + _ATTRIBUTE.size : at + length]
        at += length + -length % ROUND_UP
    return found


def family(body: bytes) -> int:
    """The message type in the controller's answer."""
    value = _integer(attributes(body).get(_FAMILY_ID))
    if value is None:
        raise NetlinkError("no message type for the family")
    return value


def station(body: bytes) -> Station:
    """One station of the answer."""
    told = attributes(attributes(body).get(_STATION_INFO, b""))
    signal = told.get(_SIGNAL, b"")
    return Station(
        signal_dbm=struct.unpack("=b", signal)[0] if len(signal) == 1 else None,
        rx_bitrate_kbps=_bitrate(told.get(_RX_BITRATE, b"")),
        tx_bitrate_kbps=_bitrate(told.get(_TX_BITRATE, b"")),
    )


def _bitrate(nested: bytes) -> int | None:
    """kbit/s; the wider attribute where there is one, both count in 100 kbit/s."""
    told = attributes(nested)
    value = _integer(told.get(_BITRATE_32)) or _integer(told.get(_BITRATE_16))
    return value * 100 if value else None


def _integer(value: bytes | None) -> int | None:
    formats = {2: "=H", 4: "=I"}
    if value is None or len(value) not in formats:
        return None
    return int(struct.unpack(formats[len(value)], value)[0])
