"""Standby: with two routers and one in use, each link is measured by its own, or not at all."""

from __future__ import annotations

from tests.edge_agent.netns import needs_netns, run_in_netns

TWO_ROUTERS = """
    from edge_agent.probes.on_path import OnPath

    holders = []
    def inside(holder, *words):
        subprocess.run(["nsenter", "-t", str(holder.pid), "-n", *words], check=True)

    def uplink(number):
        "wanN (10.N.0.2) to a router 10.N.0.1 that has the target 10.99.0.1 and 2001:db8:99::1 itself."
        holder = subprocess.Popen(["unshare", "-n", "sleep", "60"])
        holders.append(holder)
        while os.readlink(f"/proc/{holder.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
            pass
        wan, peer = f"wan{number}", f"peer{number}"
        ip("link", "add", wan, "type", "veth", "peer", "name", peer, "netns", str(holder.pid))
        inside(holder, "ip", "link", "set", "lo", "up")
        for address in ("10.99.0.1/32", "2001:db8:99::1/128"):
            inside(holder, "ip", "addr", "add", address, "dev", "lo")
        inside(holder, "ip", "addr", "add", f"10.{number}.0.1/24", "dev", peer)
        inside(holder, "ip", "addr", "add", f"2001:db8:{number}::1/64", "dev", peer, "nodad")
        inside(holder, "ip", "link", "set", peer, "up")
        ip("addr", "add", f"10.{number}.0.2/24", "dev", wan)
        ip("addr", "add", f"2001:db8:{number}::2/64", "dev", wan, "nodad")
        ip("link", "set", wan, "up")

    def arrived(number):
        "TCP connections that the router has refused so far: how it is known which one was asked."
        command = ["nsenter", "-t", str(holders[number - 1].pid), "-n", "cat", "/proc/net/snmp"]
        lines = [line.split() for line in subprocess.check_output(command, text=True).splitlines()]
        names, values = [line for line in lines if line[0] == "Tcp:"]
        return int(dict(zip(names, values))["OutRsts"])

    def link(name, number, target="10.99.0.1", **words):
        hop = f"2001:db8:{number}::1" if ":" in target else f"10.{number}.0.1"
        return ProbedLink(name, target=target, next_hop=hop, **words)

    async def told(probe, link):
        before = arrived(1), arrived(2)
        measured = await outcome(probe, link)
        after = [now - then for now, then in zip((arrived(1), arrived(2)), before)]
        if isinstance(measured, ProbeError):
            return print(link.id, measured.outcome.name, *after)
        one = measured if not isinstance(measured, list) else measured[0]
        print(link.id, one.values[2], int(Flag.PATH_CHANGED in one.flags), *after)

    uplink(1), uplink(2)
    ip("route", "add", "default", "via", "10.1.0.1")
    ip("-6", "route", "add", "default", "via", "2001:db8:1::1")
    probe = OnPath(ConnectProbe(ConnectSettings(timeout_s=2, port=9, count=2)), 2)
"""


def between_two_routers(script: str) -> list[str]:
    """The lines that the script prints, in a namespace with two uplinks of which the first is in use."""
    body = "\n".join(f"        {line}" for line in script.strip("\n").splitlines())
    whole = f"""{TWO_ROUTERS}
    async def main():
        try:
{body}
        finally:
            for holder in holders:
                holder.kill()
    asyncio.run(main())
"""
    return run_in_netns(whole).splitlines()


@needs_netns
def test_a_standby_link_is_measured_while_the_main_table_uses_the_other() -> None:
    """By interface, by mark and by source; each time the standby's router is the one that answers."""
    said = between_two_routers("""
    ways = {"if": {"interface": "wan2"}, "mark": {"mark": 7}, "from": {"source": "10.2.0.2"}}
    standbys = [link(name, 2, **words) for name, words in ways.items()]
    await told(probe, link("main", 1))
    for standby in standbys:
        await told(probe, standby)
    ip("route", "add", "default", "via", "10.2.0.1", "table", "100")
    for select in (["oif", "wan2"], ["fwmark", "7"], ["from", "10.2.0.2"]):
        ip("rule", "add", *select, "table", "100")
    for standby in standbys:
        await told(probe, standby)
    await told(probe, link("main", 1))
    """)
    assert said == [
        "main 2 0 2 0",
        "if OFF_PATH 0 0",
        "mark OFF_PATH 0 0",
        "from OFF_PATH 0 0",
        "if 2 0 0 2",
        "mark 2 0 0 2",
        "from 2 0 0 2",
        "main 2 0 2 0",
    ]


@needs_netns
def test_a_standby_link_is_measured_over_ipv6() -> None:
    said = between_two_routers("""
    target = "2001:db8:99::1"
    await told(probe, link("main", 1, target))
    await told(probe, link("standby", 2, target, mark=7))
    ip("-6", "route", "add", "default", "via", "2001:db8:2::1", "table", "100")
    ip("-6", "rule", "add", "fwmark", "7", "table", "100")
    await told(probe, link("standby", 2, target, mark=7))
    """)
    assert said == ["main 2 0 2 0", "standby OFF_PATH 0 0", "standby 2 0 0 2"]


@needs_netns
def test_the_advice_in_the_message_mends_the_path() -> None:
    said = between_two_routers("""
    standby = link("standby", 2, interface="wan2", mark=9)
    error = await outcome(probe, standby)
    for command in error.message.split("'")[1::2]:
        ip(*command.split()[1:])
    await told(probe, standby)
    """)
    assert said == ["standby 2 0 0 2"]


@needs_netns
def test_a_route_that_changes_is_flagged_between_rounds_and_within_one() -> None:
    said = between_two_routers("""
    free = ProbedLink("free", target="10.99.0.1")
    await told(probe, free)
    ip("route", "replace", "default", "via", "10.2.0.1")
    await told(probe, free)
    await told(probe, free)
    turning = asyncio.create_task(told(probe, free))
    await asyncio.sleep(0.05)
    ip("route", "replace", "default", "via", "10.1.0.1")
    await turning
    await told(probe, free)
    """)
    assert said == ["free 2 0 2 0", "free 2 1 0 2", "free 2 0 0 2", "free 2 1 1 1", "free 2 0 2 0"]


@needs_netns
def test_an_interface_that_vanishes_in_a_round_is_not_loss() -> None:
    said = between_two_routers("""
    silent = ProbedLink("bound", target="10.1.0.77", interface="wan1")
    turning = asyncio.create_task(outcome(probe, silent))
    await asyncio.sleep(0.3)
    ip("link", "del", "wan1")
    print((await turning).outcome.name)
    for gone in (silent, ProbedLink("free", target="10.99.0.1")):
        print((await outcome(probe, gone)).outcome.name)
    """)
    assert said == ["NO_INTERFACE", "NO_INTERFACE", "UNREACHABLE"]
