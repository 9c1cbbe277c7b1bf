"""Wi-Fi: messages to and from the kernel's nl80211, real ones of the controller and made ones of a driver."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.probes.netlink80211 import (
    NetlinkError,
    Station,
    attributes,
    family,
    family_request,
    payloads,
    station,
    stations_request,
)
from edge_agent.probes.wifi import ask, only_station, read_wifi

FAMILY = 0x1C


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def message(kind: int, sequence: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 2, sequence, 77) + body


def rate(wide: int | None, narrow: int | None) -> bytes:
    told = b"" if wide is None else attribute(5, struct.pack("=I", wide))
    return told + (b"" if narrow is None else attribute(1, struct.pack("=H", narrow))) + attribute(4, b"")


def told(signal: int = -61, rx: bytes = rate(8667, 8667), tx: bytes = rate(None, 540)) -> bytes:
    """The attributes of a station as drivers send them, others in between."""
    info = attribute(7, struct.pack("=b", signal)) + attribute(8, tx) + attribute(10, b"\1\0\0\0")
    info += attribute(0x8000 | 14, rx)  # nested, by its flag
    return attribute(3, b"\2\0\0\0") + attribute(6, b"\2\0\0\0\0\1") + attribute(21, info)


def test_what_is_asked_is_what_the_kernel_reads() -> None:
    assert family_request(1) == struct.pack("=IHHIIBBH", 32, 16, 5, 1, 0, 3, 1, 0) + attribute(
        2, b"nl80211\0"
    )
    expected = struct.pack("=IHHIIBBH", 28, FAMILY, 0x301, 2, 0, 17, 1, 0) + attribute(3, b"\x05\0\0\0")
    assert stations_request(FAMILY, 2, 5) == expected.replace(b"\x05\0\0\0", struct.pack("=I", 5))


def test_a_station_has_its_signal_and_bit_rates() -> None:
    assert station(told()) == Station(-61, 866_700, 54_000)


def test_the_wider_bit_rate_is_taken_where_there_are_two() -> None:
    assert station(told(rx=rate(96_078, 65_535))).rx_bitrate_kbps == 9_607_800


def test_what_a_driver_does_not_tell_is_unknown_not_zero() -> None:
    assert station(attribute(21, b"")) == Station() == station(b"")
    assert station(told(rx=b"", tx=rate(0, 0))) == Station(-61)


@pytest.mark.parametrize("cut", range(1, len(told())))
def test_a_station_cut_off_is_refused_or_lacks_what_was_cut(cut: int) -> None:
    try:
        assert station(told()[:cut]) == Station()
    except NetlinkError:
        return


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_be_refused(noise: bytes) -> None:
    for read in (attributes, family, station, lambda noise: list(payloads(noise, 1))):
        try:
            read(noise)
        except NetlinkError:
            continue


@given(st.data())
def test_a_changed_byte_does_no_more_either(data: st.DataObject) -> None:
    changed = bytearray(message(FAMILY, 2, b"\x13\1\0\0" + told()))
    changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    try:
        for payload in payloads(bytes(changed), 2):
            station(payload or b"")
    except NetlinkError:
        return


@contextmanager
def kernel(answer: Callable[[bytes], list[bytes]]) -> Iterator[socket.socket]:
    """A socket to something that answers each message as a kernel would."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(1)

    def serve() -> None:
        with suppress(ConnectionError):  # the test may leave while answers wait
            while asked := theirs.recv(4096):
                for each in answer(asked):
                    theirs.send(each)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield ours
    finally:
        ours.close()
        thread.join()
        theirs.close()


def driver(*stations: bytes) -> Callable[[bytes], list[bytes]]:
    """Answers as Linux does: the family, then a dump that ends."""

    def answer(asked: bytes) -> list[bytes]:
        kind, sequence = struct.unpack_from("=4xH2xI", asked)
        if kind == 16:
            head = b"\1\2\0\0" + attribute(2, b"nl80211\0") + attribute(1, struct.pack("=H", FAMILY))
            return [message(16, sequence, head), message(2, sequence, struct.pack("=i", 0) + asked[:16])]
        assert (kind, sequence) == (FAMILY, 2)
        late = message(FAMILY, 1, b"\x13\1\0\0" + told(-99))  # of another question
        found = b"".join(message(FAMILY, 2, b"\x13\1\0\0" + each) for each in stations)
        return [late + found, message(3, 2, struct.pack("=i", 0))]

    return answer


def test_the_station_that_an_interface_talks_to_is_found() -> None:
    with kernel(driver(told())) as opened:
        assert only_station(opened, 3) == Station(-61, 866_700, 54_000)


@pytest.mark.parametrize("stations", [(), (told(), told(-70))])
def test_none_or_many_stations_are_no_link(stations: tuple[bytes, ...]) -> None:
    with kernel(driver(*stations)) as opened:
        assert only_station(opened, 3) is None


def test_a_refusal_is_told() -> None:
    refusal = message(2, 1, struct.pack("=i", -2))
    with kernel(lambda _: [refusal]) as opened, pytest.raises(NetlinkError, match="error 2"):
        only_station(opened, 3)


def test_a_driver_that_never_answers_does_not_hold_the_agent() -> None:
    with kernel(lambda _: []) as opened:
        opened.settimeout(0.05)
        with pytest.raises(TimeoutError):
            only_station(opened, 3)


def test_an_answer_without_end_is_given_up() -> None:
    endless = [message(FAMILY, 1, b"\x13\1\0\0")] * 100
    with kernel(lambda _: endless) as opened, pytest.raises(NetlinkError, match="does not end"):
        ask(opened, family_request(1), 1)


def test_the_kernels_own_controller_is_understood() -> None:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 16) as opened:
        opened.settimeout(5)
        assert [family(each) for each in ask(opened, family_request(1, "nlctrl"), 1)] == [16]
        with pytest.raises(NetlinkError, match="error 2"):
            ask(opened, family_request(2, "no-such-family"), 2)


def test_an_interface_without_wifi_is_not_asked_about(tmp_path: Path) -> None:
    (tmp_path / "eth0").mkdir()
    assert read_wifi("eth0", 2, tmp_path) is None
    (tmp_path / "wlan0" / "phy80211").mkdir(parents=True)
    assert read_wifi("wlan0", 0, tmp_path) is None  # no kernel has an interface of index 0
