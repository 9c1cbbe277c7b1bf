"""DNS messages: what is asked, whose an answer is, and that a broken one does no more than raise an error."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.probes.dns_message import DnsError, Query, question, response_code

QUERY = Query(0x1234, question("example.com", "A"))
ROOT = Query(7, question(".", "NS"))


def answer(
    query: Query = QUERY,
    *,
    identifier: int | None = None,
    flags: int = 0x8180,
    asked: bytes | None = None,
    questions: int = 1,
    records: tuple[int, int, int] = (1, 0, 0),
    rest: bytes = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 300, 4) + bytes((192, 0, 2, 1)),
) -> bytes:
    """A good answer with one address, and what a test makes of it."""
    head = struct.pack(
        "!HHHHHH", query.identifier if identifier is None else identifier, flags, questions, *records
    )
    return head + (query.question if asked is None else asked) + rest


def test_a_query_is_the_bytes_of_rfc_1035() -> None:
    header = bytes.fromhex("1234 0100 0001 0000 0000 0000")
    assert QUERY.message == header + b"\x07example\x03com\x00\x00\x01\x00\x01"
    assert ROOT.message[12:] == b"\x00\x00\x02\x00\x01"


def test_a_final_dot_changes_nothing() -> None:
    assert question("example.com.", "AAAA") == question("example.com", "AAAA")


@pytest.mark.parametrize(
    ("name", "record", "said"),
    [
        ("example.com", "MX", "not one of A, NS, AAAA"),
        ("a..b", "A", "1 to 63"),
        ("", "A", "1 to 63"),
        ("x" * 64, "A", "1 to 63"),
        ("münchen.de", "A", "xn--"),
        (".".join(["x" * 60] * 5), "A", "253"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused(name: str, record: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        question(name, record)


@pytest.mark.parametrize(("flags", "code"), [(0x8180, 0), (0x8183, 3), (0x8182, 2), (0x8380, 0)])
def test_an_answer_gives_its_code_and_a_truncated_one_is_an_answer(flags: int, code: int) -> None:
    assert response_code(answer(flags=flags), QUERY) == code


def test_the_case_of_a_name_may_change_on_the_way() -> None:
    assert response_code(answer(asked=b"\x07EXAMPLE\x03cOm\x00\x00\x01\x00\x01"), QUERY) == 0


def test_an_error_may_leave_the_question_out() -> None:
    assert (
        response_code(answer(flags=0x8181, asked=b"", questions=0, records=(0, 0, 0), rest=b""), QUERY) == 1
    )


@pytest.mark.parametrize(
    "message",
    [
        answer(identifier=0x1235),
        answer(questions=2),
        answer(flags=0x0100),
        answer(asked=question("example.org", "A")),
        answer(asked=question("example.com", "NS")),
        b"",
        b"\x12",
        b"\x12\x34\x81",
        b"not DNS at all, but longer than a header",
    ],
)
def test_what_answers_another_question_is_not_ours(message: bytes) -> None:
    assert response_code(message, QUERY) is None


@pytest.mark.parametrize("cut", range(4, len(answer())))
def test_an_answer_cut_off_anywhere_is_corrupt(cut: int) -> None:
    with pytest.raises(DnsError):
        response_code(answer()[:cut], QUERY)


@pytest.mark.parametrize(
    "rest",
    [
        b"\x80" * 20,  # a kind of label that does not exist
        b"\x3f" + b"x" * 63 + b"\x3f" + b"x" * 63,  # no end
        b"\x01x" * 200,  # longer than a name may be
        b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 300, 5) + b"1234",
    ],
)
def test_records_that_cannot_be_followed_are_corrupt(rest: bytes) -> None:
    with pytest.raises(DnsError):
        response_code(answer(rest=rest), QUERY)


def test_more_records_than_fit_are_not_looked_for() -> None:
    with pytest.raises(DnsError, match="do not fit"):
        response_code(answer(records=(65_535, 65_535, 65_535)), QUERY)


@given(st.binary(max_size=300), st.booleans())
def test_no_bytes_do_more_than_be_foreign_or_corrupt(noise: bytes, ours: bool) -> None:
    message = QUERY.identifier.to_bytes(2, "big") + noise if ours else noise
    try:
        code = response_code(message, QUERY)
    except DnsError:
        return
    assert code is None or 0 <= code <= 15


@given(st.data())
def test_an_answer_with_a_byte_changed_is_read_or_refused(data: st.DataObject) -> None:
    message = bytearray(answer())
    message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    try:
        response_code(bytes(message), QUERY)
    except DnsError:
        return


def test_another_codec_reads_our_queries_and_we_its_answers() -> None:
    scapy = pytest.importorskip("scapy.layers.dns")
    read = scapy.DNS(QUERY.message)
    assert (read.id, read.qr, read.rd, read.qdcount) == (QUERY.identifier, 0, 1, 1)
    asked = read.qd[0]
    assert (asked.qname, asked.qtype, asked.qclass) == (b"example.com.", 1, 1)
    servers = [scapy.DNSRR(rrname=".", type="NS", ttl=9, rdata=f"{each}.root-servers.net") for each in "abm"]
    told = scapy.DNS(id=ROOT.identifier, qr=1, ra=1, qd=scapy.DNSQR(qname=".", qtype="NS"), an=servers)
    assert response_code(bytes(told), ROOT) == 0
    assert response_code(bytes(told.compress()), ROOT) == 0
    refused = scapy.DNS(id=QUERY.identifier, qr=1, rcode=5, qd=scapy.DNSQR(qname="example.com", qtype="A"))
    assert response_code(bytes(refused), QUERY) == 5
