"""Trains that are coming in: bounded in number, in length and in time."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from edge_agent.probes.train_packet import Car
from edge_agent.probes.train_steps import Arrival

MOST_TRAINS = 16
"""Of the source that has the most of them, the one silent for longest makes room for a new one."""
MOST_OF_ONE = 4
"""Of one source, whose own then make room."""
FORGET_AFTER_S = 60.0

TrainKey = tuple[str, int, bytes, int]
"""The sender's address and port, its nonce, and the number of the train."""


@dataclass(slots=True)
class Incoming:
    """What has come of one train."""

    cookie: bytes
    count: int
    first_ns: int
    """CLOCK_REALTIME of the first arrival."""
    last_seen: float
    """Monotonic, s."""
    is_stamped: bool = True
    arrivals: list[Arrival] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)


class Trains:
    """Collects the packets of trains as they come."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._known: OrderedDict[TrainKey, Incoming] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def find(self, key: TrainKey) -> Incoming | None:
        """The train of that key, while it is remembered."""
        return self._known.get(key)

    def begin(self, key: TrainKey, car: Car, at_ns: int) -> Incoming:
        """Remember a new train, from its first packet to come."""
        now = self._monotonic()
        self._make_room(key[0], now)
        self._known[key] = Incoming(car.cookie, car.count, at_ns, now)
        return self._known[key]

    def add(self, key: TrainKey, car: Car, at_ns: int, is_stamped: bool) -> None:
        """Note a packet of a known train; duplicates and packets that cannot be of it are ignored."""
        train = self._known[key]
        if car.sequence in train.seen or car.sequence >= train.count or car.cookie != train.cookie:
            return
        train.seen.add(car.sequence)
        train.arrivals.append(Arrival(car.sequence, max(at_ns - train.first_ns, 0)))
        train.is_stamped &= is_stamped
        train.last_seen = self._monotonic()
        self._known.move_to_end(key)

    def quiet_ns(self, train: Incoming) -> int:
        """How long ago its last packet came."""
        return int(max(self._monotonic() - train.last_seen, 0) * 1e9)

    def _make_room(self, source: str, now: float) -> None:
        """Forget what is old, and one more where there are too many: nobody drives out those of others."""
        while self._known and now - next(iter(self._known.values())).last_seen >= FORGET_AFTER_S:
            self._known.popitem(last=False)
        counts = Counter(key[0] for key in self._known)
        whose = source if counts[source] >= MOST_OF_ONE else ""
        if not whose and len(self._known) >= MOST_TRAINS:
            whose = counts.most_common(1)[0][0]
        if whose:
            del self._known[next(key for key in self._known if key[0] == whose)]
