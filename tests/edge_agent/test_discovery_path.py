"""The packets of a path: what is sent, and what strangers answer."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6TimeExceeded, IPv6

from edge_agent.discovery import packets
from edge_agent.discovery.messages import PathRequest
from edge_agent.discovery.trace_ledger import Answer

V4 = PathRequest("10.0.0.1", "10.0.9.9", 0, 40_000, 33_434, 30, 3, 0.02, 1, 3, 4)
V6 = PathRequest("fd00::1", "fd00:9::9", 0, 40_000, 33_434, 30, 3, 0.02, 1, 3, 4)


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
