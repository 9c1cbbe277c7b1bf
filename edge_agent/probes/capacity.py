"""Capacity of a link in its direction, by short packet trains to a responder at the far end (RFC 5136)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace

from edge_agent.contract import Flag, Outcome, row
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.capacity_settings import QUESTIONS_BYTES, SCOUTS, SHORTEST, SMALLEST, CapacitySettings
from edge_agent.probes.probe import Measurement, ProbeError
from edge_agent.probes.resolve import Resolver
from edge_agent.probes.shared_key import read_key
from edge_agent.probes.train_analysis import Estimate, Trust, analyse, rough_kbps
from edge_agent.probes.train_exchange import Exchange, Ride
from edge_agent.probes.train_socket import TrainSocket

REPORT_AT = 0.95
"""The part of its timeout after which a round reports what it has, so that it does not overrun."""
RESOLVE_WITHIN = 0.3
REFILL_S = 0.2
"""Between these and the train: what they took out of a token bucket comes back."""
MOST_TRAINS = 3
FAR = 4
"""Times the scouts' rate, which is of a few packets alone."""
AGREE = 0.05
"""Trains agree when their estimates are within this part of the last one's."""


class CapacityProbe:
    """Sends a few packets to learn the rough rate, then a train as long as budget and link bear."""

    kind = "capacity"

    def __init__(self, settings: CapacitySettings, resolver: Resolver | None = None) -> None:
        self._settings = settings
        self._resolver = resolver or Resolver()

    async def __call__(self, link: ProbedLink) -> Measurement:
        """One round; raises ProbeError when no responder answers."""
        settings = self._settings
        until = time.monotonic() + settings.timeout_s * REPORT_AT
        key = read_key(settings.key_file) if settings.key_file else None
        resolve_s = settings.timeout_s * RESOLVE_WITHIN
        endpoint = await self._resolver.resolve(link.target, link.device, resolve_s)
        opened = TrainSocket(link, endpoint, settings.port)
        try:
            exchange = Exchange(opened, settings.budget_bytes, key, until)
            if not await exchange.introduce():
                raise ProbeError(Outcome.UNREACHABLE, self._nobody(link))
            return reading(await self._measure(exchange), exchange.spending.spent_bytes)
        finally:
            opened.close()

    async def _measure(self, exchange: Exchange) -> list[Ride]:
        """A few packets, then trains until one is believed or there is nothing left to spend."""
        scout = await self._scout(exchange)
        rides = [scout]
        kbps = rough_kbps(scout.train) if scout.train else None
        came = bool(scout.train and scout.train.arrivals)
        for turn in range(MOST_TRAINS if scout.train else 0):
            size = self._size(exchange)
            count = self._length(exchange, size)
            if turn == 0 and kbps is not None:
                count = min(count, max(kbps * self._settings.busy_ms // (size * 8), SHORTEST))
            if count < SHORTEST:
                break
            count = count if came else SHORTEST
            await asyncio.sleep(REFILL_S)
            ride = await exchange.ride(count, size, count * size * 8e-3 / kbps if kbps else 0)
            rides.append(ride)
            estimate = analyse(ride.train) if ride.train else None
            if estimate is None or estimate.trust not in (Trust.FEW, Trust.DISAGREE):
                break
        return rides

    async def _scout(self, exchange: Exchange) -> Ride:
        size = self._size(exchange)
        try:
            return await exchange.ride(SCOUTS, size, 0)
        except ProbeError:
            if self._size(exchange) == size:
                raise
            # A router on the way has told what it takes whole.
            return await exchange.ride(SCOUTS, self._size(exchange), 0)

    def _size(self, exchange: Exchange) -> int:
        """Bytes of the next train's packets: what the way is known to take whole by now."""
        size = min(self._settings.packet_bytes, exchange.largest_packet)
        if size < SMALLEST:
            raise ProbeError(Outcome.FAILED, f"the way takes no packets of more than {size} bytes whole")
        return size

    def _length(self, exchange: Exchange, size: int) -> int:
        """Packets of the longest train that the budget bears, with the questions about it."""
        left = exchange.spending.left_bytes - QUESTIONS_BYTES
        count = max(min(left // size, self._settings.packets), 0)
        return min((left - exchange.cost_of_fetching(count, size)) // size, count)

    def _nobody(self, link: ProbedLink) -> str:
        found = f"{link.target} does not answer on UDP port {self._settings.port}"
        doubt = ", and with the same key" if self._settings.key_file else ""
        return f"{found}: does 'edge-agent reflect' run there and allow this machine{doubt}?"

    def close(self) -> None:
        """Nothing is held between rounds."""


def reading(rides: Sequence[Ride], spent_bytes: int) -> Measurement:
    """The capacity reading of a round: the estimate of its last train that gives one.

    The first ride only scouts. ``received`` is null when of some train nobody could tell.
    """
    trains = [ride.train for ride in rides]
    told = [train for train in trains if train]
    estimates = [estimate for estimate in map(analyse, told[1:]) if estimate]
    named = _named(_doubted(agreed(estimates), rough_kbps(told[0]))) if estimates else {}
    last = rides[-1]
    values = row(
        "capacity",
        sent=sum(ride.sent for ride in rides),
        received=sum(len(train.arrivals) for train in told) if len(told) == len(trains) else None,
        spent_bytes=spent_bytes,
        sender_kbps=last.sender_kbps,
        **named,
    )
    flags = Flag.KERNEL_SENT if last.is_stamped else Flag.NONE
    # A responder that has just been started does not stamp its first packets yet.
    if told and told[-1].is_stamped:
        flags |= Flag.KERNEL_RECEIVED
    return Measurement("capacity", values, flags)


def agreed(estimates: Sequence[Estimate]) -> Estimate:
    """What trains one after the other say together: the last one, with an error bar that holds them all."""
    last = estimates[-1]
    if len(estimates) == 1 or last.trust not in (Trust.FEW, Trust.DISAGREE):
        return last
    highs = [each.high_kbps for each in estimates if each.high_kbps is not None]
    low, high = min(each.low_kbps for each in estimates), max(highs, default=None)
    is_same = all(abs(each.kbps - last.kbps) <= AGREE * last.kbps for each in estimates)
    trust = Trust.TRUSTED if is_same else Trust.DISAGREE
    return replace(last, low_kbps=low, high_kbps=high, trust=trust)


def _doubted(estimate: Estimate, scout_kbps: int | None) -> Estimate:
    """The estimate, not believed when the scouts were far slower: the train may have waited somewhere."""
    is_far = scout_kbps is not None and estimate.kbps > FAR * scout_kbps
    if is_far and estimate.trust is Trust.TRUSTED and not estimate.is_lower_bound:
        return replace(estimate, low_kbps=min(estimate.low_kbps, scout_kbps or 0), trust=Trust.DISAGREE)
    return estimate


def _named(estimate: Estimate) -> dict[str, int | None]:
    return {
        "capacity_kbps": estimate.kbps,
        "low_kbps": estimate.low_kbps,
        "high_kbps": estimate.high_kbps,
        "lower_bound": int(estimate.is_lower_bound),
        "trust": int(estimate.trust),
        "burst_bytes": estimate.burst_bytes,
        "peak_kbps": estimate.peak_kbps,
    }
