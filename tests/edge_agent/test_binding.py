"""Binding: a socket stays on its link, and says clearly why when it may not."""

from __future__ import annotations

import socket

import pytest

from edge_agent.contract import Outcome
from edge_agent.probes import ProbeError
from edge_agent.probes.binding import ProbedLink, bind
from tests.edge_agent.netns import needs_netns, run_in_netns


@pytest.mark.parametrize(
    ("interface", "vlan", "device"),
    [("", "", ""), ("eth0", "", "eth0"), ("eth0", "100", "eth0.100"), ("", "100", "")],
)
def test_a_vlan_is_an_interface_of_its_own(interface: str, vlan: str, device: str) -> None:
    assert ProbedLink("a", interface=interface, vlan=vlan).device == device


def refused(link: ProbedLink, family: socket.AddressFamily = socket.AF_INET) -> ProbeError:
    with socket.socket(family, socket.SOCK_DGRAM) as opened, pytest.raises(ProbeError) as caught:
        bind(opened, link)
    return caught.value


def test_a_socket_is_bound_to_interface_and_source() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        bind(opened, ProbedLink("a", interface="lo", source="127.0.0.9"))
        assert opened.getsockname()[0] == "127.0.0.9"
        assert opened.getsockopt(socket.SOL_SOCKET, 25, 16).rstrip(b"\0") == b"lo"


def test_a_link_without_a_preference_leaves_the_socket_alone() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        bind(opened, ProbedLink("a"))
        assert opened.getsockname() == ("0.0.0.0", 0)


def test_an_interface_that_is_not_there_is_no_interface() -> None:
    assert refused(ProbedLink("a", interface="nope0")).outcome is Outcome.NO_INTERFACE
    assert refused(ProbedLink("a", interface="lo", vlan="7")).outcome is Outcome.NO_INTERFACE


def test_a_source_that_this_machine_does_not_have_is_named() -> None:
    error = refused(ProbedLink("a", source="192.0.2.77"))
    assert error.outcome is Outcome.UNREACHABLE
    assert error.message == "cannot send from 192.0.2.77: no interface of this machine has that address"


@pytest.mark.parametrize(
    ("family", "source", "named"),
    [(socket.AF_INET6, "127.0.0.1", "IPv6"), (socket.AF_INET, "::1", "IPv4")],
)
def test_a_source_of_the_other_family_is_named(family: socket.AddressFamily, source: str, named: str) -> None:
    error = refused(ProbedLink("a", source=source), family)
    assert error.outcome is Outcome.UNREACHABLE
    assert f"cannot send from {source}: the target's address is of {named}" in error.message


@needs_netns
def test_an_interface_and_a_source_need_no_privilege_and_a_mark_does() -> None:
    said = run_in_netns("""
        import socket
        from edge_agent.probes.binding import bind
        def attempt(**words):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
                try:
                    bind(opened, ProbedLink("a", **words))
                    return str(opened.getsockopt(socket.SOL_SOCKET, socket.SO_MARK))
                except ProbeError as error:
                    return f"{error.outcome.name} {error.message}"
        print(attempt(mark=7))
        become_nobody()
        for words in ({"interface": "lo"}, {"source": "127.0.0.2"}, {"mark": 7}):
            print(attempt(**words))
    """)
    assert said.splitlines() == [
        "7",
        "0",
        "0",
        "DENIED cannot set the routing mark 7: that needs CAP_NET_RAW (Linux 5.17) or CAP_NET_ADMIN",
    ]
