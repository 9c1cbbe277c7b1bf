"""Echo over real sockets: what is measured, with whose timestamps."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections.abc import Sequence

import pytest

from edge_agent.contract import Flag, Outcome
from edge_agent.probes import EchoSettings, Measurement, ProbeError
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.echo import EchoProbe
from edge_agent.probes.stamps import WallClock
from tests.edge_agent.columns import column
from tests.edge_agent.echo_rig import FAST, echo

KERNEL = Flag.KERNEL_SENT | Flag.KERNEL_RECEIVED


def counts(measurement: Measurement) -> tuple[int | None, ...]:
    """Sent, received, late, duplicate, corrupt, in flight."""
    return measurement.values[:6]


def permitted() -> bool:
    try:
        echo(EchoSettings(count=1), ProbedLink("here", target="127.0.0.1"))
    except ProbeError:
        return False
    return True


needs_icmp = pytest.mark.skipif(not permitted(), reason="ICMP is not permitted to this user")


@needs_icmp
@pytest.mark.parametrize("target", ["127.0.0.1", "::1", "localhost"])
def test_loopback_answers_every_request_with_kernel_stamps(target: str) -> None:
    if ":" in target and not socket.has_ipv6:
        pytest.skip("no IPv6")
    # The kernel may begin to stamp late on a busy machine; the round after the first is stamped throughout.
    measured = echo(FAST, ProbedLink("here", target=target, interface="lo"), rounds=2)[-1]
    assert counts(measured) == (5, 5, 0, 0, 0, 0)
    assert measured.flags == KERNEL
    low, high = column(measured, "rtt_min_us"), column(measured, "rtt_max_us")
    assert low is not None and high is not None and low <= high < 1_000_000


@needs_icmp
def test_fifty_targets_over_one_socket_lose_nothing_in_five_rounds() -> None:
    links = [ProbedLink(f"l{n}", target=f"127.0.0.{n}") for n in range(1, 51)]
    measured = echo(FAST, *links, rounds=5)
    assert {counts(each) for each in measured} == {(5, 5, 0, 0, 0, 0)}
    assert {each.flags for each in measured[50:]} == {KERNEL}


@needs_icmp
def test_many_links_at_once_do_not_overflow_the_socket() -> None:
    links = [ProbedLink(f"l{n}", target=f"127.0.{n // 250}.{n % 250 + 1}") for n in range(600)]
    assert {counts(each) for each in echo(EchoSettings(count=1), *links)} == {(1, 1, 0, 0, 0, 0)}


@needs_icmp
def test_without_stamping_user_space_times_are_given_and_marked() -> None:
    measured = echo(FAST, ProbedLink("here", target="127.0.0.1"), stamping=False)[0]
    assert counts(measured) == (5, 5, 0, 0, 0, 0)
    assert measured.flags == Flag.NONE
    assert column(measured, "rtt_min_us") is not None


@needs_icmp
def test_two_probes_on_one_host_do_not_take_each_others_replies() -> None:
    async def both() -> list[Measurement]:
        first, second = EchoProbe(FAST, random.Random(1)), EchoProbe(FAST, random.Random(2))
        link = ProbedLink("here", target="127.0.0.1")
        try:
            return list(await asyncio.gather(first(link), second(link), first(link), second(link)))
        finally:
            first.close()
            second.close()

    assert {counts(each) for each in asyncio.run(both())} == {(5, 5, 0, 0, 0, 0)}


@needs_icmp
def test_sends_that_fail_do_not_shift_the_stamps_of_those_that_do_not() -> None:
    """The kernel refuses a broadcast (EACCES, ip(7)) between the requests to a target that answers."""

    async def mixed() -> Measurement:
        probe = EchoProbe(FAST)
        good, bad = ProbedLink("good", target="127.0.0.1"), ProbedLink("bad", target="255.255.255.255")
        try:
            await probe(good)
            refused, measured = await asyncio.gather(probe(bad), probe(good), return_exceptions=True)
            assert isinstance(refused, ProbeError) and refused.outcome is Outcome.DENIED
            assert isinstance(measured, Measurement)
            return measured
        finally:
            probe.close()

    measured = asyncio.run(mixed())
    assert (counts(measured), measured.flags) == ((5, 5, 0, 0, 0, 0), KERNEL)


@needs_icmp
@pytest.mark.parametrize("size", [18, 1400])
def test_the_smallest_and_a_large_payload_are_kernel_stamped(size: int) -> None:
    settings = EchoSettings(count=2, spacing_ms=2, size=size)
    measured = echo(settings, ProbedLink("here", target="127.0.0.1"), rounds=2)[-1]
    assert (counts(measured)[:2], measured.flags) == ((2, 2), KERNEL)


@needs_icmp
def test_a_cancelled_round_leaves_the_probe_fit_for_the_next() -> None:
    async def cancel_then_measure() -> Measurement:
        probe = EchoProbe(EchoSettings(count=2, spacing_ms=1000))
        link = ProbedLink("here", target="127.0.0.1")
        task = asyncio.create_task(probe(link))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        try:
            return await probe(link)
        finally:
            probe.close()
            probe.close()

    assert counts(asyncio.run(cancel_then_measure())) == (2, 2, 0, 0, 0, 0)


@needs_icmp
def test_more_requests_than_sequence_numbers_take_a_further_socket() -> None:
    """700 rounds of 100 requests have 70,000 at once in the air."""
    links = [ProbedLink(f"l{n}", target=f"127.0.{n // 250}.{n % 250 + 1}") for n in range(700)]
    settings = EchoSettings(period_s=60, timeout_s=50, count=100, spacing_ms=1)
    assert {counts(each) for each in echo(settings, *links)} == {(100, 100, 0, 0, 0, 0)}


@needs_icmp
def test_random_spacing_stays_within_its_time_and_is_not_even() -> None:
    settings = EchoSettings(count=5, spacing_ms=10, spacing="poisson")
    first, second = (settings.offsets_ns(random.Random(seed)) for seed in (1, 2))
    assert list(first) == sorted(first) and first != second
    assert min(first) >= 0 and max(first) <= 50_000_000
    assert counts(echo(settings, ProbedLink("here", target="127.0.0.1"))[0]) == (5, 5, 0, 0, 0, 0)


class Witness:
    """What an observer was told, in order."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    def began(self, link: ProbedLink) -> None:
        self.told.append((link.id,))

    def ended(self, link: ProbedLink, trips_ns: Sequence[int | None]) -> None:
        self.told.append((link.id, len(trips_ns), None in trips_ns))


