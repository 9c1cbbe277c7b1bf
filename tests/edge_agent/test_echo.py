"""Echo over real sockets: what is measured, and what is refused."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections.abc import Sequence
from typing import Any

import pytest

from edge_agent.contract import KINDS, Flag, Outcome
from edge_agent.probes import EchoSettings, Measurement, ProbeError
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.echo import EchoProbe
from edge_agent.probes.stamps import WallClock
from tests.edge_agent.netns import needs_netns, run_in_netns

KERNEL = Flag.KERNEL_SENT | Flag.KERNEL_RECEIVED
FAST = EchoSettings(period_s=10, timeout_s=5, count=5, spacing_ms=2)


def column(measurement: Measurement, name: str) -> int | None:
    names = [each.name for each in KINDS["echo"].columns]
    return measurement.values[names.index(name)]


def counts(measurement: Measurement) -> tuple[int | None, ...]:
    """Sent, received, late, duplicate, corrupt, in flight."""
    return measurement.values[:6]


def echo(
    settings: EchoSettings, *links: ProbedLink, stamping: bool = True, rounds: int = 1
) -> list[Measurement]:
    """Measure all links at once with one probe, round after round."""

    async def measure() -> list[Measurement]:
        probe = EchoProbe(settings, stamping=stamping)
        try:
            return [m for _ in range(rounds) for m in await asyncio.gather(*map(probe, links))]
        finally:
            probe.close()

    return asyncio.run(measure())


def permitted() -> bool:
    try:
        echo(EchoSettings(count=1), ProbedLink("here", target="127.0.0.1"))
    except ProbeError:
        return False
    return True


needs_icmp = pytest.mark.skipif(not permitted(), reason="ICMP is not permitted to this user")


# --- settings and targets ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"count": 0}, "count"),
        ({"size": 2000}, "size"),
        ({"timeout_s": 11}, "timeout_s"),
        ({"spacing": "odd"}, "spacing"),
    ],
)
def test_a_setting_out_of_range_is_named(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=f"probe.echo: {named} is"):
        EchoSettings(**wrong)


def test_requests_that_do_not_fit_the_timeout_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit timeout_s"):
        EchoSettings(count=50, spacing_ms=200)


def failure(target: str, interface: str = "") -> ProbeError:
    with pytest.raises(ProbeError) as caught:
        echo(FAST, ProbedLink("here", target=target, interface=interface))
    return caught.value


@pytest.mark.parametrize("target", ["", "name.invalid", "a..b", "x" * 300])
def test_a_target_that_does_not_resolve_is_unresolved(target: str) -> None:
    assert failure(target).outcome is Outcome.UNRESOLVED


def test_a_link_local_target_needs_an_interface() -> None:
    assert "must name its interface" in failure("fe80::1").message


def test_a_missing_interface_is_named() -> None:
    error = failure("127.0.0.1", "nope0")
    assert error.outcome is Outcome.NO_INTERFACE and "'nope0'" in error.message


# --- real sockets ------------------------------------------------------------------------------


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


# --- namespaces ------------------------------------------------------------------------------


@needs_netns
def test_without_permission_the_error_says_what_to_do() -> None:
    said = run_in_netns("""
        allow_ping(1, 0)
        become_nobody()
        for target in ("127.0.0.1", "::1"):
            error = asyncio.run(outcome(EchoProbe(EchoSettings()), ProbedLink("a", target=target)))
            print(error.outcome.name, error.message)
    """)
    lines = said.splitlines()
    assert len(lines) == 2
    for line in lines:
        assert line.startswith("DENIED") and "net.ipv4.ping_group_range" in line and "CAP_NET_RAW" in line


@needs_netns
@pytest.mark.parametrize("target", ["127.0.0.1", "::1"])
def test_a_user_in_ping_group_range_needs_no_capability(target: str) -> None:
    said = run_in_netns(f"""
        allow_ping(0, 2147483647)
        become_nobody()
        async def main():
            probe = EchoProbe(EchoSettings(spacing_ms=2))
            for interface in ("", "lo", "", "lo"):
                measured = await probe(ProbedLink("a", target="{target}", interface=interface))
                print(measured.values[:6], int(measured.flags))
            probe.close()
        asyncio.run(main())
    """)
    assert said.splitlines()[2:] == ["(5, 5, 0, 0, 0, 0) 3"] * 2


@needs_netns
def test_replies_dropped_on_this_machine_are_a_failure_not_loss() -> None:
    """A target that is silent, while others' replies overflow the socket that both share."""
    said = run_in_netns("""
        import asyncio, random, socket
        from edge_agent.probes import EchoSettings, ProbeError
        from edge_agent.probes.binding import ProbedLink
        from edge_agent.probes.echo import EchoProbe
        from edge_agent.probes.icmp_packet import EchoForm
        ip("link", "add", "out", "type", "veth", "peer", "name", "far")
        ip("address", "add", "10.9.9.1/24", "dev", "out")
        for name in ("out", "far"):
            ip("link", "set", name, "up")
        ip("neighbour", "add", "10.9.9.2", "lladdr", "02:00:00:00:00:02", "dev", "out")
        made = []

        class Watched(EchoProbe):
            def _new_channel(self, family, link):
                made.append(super()._new_channel(family, link))
                return made[-1]

        async def measure(flood):
            probe = Watched(EchoSettings(period_s=2, timeout_s=1, count=1, size=1400))
            round_ = asyncio.create_task(probe(ProbedLink("silent", target="10.9.9.2")))
            await asyncio.sleep(0.3)
            icmp = made[-1]._icmp
            form = EchoForm(socket.AF_INET, icmp.identifier, b"x" * 1400)
            for number in range(flood):
                icmp.send(form.request(number % 65536), ("127.0.0.1", 0))
            try:
                print((await round_).values[:2])
            except ProbeError as error:
                print(error.outcome.name, error.message)
            probe.close()

        asyncio.run(measure(0))
        asyncio.run(measure(30_000))
    """)
    silent, flooded = said.splitlines()
    assert silent == "(1, 0)"
    assert flooded.startswith("FAILED replies came faster than they were read")


