"""The discovery child's messages and its ledger: what it says, and how it counts."""

from __future__ import annotations

import pytest

from edge_agent.discovery.messages import (
    MAX_FINDINGS,
    ChildError,
    Hop,
    Neighbour,
    read_hops,
    read_neighbours,
    write,
    write_error,
)
from edge_agent.discovery.trace_ledger import Answer, TraceLedger

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
