"""Echo over real sockets: what is measured, and what is refused."""

from __future__ import annotations

import asyncio
import random
import socket

import pytest

from edge_agent.contract import KINDS, Flag, Link, Outcome
from edge_agent.probes import EchoSettings, Measurement, ProbeError
from edge_agent.probes.echo import EchoProbe
from tests.edge_agent.netns import needs_netns, run_in_netns

KERNEL = Flag.KERNEL_SENT | Flag.KERNEL_RECEIVED
FAST = EchoSettings(period_s=10, timeout_s=5, count=5, spacing_ms=2)


def column(measurement: Measurement, name: str) -> int | None:
    names = [each.name for each in KINDS["echo"].columns]
    return measurement.values[names.index(name)]


def counts(measurement: Measurement) -> tuple[int | None, ...]:
    """Sent, received, late, duplicate, corrupt, in flight."""
    return measurement.values[:6]


def echo(settings: EchoSettings, *links: Link, stamping: bool = True, rounds: int = 1) -> list[Measurement]:
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
        echo(EchoSettings(count=1), Link("here", target="127.0.0.1"))
    except ProbeError:
        return False
    return True


needs_icmp = pytest.mark.skipif(not permitted(), reason="ICMP is not permitted to this user")


# --- settings and targets ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "named"),
    [({"count": 0}, "count"), ({"size": 2000}, "size"), ({"timeout_s": 11}, "timeout_s")],
)
def test_a_setting_out_of_range_is_named(wrong: dict[str, int], named: str) -> None:
    with pytest.raises(ValueError, match=f"probe.echo: {named} is"):
        EchoSettings(**wrong)


def test_requests_that_do_not_fit_the_timeout_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit timeout_s"):
        EchoSettings(count=50, spacing_ms=200)


def failure(target: str, interface: str = "") -> ProbeError:
    with pytest.raises(ProbeError) as caught:
        echo(FAST, Link("here", target=target, interface=interface))
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
    measured = echo(FAST, Link("here", target=target, interface="lo"), rounds=2)[-1]
    assert counts(measured) == (5, 5, 0, 0, 0, 0)
    assert measured.flags == KERNEL
    low, high = column(measured, "rtt_min_us"), column(measured, "rtt_max_us")
    assert low is not None and high is not None and low <= high < 1_000_000


@needs_icmp
def test_fifty_targets_over_one_socket_lose_nothing_in_five_rounds() -> None:
    links = [Link(f"l{n}", target=f"127.0.0.{n}") for n in range(1, 51)]
    measured = echo(FAST, *links, rounds=5)
    assert {counts(each) for each in measured} == {(5, 5, 0, 0, 0, 0)}
    assert {each.flags for each in measured[50:]} == {KERNEL}


@needs_icmp
def test_many_links_at_once_do_not_overflow_the_socket() -> None:
    links = [Link(f"l{n}", target=f"127.0.{n // 250}.{n % 250 + 1}") for n in range(600)]
    assert {counts(each) for each in echo(EchoSettings(count=1), *links)} == {(1, 1, 0, 0, 0, 0)}


@needs_icmp
def test_without_stamping_user_space_times_are_given_and_marked() -> None:
    measured = echo(FAST, Link("here", target="127.0.0.1"), stamping=False)[0]
    assert counts(measured) == (5, 5, 0, 0, 0, 0)
    assert measured.flags == Flag.NONE
    assert column(measured, "rtt_min_us") is not None


@needs_icmp
def test_two_probes_on_one_host_do_not_take_each_others_replies() -> None:
    async def both() -> list[Measurement]:
        first, second = EchoProbe(FAST, random.Random(1)), EchoProbe(FAST, random.Random(2))
        link = Link("here", target="127.0.0.1")
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
        good, bad = Link("good", target="127.0.0.1"), Link("bad", target="255.255.255.255")
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
    measured = echo(settings, Link("here", target="127.0.0.1"), rounds=2)[-1]
    assert (counts(measured)[:2], measured.flags) == ((2, 2), KERNEL)


@needs_icmp
def test_a_cancelled_round_leaves_the_probe_fit_for_the_next() -> None:
    async def cancel_then_measure() -> Measurement:
        probe = EchoProbe(EchoSettings(count=2, spacing_ms=1000))
        link = Link("here", target="127.0.0.1")
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


# --- namespaces ------------------------------------------------------------------------------


@needs_netns
def test_without_permission_the_error_says_what_to_do() -> None:
    said = run_in_netns("""
        allow_ping(1, 0)
        become_nobody()
        for target in ("127.0.0.1", "::1"):
            error = asyncio.run(outcome(EchoProbe(EchoSettings()), Link("a", target=target)))
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
                measured = await probe(Link("a", target="{target}", interface=interface))
                print(measured.values[:6], int(measured.flags))
            probe.close()
        asyncio.run(main())
    """)
    assert said.splitlines()[2:] == ["(5, 5, 0, 0, 0, 0) 3"] * 2


@needs_netns
def test_no_route_is_unreachable_not_loss() -> None:
    said = run_in_netns("""
        for target in ("192.0.2.1", "2001:db8::1"):
            error = asyncio.run(outcome(EchoProbe(EchoSettings(spacing_ms=2)), Link("a", target=target)))
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
                result = await outcome(probe, Link("a", target=target, interface="v0"))
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
        error = asyncio.run(outcome(EchoProbe(EchoSettings(spacing_ms=2)), Link("a", target="192.0.2.1")))
        print(error.outcome.name, error.message)
    """)
    assert said.startswith("DENIED cannot send to 192.0.2.1")
