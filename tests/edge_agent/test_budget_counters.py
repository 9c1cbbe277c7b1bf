"""The data budget beside the interface's own counters."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.budget.budget import SETTLE_S
from edge_agent.budget.calendar_windows import DAY_S, Span
from edge_agent.budget.interface_counters import Counters
from edge_agent.budget.limits import Limits
from tests.edge_agent.budget_rig import Gateway


def looks(gateway: Gateway, received: int, sent: int = 0, index: int = 3) -> None:
    gateway.counters = Counters(index, received, sent)
    gateway.budget.look()


def test_a_ledger_above_what_the_interface_counted_was_too_high(gateway: Gateway) -> None:
    looks(gateway, 1_000_000)
    gateway.book(30_000)
    looks(gateway, 1_005_000, 5_000)
    assert gateway.hour == 30_000  # what was booked just now may still come
    gateway.clock.advance(SETTLE_S)
    looks(gateway, 1_005_000, 5_000)
    gateway.clock.advance(SETTLE_S)
    looks(gateway, 1_005_000, 5_000)
    hour = gateway.budget.summary()[0].spans[Span.HOUR]
    assert (hour.total, hour.corrected, hour.counted) == (10_000, 20_000, 10_000)


def test_a_ledger_below_what_the_interface_counted_is_left_alone(gateway: Gateway) -> None:
    looks(gateway, 0)
    gateway.book(30_000)
    for _ in range(3):
        gateway.clock.advance(SETTLE_S)
        looks(gateway, 500_000)
    assert gateway.hour == 30_000


@pytest.mark.parametrize("index", [3, 4])
def test_an_interface_that_was_made_anew_proves_nothing(gateway: Gateway, index: int) -> None:
    looks(gateway, 6_000_000_000)
    gateway.book(30_000)
    for received in (0, 0, 0):
        gateway.clock.advance(SETTLE_S)
        looks(gateway, received, index=index)
    assert gateway.hour == 30_000


def test_a_counter_of_32_bits_goes_on_where_it_wraps(gateway: Gateway) -> None:
    looks(gateway, (1 << 32) - 1_000, 50)
    looks(gateway, 2_000, 60)
    assert gateway.budget.summary()[0].spans[Span.DAY].counted == 3_010


def test_counters_that_were_never_read_are_not_a_count_of_nothing(gateway: Gateway) -> None:
    def counted() -> int | None:
        return gateway.budget.summary()[0].spans[Span.DAY].counted

    gateway.budget.look()
    assert counted() is None
    looks(gateway, 7_000)
    assert counted() is None  # since when?
    looks(gateway, 7_000)
    assert counted() == 0
    gateway.budget.close()
    gateway.start()
    assert counted() == 0
    gateway.clock.advance(DAY_S)
    assert counted() is None


@settings(max_examples=100)
@given(st.integers(0, 1_000_000), st.floats(1.0, 4.0), st.booleans())
def test_no_correction_takes_off_what_was_really_sent(seed: int, factor: float, others: bool) -> None:
    """Each booking is at least as large as what is sent of it, up to SETTLE_S later."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        gateway = Gateway(Path(folder), limits=Limits(10**9, 10**9, 10**9))
        true, waiting, passed, since_s = 0, [], 0, 0.0
        looks(gateway, 0)
        for _ in range(40):
            if rng.random() < 0.5:
                size = rng.randrange(1, 10_000)
                gateway.book(int(size * factor))
                true += size
                waiting.append((since_s + rng.uniform(0, SETTLE_S - 1), size))
            step_s = rng.uniform(0, 400)
            gateway.clock.advance(step_s)
            since_s += step_s
            passed += sum(size for due_s, size in waiting if due_s <= since_s) + 5_000 * others
            waiting = [each for each in waiting if each[0] > since_s]
            looks(gateway, passed)
            assert gateway.month >= true
