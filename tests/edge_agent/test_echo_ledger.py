"""Which replies count, which do not, and whose timestamps are believed."""

from __future__ import annotations

import random
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.contract import KINDS, Flag
from edge_agent.probes import Measurement
from edge_agent.probes.echo_ledger import LARGEST_COUNT, EchoRound, Ledger, Tally
from edge_agent.probes.echo_statistics import report
from edge_agent.probes.icmp_packet import checksum

MS = 1_000_000
KERNEL = Flag.KERNEL_SENT | Flag.KERNEL_RECEIVED
HERE = ("127.0.0.1", 0)
COUNT = 10
IDENTIFIER = 7


def column(measurement: Measurement, name: str) -> int | None:
    names = [each.name for each in KINDS["echo"].columns]
    return measurement.values[names.index(name)]


def counts(measurement: Measurement) -> tuple[int | None, ...]:
    """Sent, received, late, duplicate, corrupt, in flight, foreign."""
    return (*measurement.values[:6], column(measurement, "foreign"))


def message(identifier: int, sequence: int, data: bytes, intact: bool = True) -> bytes:
    """An echo reply."""
    blank = struct.pack("!BBHHH", 0, 0, 0, identifier, sequence) + data
    check = checksum(blank) ^ (not intact)
    return blank[:2] + check.to_bytes(2, "big") + blank[4:]


class Exchange:
    """A ledger with a round of requests sent 200 ms apart, by an identifier of 7."""

    def __init__(self, sent: int = 3, wait_ms: int = 1000) -> None:
        self.ledger = Ledger(socket.AF_INET, IDENTIFIER, COUNT)
        self.tally = Tally()
        self.round = self.send(sent, 0, wait_ms)

    def send(self, requests: int, start_ms: int, wait_ms: int = 1000) -> EchoRound:
        payload = random.Random(start_ms).randbytes(56)
        new = EchoRound(wait_ms * MS, self.tally, HERE, payload, requests)
        assert self.ledger.open(new)
        for turn in range(requests):
            new.sent((start_ms + 200 * turn) * MS)
        return new

    def reply(
        self,
        place: int,
        ms: float,
        data: bytes | None = None,
        intact: bool = True,
        identifier: int = IDENTIFIER,
        of: EchoRound | None = None,
        kernel_ms: float | None = None,
        source: tuple[str, int] = HERE,
        ttl: int | None = None,
    ) -> None:
        of = of or self.round
        reply = message(identifier, of.first_sequence + place, of.payload if data is None else data, intact)
        kernel_ns = None if kernel_ms is None else int(kernel_ms * MS)
        self.ledger.received(source, reply, int(ms * MS), kernel_ns, ttl)

    def left(self, place: int, ms: float, of: EchoRound | None = None) -> None:
        of = of or self.round
        assert of.form
        packet = b"\0" * 34 + of.form.request(of.first_sequence + place)
        self.ledger.transmitted(packet, 56, int(ms * MS))

    def report(self, ms: int, of: EchoRound | None = None) -> Measurement:
        """The round's report, after which it is closed."""
        of = of or self.round
        measured, _ = report(of, ms * MS)
        self.ledger.close(of, ms * MS)
        return measured


# --- matching ------------------------------------------------------------------------------


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


# --- hop counts -----------------------------------------------------------------------------


def test_another_hop_count_than_before_is_a_changed_path_once() -> None:
    exchange = Exchange(sent=1)
    told = []
    for turn, ttl in enumerate((64, 64, 57, 57)):
        each = exchange.send(1, 1000 * (turn + 1))
        exchange.reply(0, 1000 * (turn + 1) + 10, of=each, ttl=ttl)
        measured = exchange.report(1000 * (turn + 1) + 20, each)
        told.append((column(measured, "reply_ttl"), Flag.PATH_CHANGED in measured.flags))
    assert told == [(64, False), (64, False), (57, True), (57, False)]


def test_a_round_without_replies_has_no_hop_count_and_forgets_none() -> None:
    exchange = Exchange(sent=1)
    exchange.reply(0, 10, ttl=64)
    exchange.report(20)
    silent = exchange.send(1, 1000)
    assert column(exchange.report(3000, silent), "reply_ttl") is None
    changed = exchange.send(1, 4000)
    exchange.reply(0, 4010, of=changed, ttl=63)
    assert Flag.PATH_CHANGED in exchange.report(4020, changed).flags


# --- timestamps ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left_ms", "kernel_ms", "trip_us", "flags"),
    [
        (1, 21, 20_000, KERNEL),
        (1, None, 29_000, Flag.KERNEL_SENT),
        (None, 21, 21_000, Flag.KERNEL_RECEIVED),
        (None, None, 30_000, Flag.NONE),
        (1, 3_600_021, 29_000, Flag.KERNEL_SENT),
        (1, -3_600_000, 29_000, Flag.KERNEL_SENT),
        (-3_600_000, 21, 21_000, Flag.KERNEL_RECEIVED),
        (25, 21, 21_000, Flag.KERNEL_RECEIVED),
    ],
    ids=["both", "sent", "received", "none", "after it was seen", "before it was sent", "too old", "crossed"],
)
def test_the_kernels_stamps_count_where_they_can_be_true_and_the_flags_say_which(
    left_ms: float | None, kernel_ms: float | None, trip_us: int, flags: Flag
) -> None:
    """Sent at 0 ms, seen at 30 ms by user space."""
    exchange = Exchange(sent=1)
    if left_ms is not None:
        exchange.left(0, left_ms)
    exchange.reply(0, 30, kernel_ms=kernel_ms)
    measured = exchange.report(500)
    assert (column(measured, "rtt_min_us"), measured.flags) == (trip_us, flags)


def test_a_reading_is_kernel_stamped_only_if_every_reply_is() -> None:
    exchange = Exchange(sent=2)
    for place, kernel_ms in ((0, 10), (1, None)):
        exchange.left(place, 200 * place)
        exchange.reply(place, 200 * place + 10, kernel_ms=kernel_ms)
    assert exchange.report(5000).flags == Flag.KERNEL_SENT


def test_a_transmission_stamp_goes_to_the_request_with_that_payload_alone() -> None:
    exchange = Exchange(sent=2)
    other = exchange.send(1, 5)
    assert other.form
    exchange.ledger.transmitted(other.form.request(exchange.round.first_sequence), 56, 6 * MS)
    exchange.left(1, 200)
    exchange.left(2, 200)
    assert exchange.round.left_ns == [None, 200 * MS]


def test_a_step_of_the_clock_is_flagged_with_or_without_replies() -> None:
    assert report(Exchange(sent=1).round, 500 * MS, stepped=True)[0].flags == Flag.CLOCK_STEPPED