@needs_netns
def test_no_route_is_unreachable_not_loss() -> None:
    said = run_in_netns("""
        for target in ("192.0.2.1", "2001:db8::1"):
            link = ProbedLink("a", target=target)
            error = asyncio.run(outcome(EchoProbe(EchoSettings(spacing_ms=2)), link))
            print(error.outcome.name)
    """)
    assert said.split() == ["UNREACHABLE", "UNREACHABLE"]


@needs_netns
@pytest.mark.parametrize("group", ["1, 0", "0, 2147483647"], ids=["raw", "datagram"])
def test_an_interface_that_fails_goes_and_comes_back_is_followed(group: str) -> None:
    """Over a veth pair: measured, silent peer lost, down, gone, made anew, measured; one probe all along."""
    said = run_in_netns(f"""
        allow_ping({group})
        async def main():
            probe = EchoProbe(EchoSettings(period_s=1, timeout_s=0.5, count=3, spacing_ms=10))
            async def tell(target="10.9.0.2"):
                result = await outcome(probe, ProbedLink("a", target=target, interface="v0"))
                if isinstance(result, ProbeError):
                    print(result.outcome.name)
                else:
                    print(*result.values[:6], int(result.flags))
            holder = veth()
            try:
                await tell()
                await tell()
                await tell("10.9.0.3")
                ip("link", "set", "v0", "down")
                await tell()
                ip("link", "del", "v0")
                await tell()
                connect(holder)
                await tell()
                await tell()
            finally:
                holder.kill()
                probe.close()
        asyncio.run(main())
    """)
    before, stamped, silent, down, gone, again, stamped_again = said.splitlines()
    assert (before[:-2], stamped) == ("3 3 0 0 0 0", "3 3 0 0 0 0 3")
    assert (silent, down, gone) == ("3 0 0 0 0 0 0", "UNREACHABLE", "NO_INTERFACE")
    assert (again[:-2], stamped_again) == ("3 3 0 0 0 0", "3 3 0 0 0 0 3")


@needs_netns
def test_a_send_that_this_machine_forbids_is_denied_not_loss() -> None:
    said = run_in_netns("""
        ip("route", "add", "prohibit", "192.0.2.0/24")
        link = ProbedLink("a", target="192.0.2.1")
        error = asyncio.run(outcome(EchoProbe(EchoSettings(spacing_ms=2)), link))
        print(error.outcome.name, error.message)
    """)
    assert said.startswith("DENIED cannot send to 192.0.2.1")


@needs_netns
def test_links_are_kept_apart_by_their_source_and_mark() -> None:
    """The mark's own table forbids what the main table allows; the source is what the peer would see."""
    said = run_in_netns("""
        ip("rule", "add", "fwmark", "7", "table", "77", "pref", "1")
        ip("route", "add", "prohibit", "default", "table", "77")
        holder = veth()
        ip("addr", "add", "10.9.0.7/24", "dev", "v0")
        async def main():
            probe = EchoProbe(EchoSettings(count=1))
            for extra in ({}, {"mark": 7}, {"source": "10.9.0.7"}, {"source": "192.0.2.1"}):
                result = await outcome(probe, ProbedLink("a", target="10.9.0.2", **extra))
                print(result.outcome.name if isinstance(result, ProbeError) else result.values[:2])
            probe.close()
        try:
            asyncio.run(main())
        finally:
            holder.kill()
    """)
    assert said.splitlines() == ["(1, 1)", "DENIED", "(1, 1)", "UNREACHABLE"]
