"""The discovery child's parts: what it says, how it counts, and what it reads from strangers."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.contrib import lldp
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6TimeExceeded,
    IPv6,
)
from scapy.layers.l2 import ARP, Ether

from edge_agent.discovery import packets
from edge_agent.discovery.listen import MAX_HEARD, Listener, together
from edge_agent.discovery.messages import (
    MAX_FINDINGS,
    ChildError,
    Hop,
    Neighbour,
    NeighbourRequest,
    PathRequest,
    read_hops,
    read_neighbours,
    write,
    write_error,
)
from edge_agent.discovery.neighbour_table import neighbours, read, request
from edge_agent.discovery.trace_ledger import Answer, TraceLedger

V4 = PathRequest("10.0.0.1", "10.0.9.9", 0, 40_000, 33_434, 30, 3, 0.02, 1, 3, 4)
V6 = PathRequest("fd00::1", "fd00:9::9", 0, 40_000, 33_434, 30, 3, 0.02, 1, 3, 4)
MS = 1_000_000


# --- messages -------------------------------------------------------------------------------------


def test_findings_come_back_as_they_were_written() -> None:
    hops = [Hop(1, 3, 2, "10.0.0.254", 812, False), Hop(2, 3, 0, "", None, False)]
    around = [
        Neighbour("lldp", "02:00:00:00:00:07", "10.0.0.7", "ge-0/0/1", "tower-7", 120),
        Neighbour("arp", "02:00:00:00:00:08", "10.0.0.8"),
    ]
    assert read_hops("\n".join(map(write, hops)).encode()) == hops
    assert read_neighbours("\n".join(map(write, around)).encode()) == around


def test_what_the_child_could_not_do_is_raised_with_its_error_number() -> None:
    with pytest.raises(ChildError, match="look for the path") as caught:
        read_hops(write_error(ChildError("look for the path", 101)).encode())
    assert caught.value.code == 101


@pytest.mark.parametrize(
    "wrong",
    [
        b"\xff",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"hop":0,"sent":1,"answered":1}',
        b'{"hop":true,"sent":1,"answered":1}',
        b'{"hop":1,"sent":1,"answered":1,"address":"10.0.0.256"}',
        b'{"hop":1,"sent":1,"answered":1,"rtt_us":-1}',
        b'{"hop":1,"sent":1,"answered":0}\n' * (MAX_FINDINGS + 1),
    ],
)
def test_what_is_no_hop_is_refused(wrong: bytes) -> None:
    with pytest.raises(ValueError):
        read_hops(wrong)


@pytest.mark.parametrize(
    "wrong", [b'{"protocol":"cdp"}', b'{"protocol":"arp","mac":"02:00"}', b'{"protocol":"arp","ttl_s":65536}']
)
def test_what_is_no_neighbour_is_refused(wrong: bytes) -> None:
    with pytest.raises(ValueError):
        read_neighbours(wrong)


# --- the ledger -----------------------------------------------------------------------------------


def test_a_path_is_each_distance_with_its_best_time() -> None:
    ledger = TraceLedger()
    for token, hop in ((1, 1), (2, 2), (3, 1), (4, 2)):
        ledger.sent(token, hop, at_ns=token * MS)
    for token, address, reached, at_ms in ((1, "r", False, 5), (2, "t", True, 9), (3, "r", False, 6)):
        ledger.answered(Answer(token, address, reached, reached), at_ms * MS)
    assert ledger.end == 2 and not ledger.complete
    assert ledger.hops() == [Hop(1, 2, 2, "r", 3000, False), Hop(2, 2, 1, "t", 7000, True)]


def test_an_answer_counts_once_and_a_forged_one_not_at_all() -> None:
    ledger = TraceLedger()
    ledger.sent(1, 1, 0)
    for token in (1, 1, 9):
        ledger.answered(Answer(token, "r", False, False), MS)
    assert ledger.hops() == [Hop(1, 1, 1, "r", 1000, False)]


def test_silent_hops_between_are_kept_and_those_after_are_one() -> None:
    ledger = TraceLedger()
    for hop in range(1, 7):
        ledger.sent(hop, hop, 0)
    ledger.answered(Answer(3, "r", False, False), MS)
    assert [(hop.hop, hop.address) for hop in ledger.hops()] == [(1, ""), (2, ""), (3, "r"), (4, "")]


def test_distances_beyond_the_end_are_no_part_of_the_path() -> None:
    ledger = TraceLedger()
    for hop in (1, 2, 3):
        ledger.sent(hop, hop, 0)
    for hop in (3, 2):
        ledger.answered(Answer(hop, "t", True, True), MS)
    assert [(hop.hop, hop.address) for hop in ledger.hops()] == [(1, ""), (2, "t")]
    assert not ledger.complete
    ledger.answered(Answer(1, "r", False, False), MS)
    assert ledger.complete


def test_findings_of_a_path_are_bounded_whoever_answers() -> None:
    ledger = TraceLedger()
    for token in range(1, 641):
        ledger.sent(token, 1 + token % 64, 0)
        ledger.answered(Answer(token, f"10.0.{token // 250}.{token % 250}", False, False), MS)
    assert len(ledger.hops()) == MAX_FINDINGS


def test_two_routers_at_one_distance_are_two_findings() -> None:
    ledger = TraceLedger()
    for token, address in ((1, "a"), (2, "b")):
        ledger.sent(token, 1, 0)
        ledger.answered(Answer(token, address, False, False), MS)
    assert [(hop.address, hop.sent, hop.answered) for hop in ledger.hops()] == [("a", 2, 1), ("b", 2, 1)]


def test_a_clock_that_was_set_back_makes_no_time() -> None:
    ledger = TraceLedger()
    ledger.sent(1, 1, 5 * MS)
    ledger.answered(Answer(1, "r", False, False), MS)
    assert ledger.hops() == [Hop(1, 1, 1, "r", None, False)]


# --- packets of a path ----------------------------------------------------------------------------


def test_all_probes_of_a_trace_are_one_flow() -> None:
    """What a load balancer may look at is the same: addresses, ports, label, and the checksum too."""
    old = [IP(packets.path_probe(V4, hop, token)) for hop, token in ((1, 5), (9, 0xABCD))]
    new = [IPv6(packets.path_probe(V6, hop, token)) for hop, token in ((1, 5), (9, 0xABCD))]
    for one, other in (old, new):
        assert (one[UDP].sport, one[UDP].dport, one[UDP].chksum) == (
            other[UDP].sport,
            other[UDP].dport,
            other[UDP].chksum,
        )
    assert [each.id for each in old] == [5, 0xABCD] and [each.ttl for each in old] == [1, 9]
    assert {each.fl for each in new} == {V6.source_port} and [each.hlim for each in new] == [1, 9]


def quoting(kind: int, code: int, sender: str, probe: bytes) -> bytes:
    return bytes(IP(src=sender, dst=V4.source) / ICMP(type=kind, code=code) / probe[:28])


def test_a_router_and_the_target_are_told_apart() -> None:
    probe = packets.path_probe(V4, 1, 77)
    router = packets.read_path_answer(V4, quoting(11, 0, "10.0.0.254", probe), "")
    target = packets.read_path_answer(V4, quoting(3, 3, V4.target, probe), "")
    refusing = packets.read_path_answer(V4, quoting(3, 13, "10.0.5.1", probe), "")
    assert router == Answer(77, "10.0.0.254", False, False)
    assert target == Answer(77, V4.target, True, True)
    assert refusing == Answer(77, "10.0.5.1", False, True)


def test_this_machines_own_complaint_is_no_hop() -> None:
    """It says so when the next hop does not answer, to itself."""
    probe = packets.path_probe(V4, 1, 77)
    assert packets.read_path_answer(V4, quoting(3, 1, V4.source, probe), "") is None
    own = replace(V4, target=V4.source)
    probe = packets.path_probe(own, 1, 77)
    told = packets.read_path_answer(own, quoting(3, 3, V4.source, probe), "")
    assert told == Answer(77, V4.source, True, True)


def test_ipv6_answers_are_read_alike() -> None:
    probe = packets.path_probe(V6, 1, 77)
    exceeded = bytes(ICMPv6TimeExceeded(cksum=1) / probe)
    no_port = bytes(ICMPv6DestUnreach(code=4, cksum=1) / probe)
    assert packets.read_path_answer(V6, exceeded, "fd00::ff") == Answer(77, "fd00::ff", False, False)
    assert packets.read_path_answer(V6, no_port, V6.target) == Answer(77, V6.target, True, True)


def test_an_answer_to_another_flow_is_not_ours() -> None:
    other = PathRequest(V4.source, V4.target, 0, 40_001, 33_434, 30, 3, 0.02, 1, 3, 4)
    probe = packets.path_probe(other, 1, 77)
    assert packets.read_path_answer(V4, quoting(11, 0, "10.0.0.254", probe), "") is None


@given(st.binary(max_size=128))
def test_strangers_may_send_anything(data: bytes) -> None:
    packets.read_path_answer(V4, data, "")
    packets.read_path_answer(V6, data, "fd00::2")
    packets.read_arp(data)
    packets.read_lldp(data)
    packets.read_discovery(data, "fe80::2")


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
