"""Which replies count, which do not, and to which round."""

from __future__ import annotations

import random
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.probes import Measurement
from edge_agent.probes.echo_ledger import LARGEST_COUNT, EchoRound, Ledger, Tally
from edge_agent.probes.echo_statistics import report
from tests.edge_agent.columns import column
from tests.edge_agent.echo_ledger_rig import COUNT, HERE, IDENTIFIER, MS, Exchange, message


def counts(measurement: Measurement) -> tuple[int | None, ...]:
    """Sent, received, late, duplicate, corrupt, in flight, foreign."""
    return (*measurement.values[:6], column(measurement, "foreign"))


def test_replies_in_time_are_received_and_nothing_else_is_counted() -> None:
    exchange = Exchange()
    for place in (0, 1, 2):
        exchange.reply(place, 200 * place + 10)
    measured = exchange.report(500)
    assert counts(measured) == (3, 3, 0, 0, 0, 0, 0)
    assert column(measured, "rtt_p50_us") == 10_000


def test_a_second_reply_is_a_duplicate_and_not_received_twice() -> None:
    exchange = Exchange(sent=1)
    exchange.reply(0, 10)
    exchange.reply(0, 30)
    measured = exchange.report(500)
    assert counts(measured) == (1, 1, 0, 1, 0, 0, 0)
    assert column(measured, "rtt_max_us") == 10_000


def flipped(data: bytes, place: int) -> bytes:
    changed = bytearray(data)
    changed[place] ^= 1
    return bytes(changed)


@pytest.mark.parametrize("damage", ["tail", "head", "cut short", "checksum"])
def test_a_damaged_reply_is_corrupt_and_the_request_stays_unanswered(damage: str) -> None:
    exchange = Exchange(sent=1)
    payload = exchange.round.payload
    damaged = {"tail": flipped(payload, -1), "head": flipped(payload, 0), "cut short": payload[:40]}
    exchange.reply(0, 10, damaged.get(damage, payload), damage != "checksum")
    assert counts(exchange.report(5000)) == (1, 0, 0, 0, 1, 0, 0)


def test_a_good_reply_after_a_damaged_one_still_counts() -> None:
    exchange = Exchange(sent=1)
    exchange.reply(0, 10, exchange.round.payload[:40])
    exchange.reply(0, 20)
    assert counts(exchange.report(5000)) == (1, 1, 0, 0, 1, 0, 0)


def test_replies_to_others_are_ignored() -> None:
    exchange = Exchange(sent=1)
    exchange.reply(0, 10, identifier=8)
    exchange.reply(5, 10)
    exchange.reply(COUNT, 10)
    request = bytearray(message(IDENTIFIER, exchange.round.first_sequence, exchange.round.payload))
    request[0] = 8
    exchange.ledger.received(HERE, bytes(request), 10 * MS, None, None)
    assert counts(exchange.report(5000)) == (1, 0, 0, 0, 0, 0, 0)


def test_a_forged_reply_is_foreign_and_answers_nothing() -> None:
    """Our identifier and a sequence number in use, but from elsewhere, or not with what was sent."""
    exchange = Exchange(sent=1)
    exchange.reply(0, 10, source=("127.0.0.2", 0))
    exchange.reply(0, 10, data=random.Random(99).randbytes(56))
    exchange.reply(0, 10, data=b"")
    assert counts(exchange.report(5000)) == (1, 0, 0, 0, 0, 0, 3)
    again = exchange.send(1, 10_000)
    assert counts(exchange.report(10_500, again)) == (1, 0, 0, 0, 0, 1, 0)


def test_a_link_local_source_is_known_with_and_without_its_zone() -> None:
    ledger = Ledger(socket.AF_INET6, IDENTIFIER, COUNT)
    for source, received in ((("fe80::1%v0", 0, 0, 3), 1), (("fe80::1%v0", 0, 0, 4), 0)):
        each = EchoRound(MS, Tally(), ("fe80::1", 0, 0, 3), b"x" * 56, 1)
        assert ledger.open(each)
        each.sent(0)
        reply = struct.pack("!BBHHH", 129, 0, 0, IDENTIFIER, each.first_sequence) + each.payload
        ledger.received(source, reply, 10, None, None)
        assert counts(report(each, 10)[0])[1] == received


@given(st.binary(max_size=90), st.integers(0, 255))
def test_any_message_is_matched_or_ignored_without_an_error(data: bytes, ttl: int) -> None:
    exchange = Exchange(sent=2)
    exchange.ledger.received(HERE, data, 10, 10, ttl)
    exchange.ledger.received(HERE, message(IDENTIFIER, 0, data), 10, 10, ttl)
    exchange.ledger.transmitted(data, 56, 10)
    assert counts(exchange.report(5000))[:2] == (2, 0)


