"""STAMP packets: the wire format, checked against another implementation of it, and what is refused."""

from __future__ import annotations

import hashlib
import hmac
import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.probes.stamp_packet import (
    PLAIN_SIZE,
    SIGNED_SIZE,
    NotAuthentic,
    ReflectedPacket,
    Reflection,
    SenderPacket,
    StampError,
    decode_reflected,
    decode_sender,
    encode_reflected,
    encode_sender,
    padding,
    reflected_tlvs,
)

KEY = b"0123456789abcdef"
U16, U32, U64 = (st.integers(0, (1 << bits) - 1) for bits in (16, 32, 64))
SENDERS = st.builds(SenderPacket, U32, U64, U16, U16, st.binary(max_size=64))
REFLECTED = st.builds(
    ReflectedPacket, U32, U64, U16, U16, U64, U32, U64, U16, st.integers(0, 255), st.binary(max_size=64)
)
KEYS = st.sampled_from([None, KEY])


@pytest.fixture(scope="module")
def scapy_stamp() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("scapy.contrib.stamp")


@given(SENDERS, KEYS)
def test_a_senders_packet_comes_back_as_it_went(packet: SenderPacket, key: bytes | None) -> None:
    data = encode_sender(packet, key)
    assert len(data) == (SIGNED_SIZE if key else PLAIN_SIZE) + len(packet.tlvs)
    assert decode_sender(data, key) == packet


@given(REFLECTED, KEYS)
def test_a_reflectors_packet_comes_back_as_it_went(packet: ReflectedPacket, key: bytes | None) -> None:
    assert decode_reflected(encode_reflected(packet, key), key) == packet


def test_both_directions_have_the_same_size() -> None:
    sent, reflected = SenderPacket(1, 2, 3, 4), ReflectedPacket(1, 2, 3, 4, 5, 6, 7, 8, 9)
    assert len(encode_sender(sent, None)) == len(encode_reflected(reflected, None)) == 44
    assert len(encode_sender(sent, KEY)) == len(encode_reflected(reflected, KEY)) == 112


@given(st.builds(SenderPacket, U32, U64, U16, U16))
def test_another_implementation_reads_a_senders_packet(scapy_stamp: Any, packet: SenderPacket) -> None:
    read = scapy_stamp.STAMPSessionSenderTestUnauthenticated(encode_sender(packet, None))
    assert (read.seq, read.ssid, read.mbz) == (packet.sequence, packet.ssid, 0)
    assert bytes(read) == encode_sender(packet, None)
    estimate = read.err_estimate
    assert estimate.S << 15 | estimate.Z << 14 | estimate.scale << 8 | estimate.multiplier == packet.error


def test_another_implementations_padding_is_read(scapy_stamp: Any) -> None:
    estimate = scapy_stamp.ErrorEstimate(S=1, scale=3, multiplier=9)
    tlv = scapy_stamp.STAMPTestTLV(flags=0x80, type=1, len=5, value=b"\0" * 5)
    made = scapy_stamp.STAMPSessionSenderTestUnauthenticated(
        seq=7, err_estimate=estimate, ssid=99, tlv_objects=[tlv]
    )
    packet = decode_sender(bytes(made), None)
    assert (packet.sequence, packet.ssid, packet.error) == (7, 99, 0x8309)
    assert packet.tlvs == padding(5)


@given(st.builds(ReflectedPacket, U32, U64, U16, U16, U64, U32, U64, U16, st.integers(0, 255)))
def test_another_implementation_reads_a_reflectors_packet(scapy_stamp: Any, packet: ReflectedPacket) -> None:
    data = encode_reflected(packet, None)
    read = scapy_stamp.STAMPSessionReflectorTestUnauthenticated(data)
    assert (read.seq, read.ssid, read.seq_sender) == (packet.sequence, packet.ssid, packet.sender_sequence)
    assert (read.ttl_sender, read.mbz1, read.mbz2) == (packet.sender_ttl, 0, 0)
    assert bytes(read) == data


def test_the_hmac_covers_the_first_96_bytes_and_is_cut_to_16() -> None:
    data = encode_sender(SenderPacket(1, 2, 3, 4), KEY)
    assert data[96:112] == hmac.new(KEY, data[:96], hashlib.sha256).digest()[:16]


def test_authenticated_fields_are_where_the_rfc_has_them() -> None:
    """RFC 8762 sections 4.2.2 and 4.3.2, with the SSID of RFC 8972 section 3; the rest must be zero."""
    sent = encode_sender(SenderPacket(0x01020304, 0x1112131415161718, 0x2122, 0x3132), KEY)
    assert sent[:96] == bytes.fromhex("01020304" + "00" * 12 + "1112131415161718" + "21223132" + "00" * 68)
    reflected = ReflectedPacket(1, 2, 3, 4, 5, 6, 7, 8, 9)
    expected = bytearray(96)
    for at, value in {3: 1, 23: 2, 25: 3, 27: 4, 39: 5, 51: 6, 71: 7, 73: 8, 80: 9}.items():
        expected[at] = value
    assert encode_reflected(reflected, KEY)[:96] == bytes(expected)


@pytest.mark.parametrize("at", range(SIGNED_SIZE))
def test_a_signed_packet_with_any_byte_changed_is_not_authentic(at: int) -> None:
    data = bytearray(encode_reflected(ReflectedPacket(1, 2, 3, 4, 5, 6, 7, 8, 9), KEY))
    data[at] ^= 1
    with pytest.raises(NotAuthentic):
        decode_reflected(bytes(data), KEY)


def test_an_unsigned_packet_is_refused_where_a_key_is_set() -> None:
    with pytest.raises(NotAuthentic):
        decode_sender(encode_sender(SenderPacket(1, 2, 3, 4, bytes(68)), None), KEY)


@pytest.mark.parametrize("key", [None, KEY])
def test_a_truncated_packet_is_refused(key: bytes | None) -> None:
    data = encode_sender(SenderPacket(1, 2, 3, 4), key)
    for size in range(len(data)):
        with pytest.raises(StampError):
            decode_sender(data[:size], key)


@pytest.mark.parametrize("key", [None, KEY])
def test_a_reflected_packet_is_no_senders_packet(key: bytes | None) -> None:
    """Or two reflectors, set on each other with a forged source, would never stop."""
    with pytest.raises(Reflection):
        decode_sender(encode_reflected(ReflectedPacket(0, 1, 0, 0, 1, 0, 0, 0, 0), key), key)


@given(st.binary(max_size=200), KEYS)
def test_any_bytes_are_a_packet_or_a_stamp_error(data: bytes, key: bytes | None) -> None:
    for decode in (decode_sender, decode_reflected):
        try:
            decode(data, key)
        except StampError:
            continue


def test_reflected_padding_is_understood_and_other_tlvs_are_flagged() -> None:
    unknown = bytes.fromhex("80 f0 0002 abcd")
    assert reflected_tlvs(padding(3) + unknown) == bytes.fromhex("00 01 0003 000000 80 f0 0002 abcd")


@pytest.mark.parametrize("tlvs", ["80 01 0009 00", "80 01 00", "80"])
def test_a_tlv_longer_than_the_packet_is_flagged_as_malformed(tlvs: str) -> None:
    data = bytes.fromhex(tlvs)
    assert reflected_tlvs(data) == b"\x40" + data[1:]


@given(st.binary(max_size=300))
def test_reflected_tlvs_never_change_in_size(tlvs: bytes) -> None:
    assert len(reflected_tlvs(tlvs)) == len(tlvs)
