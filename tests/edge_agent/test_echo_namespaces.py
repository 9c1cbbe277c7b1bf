"""Echo in network namespaces: permissions, routes, and interfaces that come and go."""

from __future__ import annotations

import pytest

from tests.edge_agent.netns import needs_netns, run_in_netns


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
