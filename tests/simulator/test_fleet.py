"""The fleet: rounds at their times, all that is accepted is noted and counted."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from edge_agent.contract import Reading
from simulator.fleet import AHEAD, Clock, FastClock, Fleet, RealClock
from simulator.rounds import Past, Plan
from simulator.target import SimulatorError
from simulator.world import Gateway, build

START_MS = 1_790_000_000_000


@dataclass
class ListSink:
    """Keeps what it accepts; can refuse."""

    full_at: int = 1 << 30
    rounds: list[tuple[str, int]] = field(default_factory=list)
    readings: int = 0
    flushed_at: list[int] = field(default_factory=list)

    async def open(self) -> None: ...

    def accept(self, gateway: Gateway, readings: Sequence[Reading]) -> None:
        if self.readings >= self.full_at:
            raise SimulatorError("full")
        self.rounds.append((gateway.name, max(reading.at_ms for reading in readings)))
        self.readings += len(readings)

    async def flush(self) -> None:
        self.flushed_at.append(self.readings)

    async def finish(self, within_s: float) -> None: ...

    async def close(self) -> None: ...

    @property
    def acknowledged(self) -> int:
        return self.readings

    @property
    def connected(self) -> int:
        return 0


def run(sink: ListSink, plan: Plan, clock: Clock, stop_after: int | None = None, seed: int = 1) -> Fleet:
    noted: Counter[str] = Counter()

    async def main() -> Fleet:
        stop = asyncio.Event()

        def note(gateway: str, readings: Sequence[Reading]) -> None:
            noted[gateway] += len(readings)
            if stop_after is not None and noted.total() >= stop_after:
                stop.set()

        fleet = Fleet(build(seed, 5, 3), plan, sink, clock, note)
        await fleet.run(stop)
        assert noted.total() == fleet.counts.accepted
        return fleet

    return asyncio.run(main())


def test_each_gateway_has_duration_over_interval_rounds() -> None:
    sink = ListSink()
    fleet = run(sink, Plan(10_000, 60_000, 5_000), FastClock(START_MS))
    assert set(Counter(name for name, _ in sink.rounds).values()) == {6}
    assert fleet.counts.generated == fleet.counts.accepted == 5 * 6 * 4


def test_rounds_of_a_gateway_are_an_interval_apart_and_gateways_are_out_of_step() -> None:
    sink = ListSink()
    run(sink, Plan(10_000, 60_000, 5_000), FastClock(START_MS))
    times: dict[str, list[int]] = {}
    for name, at_ms in sink.rounds:
        times.setdefault(name, []).append(at_ms)
    for own in times.values():
        assert {later - earlier for earlier, later in pairwise(own)} == {10_000}
    assert len({own[0] for own in times.values()}) == 5


def test_the_sink_is_flushed_at_its_own_pace() -> None:
    sink = ListSink()
    run(sink, Plan(10_000, 60_000, 5_000), FastClock(START_MS))
    assert len(sink.flushed_at) == 11
    assert sink.flushed_at == sorted(sink.flushed_at)


def test_a_stop_ends_the_run_between_two_rounds() -> None:
    sink = ListSink()
    fleet = run(sink, Plan(10_000, None, 5_000), FastClock(START_MS), stop_after=40)
    assert fleet.counts.accepted == 40


def test_what_a_sink_does_not_accept_is_not_counted_as_accepted() -> None:
    sink = ListSink(full_at=20)
    with pytest.raises(SimulatorError, match="full"):
        run(sink, Plan(10_000, 60_000, 5_000), FastClock(START_MS))


def test_the_same_seed_has_the_same_rounds() -> None:
    one, other = ListSink(), ListSink()
    for sink in (one, other):
        run(sink, Plan(10_000, 60_000, 5_000), FastClock(START_MS))
    assert one.rounds == other.rounds


def test_in_real_time_no_reading_is_of_the_future() -> None:
    sink = ListSink()
    run(sink, Plan(100, 250, 1_000), RealClock())
    assert 10 <= len(sink.rounds) <= 15
    assert max(at_ms for _, at_ms in sink.rounds) <= time.time_ns() // 1_000_000


def test_a_stop_wakes_the_real_clock() -> None:
    async def main() -> None:
        stop = asyncio.Event()
        clock = RealClock()
        sleeping = asyncio.create_task(clock.sleep_until(clock.now_ms() + 3_600_000, stop))
        await asyncio.sleep(0)
        stop.set()
        async with asyncio.timeout(60):
            await sleeping

    asyncio.run(main())


def test_the_past_is_made_at_once_and_then_the_fleet_goes_on_live() -> None:
    sink, clock = ListSink(), RealClock()
    start_ms = clock.now_ms()
    fleet = run(sink, Plan(100, 250, 1_000, Past(600_000, 30_000)), clock)
    times = [at_ms for _, at_ms in sink.rounds]
    assert start_ms - 601_000 <= times[0] < start_ms - 570_000
    assert sum(at_ms < start_ms - 1_000 for at_ms in times) >= 5 * 19
    assert sum(at_ms >= start_ms - 1_000 for at_ms in times) >= 10
    assert times[-1] <= time.time_ns() // 1_000_000
    assert fleet.counts.accepted == sink.readings


@dataclass
class SlowSink(ListSink):
    """Acknowledges some at each flush; remembers how many waited at most."""

    known: int = 0
    waited: int = 0

    def accept(self, gateway: Gateway, readings: Sequence[Reading]) -> None:
        super().accept(gateway, readings)
        self.waited = max(self.waited, self.readings - self.known)

    async def flush(self) -> None:
        self.known = min(self.known + 3_000, self.readings)

    @property
    def acknowledged(self) -> int:
        return self.known


def test_the_past_waits_for_a_slow_way_so_that_what_is_on_it_stays_bounded() -> None:
    sink = SlowSink()
    run(sink, Plan(100, 50, 1_000, Past(60_000_000, 30_000)), RealClock())
    assert sink.readings > 2 * 5 * AHEAD
    assert sink.waited <= 5 * AHEAD + 4


def test_a_stop_ends_the_wait_for_a_way_that_takes_nothing() -> None:
    async def main() -> int:
        sink, stop = SlowSink(), asyncio.Event()
        sink.known = -1_000_000
        fleet = Fleet(build(1, 5, 3), Plan(100, None, 1_000, Past(60_000_000, 30_000)), sink, RealClock())
        asyncio.get_running_loop().call_later(0.2, stop.set)
        async with asyncio.timeout(30):
            await fleet.run(stop)
        return fleet.counts.accepted

    assert asyncio.run(main()) <= 5 * AHEAD + 4