@needs_icmp
def test_an_observer_is_told_the_round_trips_and_the_end_of_a_round_that_failed() -> None:
    async def watch() -> list[tuple[object, ...]]:
        probe, witness = EchoProbe(FAST), Witness()
        probe.observe(witness)
        await probe(ProbedLink("good", target="127.0.0.1"))
        with pytest.raises(ProbeError):
            await probe(ProbedLink("bad", target="255.255.255.255"))
        probe.close()
        return witness.told

    assert asyncio.run(watch()) == [("good",), ("good", 5, False), ("bad",), ("bad", 0, False)]


@needs_icmp
def test_a_step_of_the_wall_clock_in_a_round_is_flagged_and_changes_no_round_trip() -> None:
    """The wall clock jumps an hour after the second request, as the agent sees it; the kernel's does not."""
    stepped_ns = 0
    clock = WallClock(wall_ns=lambda: time.time_ns() + stepped_ns)

    async def measure() -> list[Measurement]:
        nonlocal stepped_ns
        probe = EchoProbe(EchoSettings(count=3, spacing_ms=50), clock=lambda: clock)
        link = ProbedLink("here", target="127.0.0.1")
        quiet = await probe(link)
        running = asyncio.create_task(probe(link))
        await asyncio.sleep(0.07)
        stepped_ns = 3_600_000_000_000
        try:
            return [quiet, await running]
        finally:
            probe.close()

    quiet, stepped = asyncio.run(measure())
    assert Flag.CLOCK_STEPPED not in quiet.flags
    assert Flag.CLOCK_STEPPED in stepped.flags and counts(stepped) == (3, 3, 0, 0, 0, 0)
    high = column(stepped, "rtt_max_us")
    assert high is not None and high < 1_000_000
