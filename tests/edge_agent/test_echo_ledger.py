"""Which replies count, which do not, and whose timestamps are believed."""

from __future__ import annotations

import random
import socket
from collections.abc import Sequence

import pytest

from edge_agent.contract import KINDS, Flag
from edge_agent.probes import Measurement
from edge_agent.probes.echo_ledger import EchoRound, Ledger, Sample, Tally, round_trip
from edge_agent.probes.echo_statistics import report
from edge_agent.probes.icmp_packet import EchoMessage
from edge_agent.probes.icmp_socket import Stamp
from edge_agent.probes.resolve import Endpoint

MS = 1_000_000
KERNEL = Flag.KERNEL_SENT | Flag.KERNEL_RECEIVED
HERE = Endpoint(socket.AF_INET, "127.0.0.1")


def column(measurement: Measurement, name: str) -> int | None:
    names = [each.name for each in KINDS["echo"].columns]
    return measurement.values[names.index(name)]


def counts(measurement: Measurement) -> tuple[int | None, ...]:
    """Sent, received, late, duplicate, corrupt, in flight."""
    return measurement.values[:6]


def at(ms: float, kernel: bool = False) -> Stamp:
    """A moment on both clocks."""
    return Stamp(int(ms * MS), 10**18 + int(ms * MS), 10**18 + int(ms * MS) if kernel else None)


class Exchange:
    """A ledger with a round of requests sent 200 ms apart, sequences 0, 1, ... of identifier 7."""

    def __init__(self, sent: int = 3, wait_ms: int = 1000) -> None:
        self.ledger = Ledger(7)
        self.tally = Tally()
        self.round = self.send(range(sent), 0, wait_ms)

    def send(self, sequences: Sequence[int], start_ms: int, wait_ms: int = 1000) -> EchoRound:
        new = EchoRound(wait_ms * MS, self.tally)
        for turn, sequence in enumerate(sequences):
            self.ledger.sent(Sample(new, HERE, sequence, payload(sequence), at(start_ms + 200 * turn)))
        return new

    def reply(
        self, sequence: int, ms: float, data: bytes | None = None, intact: bool = True, identifier: int = 7
    ) -> None:
        message = EchoMessage(identifier, sequence, payload(sequence) if data is None else data, intact)
        self.ledger.received(HERE, message, at(ms))


def payload(sequence: int) -> bytes:
    return random.Random(sequence).randbytes(56)


# --- matching ------------------------------------------------------------------------------


def test_replies_in_time_are_received_and_nothing_else_is_counted() -> None:
    exchange = Exchange()
    for sequence in (0, 1, 2):
        exchange.reply(sequence, 200 * sequence + 10)
    measured = report(exchange.round, 500 * MS)
    assert counts(measured) == (3, 3, 0, 0, 0, 0)
    assert column(measured, "rtt_p50_us") == 10_000


def test_a_second_reply_is_a_duplicate_and_not_received_twice() -> None:
    exchange = Exchange(sent=1)
    exchange.reply(0, 10)
    exchange.reply(0, 30)
    measured = report(exchange.round, 500 * MS)
    assert counts(measured) == (1, 1, 0, 1, 0, 0)
    assert column(measured, "rtt_max_us") == 10_000


@pytest.mark.parametrize(
    ("data", "intact"),
    [
        (payload(0)[:-1] + bytes([payload(0)[-1] ^ 1]), True),
        (bytes([payload(0)[0] ^ 1]) + payload(0)[1:], True),
        (payload(0)[:40], True),
        (payload(0), False),
    ],
    ids=["tail", "head", "cut short", "checksum"],
)
def test_a_damaged_reply_is_corrupt_and_the_request_stays_unanswered(data: bytes, intact: bool) -> None:
    exchange = Exchange(sent=1)
    exchange.reply(0, 10, data, intact)
    assert counts(report(exchange.round, 5000 * MS)) == (1, 0, 0, 0, 1, 0)


def test_a_good_reply_after_a_damaged_one_still_counts() -> None:
    exchange = Exchange(sent=1)
    exchange.reply(0, 10, payload(0)[:40])
    exchange.reply(0, 20)
    assert counts(report(exchange.round, 5000 * MS)) == (1, 1, 0, 0, 1, 0)


def test_replies_to_others_are_ignored() -> None:
    exchange = Exchange(sent=1)
    exchange.reply(0, 10, identifier=8)
    exchange.reply(0, 10, data=payload(99))
    exchange.reply(0, 10, data=b"")
    exchange.reply(5, 10)
    elsewhere = Endpoint(socket.AF_INET, "127.0.0.2")
    exchange.ledger.received(elsewhere, EchoMessage(7, 0, payload(0)), at(10))
    assert counts(report(exchange.round, 5000 * MS)) == (1, 0, 0, 0, 0, 0)


def test_a_reply_after_its_wait_is_late_not_received() -> None:
    exchange = Exchange(sent=2)
    exchange.reply(0, 1001)
    exchange.reply(1, 1199)
    measured = report(exchange.round, 1300 * MS)
    assert counts(measured) == (2, 1, 1, 0, 0, 0)
    assert column(measured, "rtt_max_us") == 999_000


def test_a_reply_that_waited_in_the_socket_is_judged_by_the_kernels_time() -> None:
    exchange = Exchange(sent=1)
    exchange.ledger.transmitted(0, payload(0), 10**18)
    stalled = Stamp(4000 * MS, 10**18 + 4000 * MS, 10**18 + 20 * MS)
    exchange.ledger.received(HERE, EchoMessage(7, 0, payload(0)), stalled)
    measured = report(exchange.round, 4000 * MS)
    assert counts(measured) == (1, 1, 0, 0, 0, 0)
    assert column(measured, "rtt_min_us") == 20_000


