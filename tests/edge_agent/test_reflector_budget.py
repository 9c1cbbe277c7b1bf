"""What others measure here costs bytes too: summed up by the way it came, booked, and at last refused."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from edge_agent.budget import Purpose
from edge_agent.budget.budget import Budget
from edge_agent.budget.calendar_windows import DAY_S, Span
from edge_agent.budget.ledger_file import LedgerFile, place
from edge_agent.budget.limits import Limits
from edge_agent.budget.reflected import Reflected, Way
from edge_agent.clock import ManualClock
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.bulk import BulkProbe
from edge_agent.probes.bulk_settings import BulkSettings
from edge_agent.probes.capacity import CapacityProbe
from edge_agent.probes.capacity_settings import CapacitySettings
from edge_agent.probes.probe import Probe, ProbeError
from edge_agent.probes.stamp import StampProbe
from edge_agent.probes.stamp_settings import StampSettings
from edge_agent.probes.stamped_udp import Datagram, moment
from edge_agent.probes.stamps import Control
from edge_agent.reflector.reflector import Reflector
from edge_agent.reflector.settings import ReflectorSettings
from edge_agent.reflector.tally import MOST_WAYS, UNKNOWN, Tally
from tests.edge_agent.broker import free_port
from tests.edge_agent.netns import needs_netns, run_in_netns
from tests.edge_agent.test_round_bytes import costs

NOON_MS = 1_700_049_600_000
"""2023-11-15 12:00 UTC."""
LIMITS = Limits(month=100_000, day=100_000, hour=100_000, reserve=0.1)
MOST = LIMITS.ceiling(Span.MONTH, Purpose.REFLECT)
LO = socket.if_nametoindex("lo")
NAMES: dict[Way, str] = {2: "", 3: "wwan0", "192.0.2.7": "wwan0"}
PKTINFO_4 = (socket.IPPROTO_IP, 8, struct.pack("=i4s4s", 3, bytes(4), bytes(4)))
PKTINFO_6 = (socket.IPPROTO_IPV6, 50, struct.pack("=16si", bytes(16), 3))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON_MS)


@pytest.fixture
def budget(tmp_path: Path, clock: ManualClock) -> Budget:
    file = LedgerFile(tmp_path / "budget")
    return Budget(file, clock, lambda meter: LIMITS, ["wwan0"], counters=lambda name: None)


def reflected(budget: Budget) -> int:
    (meter,) = budget.summary()
    return meter.spans[Span.HOUR].by_purpose[Purpose.REFLECT]


# --- sums -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "control", "header"),
    [("192.0.2.1", PKTINFO_4, 28), ("::ffff:192.0.2.1", PKTINFO_6, 28), ("2001:db8::1", PKTINFO_6, 48)],
)
def test_a_packet_and_its_answer_are_summed_up_with_their_headers_by_the_interface_they_came_by(
    source: str, control: tuple[int, int, bytes], header: int
) -> None:
    tally = Tally()
    datagram = Datagram(bytes(100), (source, 9), moment(), 64, [(1, 2, b""), control])
    tally.took(datagram)
    tally.took(datagram, 44)
    assert tally.take() == {3: 2 * (header + 100) + header + 44}
    assert tally.take() == {}


def test_a_packet_that_does_not_say_how_it_came_is_not_forgotten() -> None:
    tally, nothing = Tally(), Control()
    tally.took(Datagram(bytes(100), ("192.0.2.1", 9), moment(), 64, nothing))
    assert tally.take() == {UNKNOWN: 128}


def test_any_number_of_peers_takes_no_more_than_so_much_memory() -> None:
    tally = Tally()
    for peer in range(MOST_WAYS + 50):
        tally.add(str(peer), 10)
    tally.add("0", 1)
    taken = tally.take()
    assert len(taken) == MOST_WAYS + 1
    assert (taken["0"], taken[UNKNOWN], sum(taken.values())) == (11, 500, 10 * (MOST_WAYS + 50) + 1)


# --- booking --------------------------------------------------------------------------------------


def test_what_passed_a_metered_interface_is_booked_and_what_was_free_is_not(budget: Budget) -> None:
    tally, booking = Tally(), Reflected(budget, NAMES.__getitem__)
    for way, size in ((2, 5_000), (3, 700), ("192.0.2.7", 80)):
        tally.add(way, size)
    booking.hand_over(tally)
    booking.hand_over(tally)
    assert reflected(budget) == budget.summary()[0].month == 780


def test_a_spent_budget_closes_the_ways_that_cost_it_until_there_is_room_again(
    budget: Budget, clock: ManualClock
) -> None:
    tally, booking = Tally(), Reflected(budget, NAMES.__getitem__)
    tally.add(2, 10 * MOST)
    tally.add(3, MOST)
    booking.hand_over(tally)
    assert not tally.closed  # just full
    tally.add(3, 1)
    booking.hand_over(tally)
    assert (tally.is_closed(3), tally.is_closed(2), tally.withheld) == (True, False, 1)
    assert budget.book(Purpose.LIVE, 1_000, "wwan0")  # what others do here takes nothing from readings
    booking.hand_over(tally)
    assert tally.is_closed(3)
    clock.advance(30 * DAY_S)
    booking.hand_over(tally)
    assert not tally.closed


def test_what_was_not_handed_over_yet_is_at_the_end(budget: Budget) -> None:
    tally = Tally()

    async def run() -> None:
        running = asyncio.create_task(Reflected(budget, NAMES.__getitem__).run(tally))
        await asyncio.sleep(0)
        tally.add(3, 90)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(run())
    assert reflected(budget) == 90


# --- a reflector ----------------------------------------------------------------------------------


def probes(reflector: Reflector) -> Iterator[Probe]:
    stamp = StampSettings(port=reflector.stamp.port, count=3, spacing_ms=5, timeout_s=0.5)
    yield StampProbe(stamp, random.Random(1), clock_error_ns=lambda: 2_000)
    yield CapacityProbe(CapacitySettings(port=reflector.train.port, timeout_s=2))
    yield BulkProbe(BulkSettings(port=reflector.train.port))


def test_a_reflector_whose_budget_is_spent_is_silent_and_says_how_often() -> None:
    async def run() -> list[int]:
        settings = ReflectorSettings(listen="127.0.0.1", port=0, train_port=free_port(), bulk=True)
        reflector = Reflector(settings)
        await reflector.start()
        reflector.tally.closed = (LO, "127.0.0.1")
        counted = []
        try:
            for probe in probes(reflector):
                with suppress(ProbeError):
                    await probe(ProbedLink("a", target="127.0.0.1"))
                probe.close()
                counted.append(reflector.counters["over_budget"])
            assert reflector.counters["stamp.reflected"] == reflector.counters["train.greeted"] == 0
            assert reflector.counters["bulk.taken"] == 0
        finally:
            reflector.close()
        return counted

    stamp, train, bulk = asyncio.run(run())
    assert 3 <= stamp < train < bulk


@needs_netns
@pytest.mark.parametrize("target", ["127.0.0.1", "::1"])
def test_the_sums_are_what_really_passed(target: str) -> None:
    found = costs(f"""
