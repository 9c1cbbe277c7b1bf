"""Neighbours: rows of them, whom to ask for, and a real cable with ARP, discovery and LLDP on it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator

import pytest

from edge_agent.contract import Outcome, Reading
from edge_agent.discovery.messages import Neighbour
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.neighbour import NeighbourProbe, pieces, question, rows
from edge_agent.probes.neighbour_settings import NeighbourSettings
from edge_agent.probes.probe import ProbeError
from edge_agent.probes.route import Routes
from tests.edge_agent.netns import needs_netns, run_in_netns
from tests.truth.routed import Routed, chain

LLDP = Neighbour("lldp", "02:00:00:00:00:07", "10.0.0.7", "ge-0/0/1", "tower-7", 120)


def test_a_neighbour_is_a_row_with_its_texts_in_pieces() -> None:
    (measured,) = rows([LLDP])
    reading = Reading("a", "neighbour", 0, measured.values)
    assert (reading["protocol"], reading["mac"], reading["ttl_s"]) == (3, 0x02_00_00_00_00_07, 120)
    assert (reading["address_high"], reading["address_low"]) == (0, 0xFFFF_0A00_0007)
    assert reading["port_1"] == int.from_bytes(b"ge-0/0/1", "big")
    assert reading["name_1"] == int.from_bytes(b"tower-7\0", "big")
    assert reading["name_2"] == 0


def test_nobody_is_one_row_of_nulls() -> None:
    (measured,) = rows([])
    assert set(measured.values) == {None}


def test_a_text_is_ascii_and_cut_to_its_columns() -> None:
    assert pieces("name", "", 2) == {}
    assert pieces("name", "Turm-\u00e4\n" + "x" * 99, 2) == {
        "name_1": int.from_bytes(b"Turm-??x", "big"),
        "name_2": int.from_bytes(b"x" * 8, "big"),
    }


def test_listening_must_fit_the_round() -> None:
    with pytest.raises(ValueError, match="listen_s and the start, 60 s, do not fit"):
        NeighbourSettings(listen_s=55, timeout_s=40)


@pytest.mark.parametrize(
    ("link", "outcome"),
    [(ProbedLink("a"), Outcome.NO_INTERFACE), (ProbedLink("a", interface="nope0"), Outcome.NO_INTERFACE)],
)
def test_without_an_interface_there_is_nobody_to_look_for(link: ProbedLink, outcome: Outcome) -> None:
    with pytest.raises(ProbeError) as caught:
        asyncio.run(NeighbourProbe(NeighbourSettings())(link))
    assert caught.value.outcome is outcome


@needs_netns
def test_an_interface_that_goes_while_it_is_listened_to_is_told() -> None:
    said = run_in_netns("""
        from edge_agent.discovery.messages import ChildError, write_error
        from edge_agent.probes.neighbour import NeighbourProbe, NeighbourSettings

        async def child(*_):
            ip("link", "del", "d0")
            return write_error(ChildError("look for the neighbours")).encode()

        ip("link", "add", "d0", "type", "veth", "peer", "name", "d1")
        ip("link", "set", "d0", "up")
        probe = NeighbourProbe(NeighbourSettings(), child)
        error = asyncio.run(outcome(probe, ProbedLink("a", interface="d0")))
        print(error.outcome.name, error.message)
    """)
    assert said == "NO_INTERFACE there is no interface 'd0' on this machine\n"


def test_who_is_asked_is_the_next_hop_or_nobody() -> None:
    routes = Routes()
    try:
        link = ProbedLink("a", interface="lo", next_hop="127.0.0.9", target="192.0.2.1")
        assert question(link, routes)[0] == "127.0.0.9"
        assert question(ProbedLink("a", interface="lo", target="some.name"), routes) == ("", "")
        assert question(ProbedLink("a", interface="lo", target="127.0.0.1"), routes)[0] == "127.0.0.1"
    finally:
        routes.close()


# --- a real cable ---------------------------------------------------------------------------------

LOOK = """
import asyncio, json, os, sys
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.neighbour import NeighbourProbe, NeighbourSettings
from edge_agent.probes.probe import ProbeError