def test_what_comes_after_the_report_is_counted_in_the_links_next_report_once() -> None:
    exchange = Exchange(sent=2)
    exchange.reply(1, 210)
    assert counts(report(exchange.round, 1100 * MS)) == (2, 1, 0, 0, 0, 0)
    exchange.reply(0, 3000)
    exchange.reply(1, 3000)
    second = exchange.send([10], 10_000)
    exchange.reply(10, 10_010)
    assert counts(report(second, 10_500 * MS)) == (1, 1, 1, 1, 0, 0)
    third = exchange.send([11], 20_000)
    assert counts(report(third, 21_000 * MS)) == (1, 0, 0, 0, 0, 0)


def test_a_request_whose_wait_runs_at_report_time_is_in_flight_not_lost() -> None:
    exchange = Exchange(sent=3)
    assert counts(report(exchange.round, 1100 * MS)) == (3, 0, 0, 0, 0, 2)


def test_a_reply_in_time_to_a_request_reported_in_flight_is_not_late() -> None:
    exchange = Exchange(sent=1)
    report(exchange.round, 500 * MS)
    exchange.reply(0, 900)
    assert exchange.tally == Tally()


def test_a_late_reply_to_a_request_that_no_report_counted_as_lost_hides_no_loss_of_another_round() -> None:
    """Readers take received + late as answers: one without a request that was counted would hide a loss."""
    exchange = Exchange(sent=1)
    report(exchange.round, 500 * MS)  # in flight
    exchange.send([5], 1_000)  # a round that is cancelled and never reported
    exchange.reply(0, 3000)
    exchange.reply(5, 3000)
    lossy = exchange.send([10, 11], 10_000)
    exchange.reply(10, 10_010)
    assert counts(report(lossy, 12_000 * MS)) == (2, 1, 0, 0, 0, 0)


def test_old_requests_are_forgotten_and_young_ones_are_not() -> None:
    exchange = Exchange(sent=3)
    exchange.ledger.forget(200 * MS)
    assert len(exchange.ledger) == 2
    exchange.reply(0, 300)
    exchange.reply(1, 300)
    assert exchange.round.unanswered == 2


def test_a_sequence_number_that_comes_round_again_belongs_to_the_new_request() -> None:
    exchange = Exchange(sent=2)
    again = exchange.send([0], 5000)
    exchange.reply(0, 5010)
    assert again.unanswered == 0
    exchange.ledger.forget(1000 * MS)
    assert len(exchange.ledger) == 1


def test_the_end_of_a_round_is_announced_once_all_have_answered() -> None:
    exchange = Exchange(sent=2)
    announced: list[bool] = []
    exchange.round.answered = lambda: announced.append(True)
    exchange.reply(1, 210)
    assert not announced
    exchange.reply(0, 220)
    assert announced == [True]


# --- timestamps ------------------------------------------------------------------------------


def test_kernel_stamps_are_used_when_both_are_there() -> None:
    reply = Stamp(30 * MS, 10**18 + 30 * MS, 10**18 + 21 * MS)
    assert round_trip(at(0), 10**18 + MS, reply) == (20 * MS, KERNEL)


def test_one_kernel_stamp_is_used_with_user_spaces_other_and_said_so() -> None:
    assert round_trip(at(0), 10**18 + MS, at(30)) == (29 * MS, Flag.KERNEL_SENT)
    reply = Stamp(30 * MS, 10**18 + 30 * MS, 10**18 + 21 * MS)
    assert round_trip(at(0), None, reply) == (21 * MS, Flag.KERNEL_RECEIVED)


def test_without_kernel_stamps_monotonic_time_counts() -> None:
    assert round_trip(at(0), None, at(30)) == (30 * MS, Flag.NONE)


@pytest.mark.parametrize("step_ms", [-15, 15, 3_600_000, -3_600_000])
def test_a_step_of_the_wall_clock_does_not_reach_the_round_trip(step_ms: int) -> None:
    wall = 10**18 + (30 + step_ms) * MS
    reply = Stamp(30 * MS, wall, wall - MS)
    assert round_trip(at(0), 10**18 + MS, reply) == (30 * MS, Flag.NONE)


def test_a_kernel_time_that_contradicts_user_space_is_not_believed() -> None:
    assert round_trip(at(0), 10**18 + 40 * MS, Stamp(30 * MS, 10**18 + 30 * MS, 10**18 + 29 * MS)) == (
        30 * MS,
        Flag.NONE,
    )


def test_a_reading_is_kernel_stamped_only_if_every_reply_is() -> None:
    exchange = Exchange(sent=2)
    for sequence, kernel in ((0, True), (1, False)):
        start = 10**18 + 200 * sequence * MS
        exchange.ledger.transmitted(sequence, payload(sequence), start)
        reply = at(200 * sequence + 10, kernel)
        exchange.ledger.received(HERE, EchoMessage(7, sequence, payload(sequence)), reply)
    assert report(exchange.round, 5000 * MS).flags == Flag.KERNEL_SENT


def test_a_transmission_stamp_goes_to_the_request_with_that_payload_alone() -> None:
    exchange = Exchange(sent=2)
    exchange.ledger.transmitted(0, payload(1), 5)
    exchange.ledger.transmitted(9, payload(9), 5)
    exchange.ledger.transmitted(1, payload(1), 6)
    assert [sample.transmitted_ns for sample in exchange.round.samples] == [None, 6]