async def main():
    ip("link", "set", "lo", "mtu", "1500")
    reflector = Reflector(ReflectorSettings(enabled=True, bulk=True))
    await reflector.start()
    told = {{}}
    for name in ("stamp", "capacity", "bulk"):
        reflector.tally.take()
        real, _, _ = await cost(name, "{target}")
        told[name] = real, sum(reflector.tally.take().values())
    reflector.close()
    print(json.dumps(told))
asyncio.run(main())
""")
    for name in ("stamp", "capacity"):
        real, told = found[name]
        assert told == real, json.dumps(found)
    real, told = found["bulk"]
    # The capture sees segments before they are cut, with one header for many.
    assert real <= told < 1.08 * real, json.dumps(found)


@needs_netns
def test_an_agent_books_what_its_reflector_answers_on_the_interface_that_it_came_by(
    config_file: Callable[..., Path], tmp_path: Path
) -> None:
    more = '[reflector]\nenabled = true\n[budget]\ninterfaces = ["v0"]\n'
    config = config_file(8883, extra=more)
    told = run_in_netns(f"""
        def stamp(target, *through):
            ask = [sys.executable, "-m", "edge_agent", "probe", "stamp", target, "--count", "5"]
            return not subprocess.run([*through, *ask], stdout=subprocess.DEVNULL).returncode

        holder = veth()
        agent = subprocess.Popen([sys.executable, "-m", "edge_agent", "run", "--config", "{config}"])
        while not stamp("127.0.0.1"):
            assert agent.poll() is None
        assert stamp("10.9.0.1", "nsenter", "-t", str(holder.pid), "-n")
        agent.terminate()
        print(agent.wait())
        holder.kill()
    """)
    assert told == "0\n"
    kept = LedgerFile(place(tmp_path / "spool")).read()
    assert kept is not None
    spent = kept.meters["v0"].windows[Span.MONTH].spent
    assert spent[Purpose.REFLECT] == 5 * 2 * (20 + 8 + 44)  # and nothing of what the loopback carried