async def main(listen_s, **link):
    probe = NeighbourProbe(NeighbourSettings(listen_s=listen_s))
    try:
        found = [each.values for each in await probe(ProbedLink("a", **link))]
    except ProbeError as error:
        found = [error.outcome.name, error.message]
    probe.close()
    print(json.dumps(found))

asyncio.run(main(float(sys.argv[1]), **json.loads(sys.argv[2])))
"""

ANNOUNCE = """
import sys, time
from scapy.contrib.lldp import *
from scapy.layers.l2 import Ether
from scapy.sendrecv import sendp
mac = "02:00:00:00:00:07"
frame = Ether(src=mac, dst=LLDP_NEAREST_BRIDGE_MAC) / LLDPDUChassisID(subtype=4, id=mac)
frame = frame / LLDPDUPortID(subtype=5, id=b"ge-0/0/1") / LLDPDUTimeToLive(ttl=120)
frame = frame / LLDPDUSystemName(system_name=b"tower-7") / LLDPDUEndOfLLDPDU()
while True:
    sendp(frame, iface="far0", verbose=False)
    time.sleep(0.2)
"""


@pytest.fixture(scope="module")
def cable() -> Iterator[Routed]:
    with Routed(chain(0)) as routed:
        yield routed


def look(cable: Routed, listen_s: float, **link: str) -> list[Reading]:
    found = json.loads(cable.near.python(LOOK, str(listen_s), json.dumps(link)))
    return [Reading("a", "neighbour", 0, tuple(values)) for values in found]


def seen(readings: list[Reading]) -> dict[int | None, list[Reading]]:
    return {
        code: [each for each in readings if each["protocol"] == code]
        for code in {each["protocol"] for each in readings}
    }


def mac_of_far(cable: Routed) -> int:
    told = cable.nodes["far"].run(["cat", "/sys/class/net/far0/address"]).stdout
    return int(told.strip().replace(":", ""), 16)


@needs_netns
@pytest.mark.parametrize(("hop", "code"), [("10.79.1.2", 1), ("fd79:1::2", 2)])
def test_the_next_hop_is_asked_and_its_answer_heard(cable: Routed, hop: str, code: int) -> None:
    """No traffic has passed to it, so the kernel itself knows nothing of it."""
    cable.near.run(["ip", "neigh", "flush", "all"])
    found = seen(look(cable, 0, interface="near0", next_hop=hop))[code]
    assert mac_of_far(cable) in [each["mac"] for each in found]


@needs_netns
def test_what_the_kernel_learnt_is_a_neighbour(cable: Routed) -> None:
    cable.near.python("import socket; socket.socket(type=2).sendto(b'', ('10.79.1.2', 9))")
    cable.near.run(["sh", "-c", "until ip neigh show 10.79.1.2 | grep -q lladdr; do :; done"])
    (found,) = seen(look(cable, 0, interface="near0"))[1]
    assert (found["mac"], found["address_low"]) == (mac_of_far(cable), 0xFFFF_0A4F_0102)


@needs_netns
def test_lldp_is_heard(cable: Routed) -> None:
    cable.nodes["far"].popen([sys.executable, "-c", ANNOUNCE])
    found = seen(look(cable, 5, interface="near0"))[3]
    assert [(each["mac"], each["ttl_s"]) for each in found] == [(0x02_00_00_00_00_07, 120)]
    assert found[0]["name_1"] == int.from_bytes(b"tower-7\0", "big")


@needs_netns
def test_on_loopback_there_is_nobody(cable: Routed) -> None:
    (found,) = look(cable, 0, interface="lo", next_hop="127.0.0.1")
    assert set(found.values) == {None}
