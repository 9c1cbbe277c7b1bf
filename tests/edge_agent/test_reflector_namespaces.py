"""The STAMP reflector and its sender in network namespaces: addresses, interfaces and paths."""

from __future__ import annotations

from tests.edge_agent.netns import needs_netns, run_in_netns

NETNS = """
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.stamp import StampProbe, StampSettings
from edge_agent.reflector.admission import Admission
from edge_agent.reflector.settings import ReflectorSettings
from edge_agent.reflector.stamp_responder import StampResponder

def made(**settings):
    wanted = ReflectorSettings(**settings)
    return StampResponder(wanted, Admission(wanted))

def stamp(**settings):
    return StampProbe(StampSettings(count=3, spacing_ms=5, timeout_s=1, **settings))

async def failure(doing):
    try:
        await doing
    except ProbeError as error:
        return error
"""


@needs_netns
def test_port_862_without_privilege_is_denied_with_advice() -> None:
    script = """
    responder = made()
    become_nobody()
    error = asyncio.run(failure(responder.start()))
    print(error.outcome.name, error.message)
    """
    printed = run_in_netns(NETNS + script.replace("\n    ", "\n"))
    assert printed.startswith(
        "DENIED cannot listen for STAMP: UDP port 862 of all addresses: ports below 1024 need root or CAP_NET"
    )


@needs_netns
def test_a_reply_leaves_from_the_address_that_was_asked() -> None:
    script = """
    ip("addr", "add", "10.9.0.1/24", "dev", "lo")
    ip("addr", "add", "10.9.0.2/24", "dev", "lo")
    ip("-6", "addr", "add", "fd09::1/64", "dev", "lo", "nodad")
    ip("-6", "addr", "add", "fd09::2/64", "dev", "lo", "nodad")
    async def main():
        for listen, sources in (("0.0.0.0", ("10.9.0.1",)), ("::", ("10.9.0.1", "fd09::1"))):
            responder, probe = made(listen=listen), stamp()
            await responder.start()
            for source in sources:
                link = ProbedLink("x", target=source[:-1] + "2", source=source)
                print((await probe(link)).values[1])
            probe.close()
            responder.close()
    asyncio.run(main())
    """
    assert run_in_netns(NETNS + script.replace("\n    ", "\n")).split() == ["3"] * 3


@needs_netns
def test_without_ipv6_every_address_is_those_of_ipv4() -> None:
    script = """
    with open("/proc/sys/net/ipv6/conf/all/disable_ipv6", "w") as switch:
        switch.write("1")
    async def main():
        responder, probe = made(), stamp()
        await responder.start()
        print((await probe(ProbedLink("x", target="127.0.0.1"))).values[1])
        probe.close()
        responder.close()
    asyncio.run(main())
    """
    assert run_in_netns(NETNS + script.replace("\n    ", "\n")).split() == ["3"]


@needs_netns
def test_an_interface_that_vanishes_is_not_measured_and_one_made_anew_is() -> None:
    script = """
    async def main():
        holder, probe = veth(), stamp(port=8621)
        link = ProbedLink("x", target="10.9.0.2", interface="v0")
        far = subprocess.Popen(["nsenter", "-t", str(holder.pid), "-n", sys.executable, "-c", FAR])
        while True:
            error = await failure(probe(link))
            if error is None:
                break
        print((await probe(link)).values[1])
        ip("link", "del", "v0")
        print((await failure(probe(link))).outcome.name)
        connect(holder)
        print((await probe(link)).values[1])
        probe.close()
        far.kill()
        holder.kill()
    asyncio.run(main())
    """
    far = (
        'FAR = """'
        + NETNS
        + (
            "\nimport asyncio\n"
            "async def main():\n"
            "    await made(listen='0.0.0.0', port=8621).start()\n"
            "    await asyncio.Event().wait()\n"
            'asyncio.run(main())\n"""\n'
        )
    )
    far = far.replace(
        "\nfrom edge_agent.probes.binding",
        "\nfrom edge_agent.probes import ProbeError\nfrom edge_agent.probes.binding",
        1,
    )
    assert run_in_netns(NETNS + far + script.replace("\n    ", "\n")).split() == ["3", "NO_INTERFACE", "3"]


@needs_netns
def test_a_path_of_another_length_is_flagged() -> None:
    script = """
    async def main():
        responder, probe = made(listen="0.0.0.0"), stamp()
        await responder.start()
        link = ProbedLink("x", target="127.0.0.1")
        for hops in (64, 64, 60, 60):
            with open("/proc/sys/net/ipv4/ip_default_ttl", "w") as limit:
                limit.write(str(hops))
            measured = await probe(link)
            print(int(Flag.PATH_CHANGED in measured.flags), measured.values[-1])
        probe.close()
        responder.close()
    asyncio.run(main())
    """
    printed = run_in_netns(NETNS + script.replace("\n    ", "\n"))
    assert printed.split() == ["0", "64", "0", "64", "1", "60", "0", "60"]
