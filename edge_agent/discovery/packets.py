"""The packets of discovery, written and read by scapy; only the child imports this module.

What comes from the network is read with every error of the reader taken as "not for us": a stranger
may send anything, and one odd frame must not end a look around.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from ipaddress import ip_address
from typing import Any, TypeVar

from scapy.config import conf
from scapy.contrib import lldp
from scapy.layers.inet import ICMP, IP, UDP, IPerror, UDPerror
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    ICMPv6TimeExceeded,
    IPerror6,
    IPv6,
)
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw
from scapy.utils6 import in6_getnsma, in6_getnsmac

from edge_agent.discovery.messages import MAX_TEXT, Neighbour, PathRequest
from edge_agent.discovery.trace_ledger import Answer

T = TypeVar("T")

_UNREACHABLE_4, _EXCEEDED_4, _NO_PORT_4 = 3, 11, 3
"""ICMP types and the code of RFC 792."""
_NO_PORT_6 = 4
"""ICMPv6 code of RFC 4443 section 3.1."""
_CHASSIS_MAC = 4
_PORT_MAC = 3
"""Subtypes of IEEE 802.1AB tables 8-2 and 8-3."""

conf.contribs["LLDP"].strict_mode_disable()  # a switch that words it oddly is a neighbour all the same


def _forgiving(read: Callable[..., T | None]) -> Callable[..., T | None]:
    """The same reader, to which nothing that a stranger sends is an error."""

    @wraps(read)
    def reader(*given: Any) -> T | None:
        try:
            return read(*given)
        except Exception:  # scapy raises whatever it comes across: struct.error, IndexError, its own
            return None

    return reader


# --- paths ----------------------------------------------------------------------------------------


def path_probe(request: PathRequest, hop: int, token: int) -> bytes:
    """A UDP packet that lives for so many hops; its flow is that of every other one of the trace."""
    ports = UDP(sport=request.source_port, dport=request.port)
    # The token and its complement: their sum, and so the checksum, is the same for every token.
    mark = token.to_bytes(2, "big") + (token ^ 0xFFFF).to_bytes(2, "big")
    if ":" in request.target:
        head = IPv6(src=request.source, dst=request.target, hlim=hop, fl=request.source_port)
        return bytes(head / ports / Raw(mark))
    return bytes(IP(src=request.source, dst=request.target, ttl=hop, id=token) / ports / Raw(mark))


@_forgiving
def read_path_answer(request: PathRequest, packet: bytes, sender: str) -> Answer | None:
    """The answer to a probe of the request: an IPv4 packet, or the ICMPv6 message of a sender."""
    if ":" in request.target:
        return _answer_6(request, packet, sender)
    return _answer_4(request, packet)


def _answer_4(request: PathRequest, packet: bytes) -> Answer | None:
    outer = IP(packet)
    error, quoted = outer[ICMP], outer[IPerror]
    if error.type not in (_UNREACHABLE_4, _EXCEEDED_4) or not _ours(request, quoted):
        return None
    return _answer(request, quoted.id, outer.src, error.type == _UNREACHABLE_4, error.code == _NO_PORT_4)


def _answer_6(request: PathRequest, message: bytes, sender: str) -> Answer | None:
    unreachable = message[0] == 1
    error = (ICMPv6DestUnreach if unreachable else ICMPv6TimeExceeded)(message)
    quoted = error[IPerror6]
    if not _ours(request, quoted):
        return None
    token = int.from_bytes(bytes(quoted[UDPerror].payload)[:2], "big")
    return _answer(request, token, sender, unreachable, error.code == _NO_PORT_6)


def _answer(
    request: PathRequest, token: int, address: str, unreachable: bool, no_port: bool
) -> Answer | None:
    if address == request.source != request.target:
        return None  # this machine's own complaint that the next hop is silent: nobody on the path said it
    reached = unreachable and (no_port or ip_address(address) == ip_address(request.target))
    return Answer(token, address, reached, unreachable)


def _ours(request: PathRequest, quoted: Packet) -> bool:
    ports = quoted[UDPerror].sport, quoted[UDPerror].dport
    same = ip_address(quoted.dst) == ip_address(request.target)
    return bool(same and ports == (request.source_port, request.port))


# --- neighbours -----------------------------------------------------------------------------------


def question(asked: str, source: str, mac: str) -> bytes:
    """The frame that asks who has an address: ARP (RFC 826), or a solicitation (RFC 4861 section 4.3)."""
    if ":" not in asked:
        # Without an address of our own it is a probe, which nobody enters in a table (RFC 5227).
        return bytes(
            Ether(dst="ff:ff:ff:ff:ff:ff", src=mac) / ARP(psrc=source or "0.0.0.0", hwsrc=mac, pdst=asked)
        )
    group = in6_getnsma(ip_address(asked).packed)
    head = Ether(dst=in6_getnsmac(group), src=mac) / IPv6(src=source, dst=str(ip_address(group)), hlim=255)
    return bytes(head / ICMPv6ND_NS(tgt=asked) / ICMPv6NDOptSrcLLAddr(lladdr=mac))


@_forgiving
def read_arp(frame: bytes) -> Neighbour | None:
    """The sender of an ARP request or reply, unless it has no address yet."""
    said = Ether(frame)[ARP]
    if (said.hwtype, said.ptype, said.hwlen, said.plen) != (1, 0x0800, 6, 4):
        return None
    if ip_address(said.psrc).is_unspecified:
        return None
    return Neighbour("arp", said.hwsrc, said.psrc)


@_forgiving
def read_discovery(message: bytes, sender: str) -> Neighbour | None:
    """Who a neighbour or router advertisement, or a solicitation, speaks for (RFC 4861)."""
    kind, option = {
        134: (ICMPv6ND_RA, ICMPv6NDOptSrcLLAddr),
        135: (ICMPv6ND_NS, ICMPv6NDOptSrcLLAddr),
        136: (ICMPv6ND_NA, ICMPv6NDOptDstLLAddr),
    }[message[0]]
    said = kind(message)
    address = said.tgt if kind is ICMPv6ND_NA else sender
    if ip_address(address).is_unspecified or option not in said:
        return None
    return Neighbour("nd", said[option].lladdr, str(ip_address(address)))


@_forgiving
def read_lldp(frame: bytes) -> Neighbour | None:
    """The neighbour that an LLDP frame names (IEEE 802.1AB), unless it says goodbye."""
    said = Ether(frame)
    chassis, port = said[lldp.LLDPDUChassisID], said[lldp.LLDPDUPortID]
    ttl_s = said[lldp.LLDPDUTimeToLive].ttl
    if not ttl_s:
        return None
    mac = chassis.id if chassis.subtype == _CHASSIS_MAC else said.src
    name = said[lldp.LLDPDUSystemName].system_name if lldp.LLDPDUSystemName in said else b""
    known = name or (b"" if chassis.subtype == _CHASSIS_MAC else chassis.id)
    return Neighbour("lldp", mac, _managed_at(said), _words(port.id), _words(known), ttl_s)


def _managed_at(said: Packet) -> str:
    """The first management address that is one of IP (address families 1 and 2)."""
    layer = said.getlayer(lldp.LLDPDUManagementAddress)
    while layer is not None:
        raw = bytes(layer.management_address)
        if (layer.management_address_subtype, len(raw)) in ((1, 4), (2, 16)):
            return str(ip_address(raw))
        layer = layer.payload.getlayer(lldp.LLDPDUManagementAddress)
    return ""


def _words(value: object) -> str:
    """What a neighbour calls something, as text."""
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return text.strip("\0 ")[:MAX_TEXT]
