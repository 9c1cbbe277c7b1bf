"""Signal and bit rates of the Wi-Fi link that an interface carries, asked of its driver."""

from __future__ import annotations

import socket
from pathlib import Path

from edge_agent.probes.netlink80211 import (
    NetlinkError,
    Station,
    family,
    family_request,
    payloads,
    station,
    stations_request,
)

_NETLINK_GENERIC = 16
_ANSWER_WITHIN_S = 0.5
"""A driver may have to ask its firmware; the event loop waits meanwhile."""
_DATAGRAM = 65_536
_MOST_DATAGRAMS = 64
_SYSFS = Path("/sys/class/net")


def read_wifi(interface: str, index: int, sysfs: Path = _SYSFS) -> Station | None:
    """The one station that the interface talks to; None without Wi-Fi, or when there is not exactly one.

    An access point with many stations is many links, none of which is the interface's. What the driver
    refuses to tell is not known, which is no reason to lose the interface's counters.
    """
    if not (sysfs / interface / "phy80211").exists():
        return None
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_GENERIC) as kernel:
            kernel.settimeout(_ANSWER_WITHIN_S)
            return only_station(kernel, index)
    except (OSError, NetlinkError):
        return None


def only_station(kernel: socket.socket, index: int) -> Station | None:
    """What two questions over a netlink socket tell; raises OSError or NetlinkError."""
    families = [family(each) for each in ask(kernel, family_request(1), 1)]
    if not families:
        raise NetlinkError("nobody knows nl80211")
    stations = [station(each) for each in ask(kernel, stations_request(families[0], 2, index), 2)]
    return stations[0] if len(stations) == 1 else None


def ask(kernel: socket.socket, message: bytes, sequence: int) -> list[bytes]:
    """The attributes of each message that answers; raises OSError or NetlinkError."""
    kernel.send(message)
    answers: list[bytes] = []
    for _ in range(_MOST_DATAGRAMS):
        for payload in payloads(kernel.recv(_DATAGRAM), sequence):
            if payload is None:
                return answers
            answers.append(payload)
    raise NetlinkError("the answer does not end")