def test_a_reply_after_its_wait_is_late_not_received() -> None:
    exchange = Exchange(sent=2)
    exchange.reply(0, 1001)
    exchange.reply(1, 1199)
    measured = exchange.report(1300)
    assert counts(measured) == (2, 1, 1, 0, 0, 0, 0)
    assert column(measured, "rtt_max_us") == 999_000


def test_a_reply_that_waited_in_the_socket_is_judged_by_the_kernels_time() -> None:
    exchange = Exchange(sent=1)
    exchange.left(0, 0)
    exchange.reply(0, 4000, kernel_ms=20)
    measured = exchange.report(4000)
    assert counts(measured) == (1, 1, 0, 0, 0, 0, 0)
    assert column(measured, "rtt_min_us") == 20_000


def test_what_comes_after_the_report_is_counted_in_the_links_next_report_once() -> None:
    exchange = Exchange(sent=2)
    exchange.reply(1, 210)
    assert counts(exchange.report(1100)) == (2, 1, 0, 0, 0, 0, 0)
    exchange.reply(0, 3000)
    exchange.reply(1, 3000)
    second = exchange.send(1, 10_000)
    exchange.reply(0, 10_010, of=second)
    assert counts(exchange.report(10_500, second)) == (1, 1, 1, 1, 0, 0, 0)
    third = exchange.send(1, 20_000)
    assert counts(exchange.report(21_000, third)) == (1, 0, 0, 0, 0, 0, 0)


def test_a_request_whose_wait_runs_at_report_time_is_in_flight_not_lost() -> None:
    assert counts(Exchange(sent=3).report(1100)) == (3, 0, 0, 0, 0, 2, 0)


def test_a_reply_in_time_to_a_request_reported_in_flight_is_not_late() -> None:
    exchange = Exchange(sent=1)
    exchange.report(500)
    exchange.reply(0, 900)
    assert exchange.tally == Tally()


def test_a_late_reply_to_a_request_that_no_report_counted_as_lost_hides_no_loss_of_another_round() -> None:
    """Readers take received + late as answers: one without a request that was counted would hide a loss."""
    exchange = Exchange(sent=1)
    exchange.report(500)  # in flight
    cancelled = exchange.send(1, 1_000)  # closed without a report
    exchange.ledger.close(cancelled, 1_500 * MS)
    exchange.reply(0, 3000)
    exchange.reply(0, 3000, of=cancelled)
    lossy = exchange.send(2, 10_000)
    exchange.reply(0, 10_010, of=lossy)
    assert counts(exchange.report(12_000, lossy)) == (2, 1, 0, 0, 0, 0, 0)


def test_old_rounds_are_forgotten_and_young_ones_are_not() -> None:
    exchange = Exchange(sent=1)
    exchange.report(1500)
    young = exchange.send(1, 2_000)
    exchange.report(3500, young)
    exchange.ledger.forget(2000 * MS)
    assert len(exchange.ledger) == 1
    exchange.reply(0, 4000)
    exchange.reply(0, 4000, of=young)
    assert exchange.tally.late == 1


def test_sequence_numbers_of_a_round_that_runs_are_never_given_to_another() -> None:
    ledger = Ledger(socket.AF_INET, IDENTIFIER, 100, first_block=600)
    rounds = [EchoRound(MS, Tally(), HERE, b"x" * 56, 100) for _ in range(655)]
    assert all(map(ledger.open, rounds))
    assert len({each.first_sequence for each in rounds}) == 655
    assert max(each.first_sequence for each in rounds) + 100 <= 65_536
    another = EchoRound(MS, Tally(), HERE, b"x" * 56, 100)
    assert not ledger.open(another)
    ledger.close(rounds[7], 5)
    assert ledger.open(another) and another.first_sequence == rounds[7].first_sequence
    assert len(ledger) == 655


def test_a_closed_round_keeps_little() -> None:
    exchange = Exchange(sent=COUNT)
    exchange.report(9000)
    assert exchange.round.sent_ns == exchange.round.left_ns == exchange.round.reply_ns == []


def test_counts_stop_at_what_their_column_holds() -> None:
    exchange = Exchange(sent=1)
    exchange.tally.duplicate = 70_000
    assert column(exchange.report(5000), "duplicate") == LARGEST_COUNT


def test_the_end_of_a_round_is_announced_once_all_are_sent_and_answered() -> None:
    exchange = Exchange(sent=0)
    announced: list[bool] = []
    new = EchoRound(MS, Tally(), HERE, b"x" * 56, 2, lambda: announced.append(True))
    assert exchange.ledger.open(new)
    new.sent(0)
    exchange.reply(0, 10, of=new)
    assert not announced
    new.sent(200)
    exchange.reply(1, 220, of=new)
    assert announced == [True]
