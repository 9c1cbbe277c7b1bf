"""The packets of neighbours and the kernel's table of them, whoever wrote them."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.contrib import lldp
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr, IPv6
from scapy.layers.l2 import ARP, Ether

from edge_agent.discovery import packets
from edge_agent.discovery.listen import MAX_HEARD, Listener, together
from edge_agent.discovery.messages import MAX_FINDINGS, Neighbour, NeighbourRequest
from edge_agent.discovery.neighbour_table import neighbours, read, request

# --- packets of neighbours ------------------------------------------------------------------------


MAC = "02:00:00:00:00:07"


def announcement(*more: Any, ttl: int = 120, chassis: Any = None) -> bytes:
    head = chassis or lldp.LLDPDUChassisID(subtype=4, id=MAC)
    frame = Ether(src="02:00:00:00:00:99", dst=lldp.LLDP_NEAREST_BRIDGE_MAC, type=0x88CC) / head
    frame /= lldp.LLDPDUPortID(subtype=5, id=b"ge-0/0/1") / lldp.LLDPDUTimeToLive(ttl=ttl)
    for each in more:
        frame /= each
    return bytes(frame / lldp.LLDPDUEndOfLLDPDU())


def test_lldp_names_the_neighbour_its_port_and_its_address() -> None:
    address = lldp.LLDPDUManagementAddress(
        management_address_subtype=1,
        management_address=socket.inet_aton("10.0.0.7"),
        interface_numbering_subtype=2,
        interface_number=1,
    )
    frame = announcement(lldp.LLDPDUSystemName(system_name=b"tower-7"), address)
    assert packets.read_lldp(frame) == Neighbour("lldp", MAC, "10.0.0.7", "ge-0/0/1", "tower-7", 120)


def test_a_chassis_without_a_mac_is_known_by_its_own_words_and_the_frames_sender() -> None:
    frame = announcement(chassis=lldp.LLDPDUChassisID(subtype=7, id=b"mast-3"))
    assert packets.read_lldp(frame) == Neighbour("lldp", "02:00:00:00:00:99", "", "ge-0/0/1", "mast-3", 120)


def test_a_neighbour_that_says_goodbye_is_none() -> None:
    assert packets.read_lldp(announcement(ttl=0)) is None


def test_arp_speaks_for_its_sender_unless_that_only_tries_an_address() -> None:
    said = Ether(src=MAC) / ARP(op=1, hwsrc=MAC, psrc="10.0.0.7", pdst="10.0.0.1")
    assert packets.read_arp(bytes(said)) == Neighbour("arp", MAC, "10.0.0.7")
    said[ARP].psrc = "0.0.0.0"
    assert packets.read_arp(bytes(said)) is None


def test_arp_of_another_kind_of_address_is_no_neighbour() -> None:
    """Its addresses would be bytes, which the child could not write: no stranger may end a look around."""
    said = bytearray(bytes(Ether(src=MAC) / ARP(op=1, hwsrc=MAC, psrc="10.0.0.7", pdst="10.0.0.1")))
    for at, size in ((18, 8), (19, 16)):
        odd = said.copy()
        odd[at] = size
        assert packets.read_arp(bytes(odd) + bytes(64)) is None


def test_an_advertisement_speaks_for_the_address_that_it_names() -> None:
    said = bytes(ICMPv6ND_NA(tgt="fd00::7", cksum=1) / ICMPv6NDOptDstLLAddr(lladdr=MAC))
    assert packets.read_discovery(said, "fe80::7") == Neighbour("nd", MAC, "fd00::7")


def test_questions_are_what_the_protocols_say() -> None:
    asked = Ether(packets.question("10.0.0.7", "10.0.0.1", MAC))
    assert (asked.dst, asked[ARP].psrc, asked[ARP].pdst) == ("ff:ff:ff:ff:ff:ff", "10.0.0.1", "10.0.0.7")
    assert Ether(packets.question("10.0.0.7", "", MAC))[ARP].psrc == "0.0.0.0"
    solicited = Ether(packets.question("fd00::12:3456", "fd00::1", MAC))
    assert (solicited.dst, solicited[IPv6].dst) == ("33:33:ff:12:34:56", "ff02::1:ff12:3456")
    assert (solicited[IPv6].hlim, solicited[ICMPv6ND_NS].tgt) == (255, "fd00::12:3456")


def test_a_neighbour_is_told_once_and_lldp_first() -> None:
    heard = [Neighbour("arp", MAC, "10.0.0.7"), Neighbour("lldp", MAC, port="p1")]
    known = [Neighbour("arp", "02:00:00:00:00:01", "10.0.0.7"), Neighbour("nd", MAC, "fd00::7")]
    assert together(heard, known) == [heard[1], heard[0], known[1]]


def test_neighbours_are_bounded() -> None:
    crowd = [Neighbour("arp", MAC, f"10.0.{each // 250}.{each % 250}") for each in range(1000)]
    assert len(together(crowd, [])) == MAX_FINDINGS


def test_whom_we_asked_for_is_told_of_a_crowd() -> None:
    crowd = [Neighbour("arp", MAC, f"10.0.{each // 250}.{each % 250}") for each in range(1000)]
    wanted = Neighbour("nd", MAC, "fd00::7")
    assert together([*crowd, wanted], [], ["fd00::7"])[0] == wanted


def test_a_crowd_in_one_protocol_hides_neither_another_nor_the_answer() -> None:
    ends = [end.detach() for _ in range(3) for end in socket.socketpair()[:1]]
    listener = Listener(NeighbourRequest("lo", 0, ("10.0.0.7",), "", 1, *ends))
    for each in range(2 * MAX_HEARD):
        listener.hear("arp", each.to_bytes(8))
    listener.hear("lldp", b"tower-7")
    listener.hear("arp", b"from " + socket.inet_aton("10.0.0.7"))
    assert len(listener.heard["arp"]) == MAX_HEARD + 1
    assert list(listener.heard["lldp"]) == [(b"tower-7", "")]


# --- the kernel's table ---------------------------------------------------------------------------


def entry(index: int = 4, state: int = 2, mac: bytes = bytes(6), age: int = 0, cut: int = 0) -> bytes:
    """One RTM_NEWNEIGH, as the kernel of this machine writes it."""
    body = struct.pack("=BxxxiHBB", socket.AF_INET, index, state, 0, 1)
    body += struct.pack("=HH4s", 8, 1, socket.inet_aton("10.0.0.7"))
    body += struct.pack("=HH", 4 + len(mac), 2) + mac + bytes(-len(mac) % 4)
    body += struct.pack("=HHIIII", 20, 3, age, 0, 0, 0)
    return struct.pack("=IHHII", 16 + len(body), 28, 2, 1, 0) + body[: len(body) - cut]


DONE = struct.pack("=IHHIIi", 20, 3, 2, 1, 0, 0)


def test_entries_of_the_interface_that_somebody_answered_for_are_neighbours() -> None:
    piece = entry() + entry(index=5) + entry(state=0x20) + entry(state=0x80) + entry(mac=b"") + DONE
    assert read(piece, 4, 60) == ([Neighbour("arp", "00:00:00:00:00:00", "10.0.0.7")], True)


def test_an_entry_that_nobody_confirmed_for_long_is_left_out() -> None:
    assert read(entry(age=6100), 4, 60) == ([], False)
    assert len(read(entry(age=5900), 4, 60)[0]) == 1


def test_a_refusal_of_the_kernel_is_its_error() -> None:
    with pytest.raises(PermissionError):
        read(struct.pack("=IHHIIi", 20, 2, 0, 1, 0, -1), 4, 60)


@pytest.mark.parametrize("piece", [entry(cut=3), struct.pack("=IHHII", 3, 28, 0, 0, 0)])
def test_what_is_cut_short_is_refused(piece: bytes) -> None:
    with pytest.raises(ValueError):
        read(piece, 4, 60)


@given(st.binary(max_size=96))
def test_any_bytes_are_an_answer_or_one_of_two_errors(data: bytes) -> None:
    with contextlib.suppress(ValueError, OSError):
        read(data, 4, 60)


def test_the_kernel_takes_the_request_and_knows_no_neighbour_on_loopback() -> None:
    assert request(socket.AF_INET)[:4] == (28).to_bytes(4, sys.byteorder)
    assert neighbours(socket.if_nametoindex("lo"), 3600) == []
