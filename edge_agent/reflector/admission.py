"""Who is answered, and how often: an allow-list, and token buckets for each source and for all."""

from __future__ import annotations

import ipaddress
import socket
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from edge_agent.reflector.settings import ReflectorSettings

MOST_SOURCES = 4_096
"""Sources remembered; the one unheard for longest makes room for a new one."""

_MAPPED = bytes(10) + b"\xff\xff"
"""How the addresses of IPv4 begin on a socket for both families (RFC 4291 section 2.5.5.2)."""


@dataclass(slots=True)
class Bucket:
    """Tokens that fill up again at ``rate`` a second, up to one second's worth."""

    rate: float
    tokens: float
    at: float
    """Monotonic, s, of the last filling."""

    def take(self, cost: float, now: float) -> bool:
        """Take so many tokens, or none of them when there are not enough."""
        self.tokens = min(self.rate, self.tokens + max(now - self.at, 0) * self.rate)
        self.at = now
        if self.tokens < cost:
            return False
        self.tokens -= cost
        return True


class Admission:
    """Decides for each packet whether its source is answered; one for each service of a reflector."""

    def __init__(self, settings: ReflectorSettings, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._networks = tuple(map(_network, settings.allow))
        self._rate = settings.packets_per_s
        self._monotonic = monotonic
        self._all = _full(settings.packets_per_s_in_all, monotonic())
        self._sources: OrderedDict[bytes, Bucket] = OrderedDict()
        self.refused = 0
        """Packets from sources that are not on the allow-list."""
        self.limited = 0
        """Packets beyond a rate limit."""

    def allows(self, address: str) -> bool:
        """Whether the source is on the allow-list, whatever its rate."""
        allowed = self._is_listed(_packed(address))
        self.refused += not allowed
        return allowed

    def admits(self, address: str, cost: float = 1) -> bool:
        """Whether to answer one more packet of this source now; ``cost`` counts it as several."""
        source = _packed(address)
        if not self._is_listed(source):
            self.refused += 1
            return False
        now = self._monotonic()
        # The source's own bucket first, so that a greedy one does not empty what all share.
        if self._bucket(source, now).take(cost, now) and self._all.take(cost, now):
            return True
        self.limited += 1
        return False

    def _is_listed(self, source: bytes) -> bool:
        number, size = int.from_bytes(source, "big"), len(source)
        return any(number & mask == network and size == wanted for network, mask, wanted in self._networks)

    def _bucket(self, source: bytes, now: float) -> Bucket:
        bucket = self._sources.get(source)
        if bucket is None:
            if len(self._sources) >= MOST_SOURCES:
                self._sources.popitem(last=False)
            bucket = self._sources[source] = _full(self._rate, now)
        self._sources.move_to_end(source)
        return bucket


def _full(rate: float, now: float) -> Bucket:
    return Bucket(rate, rate, now)


def _network(text: str) -> tuple[int, int, int]:
    """Its address, its mask, and the bytes of an address of its family."""
    network = ipaddress.ip_network(text)
    return int(network.network_address), int(network.netmask), network.max_prefixlen // 8


def _packed(address: str) -> bytes:
    """The bytes of an address, in less time than ipaddress takes; a mapped one is of IPv4 again."""
    if ":" not in address:
        return socket.inet_pton(socket.AF_INET, address)
    packed = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
    return packed[12:] if packed.startswith(_MAPPED) else packed
