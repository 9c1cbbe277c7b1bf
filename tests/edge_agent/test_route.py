"""Routes: the kernel is asked in its language, and its answers are understood, rubbish included."""

from __future__ import annotations

import errno
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.probes.route import Question, Route, Routes, encode, parse
from tests.edge_agent.netns import needs_netns, run_in_netns


def message(kind: int, body: bytes, sequence: int = 1) -> bytes:
    """A netlink message of linux/netlink.h."""
    return struct.pack("=IHHII", 16 + len(body), kind, 0, sequence, 0) + body


def answer(*attributes: tuple[int, bytes], route_type: int = 1) -> bytes:
    """An RTM_NEWROUTE message with these attributes, padded to 4 bytes each."""
    body = struct.pack("=BBBBBBBBI", 2, 32, 0, 0, 254, 0, 0, route_type, 0)
    for kind, value in attributes:
        body += struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)
    return message(24, body)


# --- the kernel's answers -------------------------------------------------------------------------


def test_interface_next_hop_and_source_are_read_from_the_answer() -> None:
    reply = answer(
        (1, bytes([192, 0, 2, 1])), (5, bytes([10, 1, 0, 1])), (7, bytes([10, 1, 0, 9])), (4, b"\1\0\0\0")
    )
    assert parse(reply, 1) == Route(struct.unpack("=I", b"\1\0\0\0")[0], "10.1.0.1", "10.1.0.9")


def test_a_next_hop_of_the_other_family_is_read() -> None:
    via = struct.pack("=H", socket.AF_INET6) + socket.inet_pton(socket.AF_INET6, "fe80::1")
    assert parse(answer((18, via)), 1) == Route(0, "fe80::1")


def test_the_answer_to_another_question_is_passed_over() -> None:
    assert parse(message(24, b"", sequence=7), 1) is None


def test_a_refusal_is_the_kernels_error() -> None:
    with pytest.raises(OSError) as caught:
        parse(message(2, struct.pack("=i", -errno.ENETUNREACH)), 1)
    assert caught.value.errno == errno.ENETUNREACH


@pytest.mark.parametrize("route_type", [6, 7, 8])
def test_a_route_that_drops_packets_is_no_way(route_type: int) -> None:
    with pytest.raises(OSError) as caught:
        parse(answer((4, b"\1\0\0\0"), route_type=route_type), 1)
    assert caught.value.errno == errno.EHOSTUNREACH


@pytest.mark.parametrize(
    "reply",
    [b"", b"\0" * 16, message(3, b""), message(24, b"\2"), message(2, b"\0"), answer((5, b"\1\2\3"))],
)
def test_what_is_no_answer_is_a_value_error(reply: bytes) -> None:
    with pytest.raises(ValueError):
        parse(reply, 0 if reply[8:12] == b"\0\0\0\0" else 1)


def test_an_attribute_longer_than_the_answer_is_refused() -> None:
    body = struct.pack("=BBBBBBBBI", 2, 32, 0, 0, 254, 0, 0, 1, 0) + struct.pack("=HH", 400, 5) + bytes(4)
    with pytest.raises(ValueError, match="400 B does not fit"):
        parse(message(24, body), 1)


@given(st.binary(max_size=200), st.booleans())
def test_no_bytes_break_the_parser(noise: bytes, framed: bool) -> None:
    reply = message(24, struct.pack("=BBBBBBBBI", 2, 32, 0, 0, 0, 0, 0, 1, 0) + noise) if framed else noise
    try:
        route = parse(reply, 1)
    except (OSError, ValueError):
        return
    assert route is None or isinstance(route, Route)


@given(st.ip_addresses(), st.ip_addresses(), st.integers(0, 2**31 - 1), st.integers(0, 2**32 - 1))
def test_questions_have_all_that_they_ask_for(target: object, source: object, index: int, mark: int) -> None:
    same = type(target) is type(source)
    question = Question(str(target), index, str(source) if same else "", mark)
    asked = encode(question, 9)
    length, kind, flags, sequence, _ = struct.unpack_from("=IHHII", asked)
    assert (length, kind, flags, sequence) == (len(asked), 26, 1, 9)
    # A question is laid out as an answer is, but for RTA_DST and RTA_SRC.
    route = parse(asked[:4] + struct.pack("=H", 24) + asked[6:16] + asked[16:23] + b"\1" + asked[24:], 9)
    assert route is not None and route.interface_index == index


def test_a_source_of_the_other_family_is_refused() -> None:
    with pytest.raises(ValueError, match="not of one address family"):
        encode(Question("192.0.2.1", source="2001:db8::1"), 1)


def test_the_kernel_answers_for_this_machine_itself() -> None:
    routes = Routes()
    for _ in range(3):
        assert routes.ask(Question("127.0.0.1")) == Route(socket.if_nametoindex("lo"), source="127.0.0.1")
    routes.close()
    routes.close()


@needs_netns
def test_asking_needs_no_privilege() -> None:
    said = run_in_netns("""
        from edge_agent.probes.route import Question, Routes
        become_nobody()
        print(Routes().ask(Question("127.0.0.1", 1, "127.0.0.1", mark=7)).interface_index)
        try:
            Routes().ask(Question("192.0.2.1"))
        except OSError as error:
            print(error.strerror)
    """)
    assert said.splitlines() == ["1", "Network is unreachable"]
