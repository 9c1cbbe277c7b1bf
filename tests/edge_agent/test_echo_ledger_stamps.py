"""The hop counts and the timestamps of echo replies, and which are believed."""

from __future__ import annotations

import pytest

from edge_agent.contract import Flag
from edge_agent.probes.echo_statistics import report
from tests.edge_agent.columns import column
from tests.edge_agent.echo_ledger_rig import MS, Exchange

KERNEL = Flag.KERNEL_SENT | Flag.KERNEL_RECEIVED


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
