"""The data budget: never over its limit, never less than what was spent, whatever crashes or clocks do."""

from __future__ import annotations

import asyncio
import logging
import random
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.budget import Purpose, Spend, Unlimited
from edge_agent.budget.budget import MARGIN_BYTES, SETTLE_S, Budget
from edge_agent.budget.calendar_windows import DAY_S, HOUR_S, Span, end_of, start_of
from edge_agent.budget.interface_counters import Counters
from edge_agent.budget.ledger_file import LedgerDamaged, LedgerFile, decode
from edge_agent.budget.limits import Limits, limits
from edge_agent.budget.window import Window, window
from edge_agent.clock import ManualClock

WAN = "wwan0"
SMALL = Limits(month=3_000_000, day=300_000, hour=75_000, reserve=0.1)
NOON_MS = 1_700_049_600_000
"""2023-11-15 12:00 UTC."""
MONTH_S = 30 * DAY_S


@dataclass
class Gateway:
    """A clock, a disk, and a budget that can lose its power."""

    folder: Path
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOON_MS))
    limits: Limits = SMALL
    counters: Counters | None = None
    boots: int = 0

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.budget = Budget(
            LedgerFile(self.folder / "budget"),
            self.clock,
            lambda meter: self.limits,
            [WAN],
            counters=lambda name: self.counters,
        )

    def crash(self) -> None:
        """The process ends without a word; the next one starts in the same boot."""
        self.start()

    def power_cut(self, wall_ms: int, synced: bool) -> None:
        """The machine ends, and starts with that wall clock."""
        self.boots += 1
        self.clock.reboot(wall_ms, f"boot {self.boots}", synced)
        self.start()

    def book(self, size: int, purpose: Purpose = Purpose.PROBE) -> bool:
        return self.budget.book(purpose, size, WAN)

    @property
    def hour(self) -> int:
        return self.budget.summary()[0].hour

    @property
    def day(self) -> int:
        return self.budget.summary()[0].day

    @property
    def month(self) -> int:
        return self.budget.summary()[0].month


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return Gateway(tmp_path)


# --- windows --------------------------------------------------------------------------------------


def test_a_month_begins_on_the_reset_day_at_midnight_utc() -> None:
    at_s = NOON_MS // 1000
    assert start_of(Span.MONTH, at_s) == 1_698_796_800  # 2023-11-01
    assert start_of(Span.MONTH, at_s, 15) == 1_700_006_400  # 2023-11-15
    assert start_of(Span.MONTH, at_s, 16) == 1_697_414_400  # 2023-10-16
    assert end_of(Span.MONTH, 1_697_414_400, 16) == 1_700_092_800  # 2023-11-16
    january_s = 1_704_067_200  # 2024-01-01
    assert start_of(Span.MONTH, january_s, 2) == 1_701_475_200  # 2023-12-02
    assert end_of(Span.MONTH, 1_701_475_200, 2) == 1_704_153_600  # 2024-01-02


@given(st.floats(-1e12, 1e12), st.sampled_from([*Span]), st.integers(1, 28))
def test_windows_lie_one_after_the_other(at_s: float, span: Span, reset_day: int) -> None:
    start_s = start_of(span, at_s, reset_day)
    assert start_s == start_of(span, start_s, reset_day)
    assert start_s <= min(max(at_s, 31 * DAY_S), 32_503_680_000) < (end_s := end_of(span, start_s, reset_day))
    assert start_of(span, end_s, reset_day) == end_s or end_s > 32_503_680_000
    assert start_of(span, end_s - 1, reset_day) == start_s or end_s > 32_503_680_000


# --- limits and priorities ------------------------------------------------------------------------


def test_limits_that_are_not_set_follow_from_the_links_and_from_each_other() -> None:
    assert limits(0, 0, 0, 0.05, 0) == Limits(30_000_000, 3_000_000, 750_000)
    assert limits(0, 0, 0, 0.05, 2) == Limits(60_000_000, 6_000_000, 1_500_000)
    assert limits(10, 20, 30, 0, 1) == Limits(10_000_000, 10_000_000, 10_000_000, 0)


def test_nothing_is_asked_where_bytes_are_free(gateway: Gateway) -> None:
    for spend in (gateway.budget, Unlimited()):
        assert spend.book(Purpose.SPEED, 1 << 40, "")
        spend.correct(Purpose.SPEED, 1, "")
    assert gateway.month == 0


def test_the_lower_a_purpose_the_earlier_it_is_held_back(gateway: Gateway) -> None:
    filled = {}
    for purpose in sorted(Purpose, reverse=True):
        while gateway.book(100, purpose):
            pass
        filled[purpose] = gateway.hour
    by_priority = [filled[purpose] for purpose in Purpose]
    assert by_priority == sorted(by_priority, reverse=True)
    assert filled[Purpose.SPEED] < filled[Purpose.BACKFILL] < filled[Purpose.PROBE] < filled[Purpose.LIVE]


def test_the_reserve_is_for_alarms_alone(gateway: Gateway) -> None:
    while gateway.book(100, Purpose.LIVE):
        pass
    assert gateway.hour == SMALL.hour * 0.9
    assert not gateway.book(1, Purpose.CONTROL)
    while gateway.book(100, Purpose.ALARM):
        pass
    assert gateway.hour == SMALL.hour


@pytest.mark.parametrize(
    ("narrow", "later_s", "why"),
    [
        (Limits(10**9, 10**9, 1_000), HOUR_S, "hour"),
        (Limits(10**9, 1_000, 10**9), DAY_S, "day"),
        (Limits(1_000, 10**9, 10**9), MONTH_S, "month"),
    ],
)
def test_each_window_refuses_by_itself_and_opens_again(
    tmp_path: Path, narrow: Limits, later_s: int, why: str
) -> None:
    gateway = Gateway(tmp_path, limits=narrow)
    assert gateway.book(900)
    assert not gateway.book(900)
    assert f"the {why}'s" in gateway.budget.why(Purpose.PROBE, 900, WAN)
    gateway.clock.advance(later_s)
    assert gateway.book(900)


def test_what_it_really_cost_is_counted_even_above_the_limit(gateway: Gateway) -> None:
    assert gateway.book(1_000)
    gateway.budget.correct(Purpose.CONTROL, 80_000, WAN)
    assert gateway.hour == 81_000
    assert not gateway.book(1, Purpose.ALARM)
    gateway.budget.correct(Purpose.CONTROL, -79_000, WAN)
    assert gateway.hour == 2_000


def test_interfaces_have_ledgers_of_their_own(gateway: Gateway) -> None:
    gateway.budget.book(Purpose.PROBE, 500, "ppp0")
    assert [(each.interface, each.hour) for each in gateway.budget.summary()] == [("ppp0", 500), (WAN, 0)]


def test_a_refusal_is_logged_once_and_its_end_too(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    gateway.book(60_000)
    for _ in range(3):
        assert not gateway.book(20_000)
        assert gateway.book(10)  # what is smaller fits, and means nothing
    gateway.clock.advance(HOUR_S)
    for _ in range(3):
        assert gateway.book(20_000)
    assert [record.message for record in caplog.records] == [
        "the data budget of wwan0 admits no probe now",
        "the data budget of wwan0 admits probe again",
    ]


def test_back_fill_waits_when_it_is_told_to(tmp_path: Path) -> None:
    asked = []

    def holds(meter: str, spent: int, limit: int) -> bool:
        asked.append((meter, spent, limit))
        return True

    file = LedgerFile(tmp_path / "budget")
    budget = Budget(file, ManualClock(NOON_MS), lambda meter: SMALL, holds_backfill=holds)
    assert not budget.book(Purpose.BACKFILL, 10, WAN)
    assert budget.book(Purpose.LIVE, 10, WAN)
    assert asked == [(WAN, 0, SMALL.month)]


# --- crashes --------------------------------------------------------------------------------------


def test_after_a_stop_the_ledger_is_exact(gateway: Gateway) -> None:
    gateway.book(12_345)
    gateway.budget.close()
    gateway.start()
    assert (gateway.hour, gateway.day, gateway.month) == (12_345,) * 3


def test_after_a_crash_what_may_not_be_in_the_file_counts_as_spent(gateway: Gateway) -> None:
    gateway.book(1_000)
    gateway.crash()
    assert gateway.month == MARGIN_BYTES  # nothing of it had been written
    gateway.crash()
    assert gateway.month == 2 * MARGIN_BYTES


def test_a_crash_loop_ends_in_a_spent_budget_not_in_an_open_one(gateway: Gateway) -> None:
    for _ in range(10):
        gateway.crash()
    assert not gateway.book(1, Purpose.LIVE)


def test_what_is_larger_than_the_margin_is_on_the_disk_before_its_first_byte(gateway: Gateway) -> None:
    assert gateway.book(60_000, Purpose.LIVE)
    kept = LedgerFile(gateway.folder / "budget").read()
    assert kept is not None
    assert kept.meters[WAN].windows[Span.MONTH].total == 60_000


def test_a_first_booking_of_an_interface_that_no_file_knows_is_written(gateway: Gateway) -> None:
    gateway.budget.book(Purpose.LIVE, 10, "ppp0")
    kept = LedgerFile(gateway.folder / "budget").read()
    assert kept is not None
    assert kept.meters["ppp0"].windows[Span.HOUR].total == 10


def test_a_torn_copy_costs_nothing(gateway: Gateway) -> None:
    gateway.book(1_000)
    gateway.budget.close()
    path = gateway.folder / "budget"
    path.write_bytes(path.read_bytes()[:-7])
    gateway.start()
    assert gateway.month == 1_000


@pytest.mark.parametrize("name", ["budget", "budget.copy"])
def test_a_copy_that_the_disk_does_not_give_costs_nothing_and_the_other_goes_on(
    gateway: Gateway, name: str
) -> None:
    gateway.book(1_000)
    gateway.budget.close()
    (gateway.folder / name).unlink()
    (gateway.folder / name).mkdir()  # neither read nor replaced, as on a bad sector
    gateway.start()
    assert gateway.month == 1_000
    assert gateway.book(60_000)
    gateway.budget.close()
    gateway.start()
    assert gateway.month == 61_000


def test_a_ledger_from_before_the_last_purpose_goes_on(gateway: Gateway) -> None:
    gateway.book(1_000)
    written = gateway.budget.summary()[0].spans[Span.MONTH]
    plain = Window(5, list(written.by_purpose), charged=7).describe()
    plain["spent"].pop()
    assert window(plain) == Window(5, list(written.by_purpose), charged=7)
    plain["spent"].pop()
    with pytest.raises(ValueError, match="5 purposes"):
        window(plain)


def test_a_ledger_of_which_nothing_can_be_read_counts_as_spent_but_for_alarms(gateway: Gateway) -> None:
    gateway.budget.close()
    for path in gateway.folder.iterdir():
        path.write_bytes(b"\xff" + path.read_bytes())
    gateway.start()
    assert not gateway.book(1, Purpose.LIVE)
    assert gateway.book(1, Purpose.ALARM)
    gateway.clock.advance(HOUR_S)
    assert not gateway.book(1, Purpose.LIVE)  # the day is as unknown
    gateway.clock.advance(MONTH_S)
    assert gateway.book(1, Purpose.SPEED)


def test_after_damage_an_interface_that_turns_up_later_is_as_unknown(gateway: Gateway) -> None:
    for path in gateway.folder.iterdir():
        path.write_bytes(b"")
    gateway.start()
    gateway.crash()  # the file is good again
    assert not gateway.budget.book(Purpose.LIVE, 1, "ppp0")
    gateway.clock.advance(MONTH_S)
    assert gateway.budget.book(Purpose.LIVE, 1, "ppp1")


def test_early_in_the_month_damage_costs_only_the_days_that_have_begun(gateway: Gateway) -> None:
    gateway.clock.step(-13 * DAY_S)  # the second of the month
    for path in gateway.folder.iterdir():
        path.write_bytes(b"")
    gateway.start()
    assert gateway.month == 2 * SMALL.day


@given(st.binary(max_size=200), st.integers(0, 5_000))
def test_no_bytes_are_a_ledger_but_those_that_were_written(noise: bytes, at: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        gateway = Gateway(Path(folder))
        data = (gateway.folder / "budget").read_bytes()
    at %= len(data)
    changed = data[:at] + noise + data[at + len(noise) :]
    if changed != data:
        with pytest.raises(LedgerDamaged):
            decode(changed)


def test_where_the_file_cannot_be_written_probes_wait_and_alarms_go(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    beside = [gateway.folder / name for name in (".budget.new", ".budget.copy.new")]
    for each in beside:
        each.mkdir()  # no file can be made under this name
    assert gateway.book(20_000)  # within the margin that a crash would count
    assert not gateway.book(20_000)
    assert "cannot be written: Is a directory" in gateway.budget.why(Purpose.PROBE, 20_000, WAN)
    assert gateway.book(1_000, Purpose.ALARM)
    assert gateway.book(1_000, Purpose.LIVE)
    assert gateway.hour == 22_000
    for each in beside:
        each.rmdir()
    assert gateway.book(20_000)
    told = [record.message for record in caplog.records if record.levelno >= logging.ERROR]
    assert told == ["the ledger of the data budget cannot be written: Is a directory"]


def test_the_file_is_written_beside_the_event_loop_before_it_must_be_on_it(tmp_path: Path) -> None:
    async def main() -> None:
        gateway = Gateway(tmp_path, limits=Limits(10**9, 10**9, 10**9))
        runs = asyncio.create_task(gateway.budget.run())
        gateway.book(MARGIN_BYTES // 2 + 1)
        file = LedgerFile(tmp_path / "budget")
        for _ in range(1_000):
            kept = file.read()
            assert kept is not None
            if kept.meters[WAN].windows[Span.HOUR].total:
                break
            await asyncio.sleep(0.01)
        else:
            pytest.fail("it was never written")
        runs.cancel()

    asyncio.run(main())


# --- clocks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("step_s", [-MONTH_S, MONTH_S, -NOON_MS // 1000, 40 * 365 * DAY_S])
def test_a_clock_that_is_not_synchronised_moves_no_window(gateway: Gateway, step_s: int) -> None:
    gateway.book(10_000)
    gateway.clock.is_synced = False
    gateway.clock.step(step_s)
    assert (gateway.hour, gateway.day, gateway.month) == (10_000,) * 3
    gateway.clock.advance(HOUR_S)
    assert (gateway.hour, gateway.day, gateway.month) == (0, 10_000, 10_000)


@pytest.mark.parametrize("wall_ms", [0, NOON_MS - MONTH_S * 1000, NOON_MS + MONTH_S * 1000])
def test_a_board_that_wakes_up_at_any_time_goes_on_where_it_was(gateway: Gateway, wall_ms: int) -> None:
    gateway.book(10_000)
    gateway.budget.close()
    gateway.power_cut(wall_ms, synced=False)
    assert (gateway.hour, gateway.day, gateway.month) == (10_000,) * 3


def test_what_was_spent_before_the_first_synchronisation_is_of_the_month_that_it_shows(
    tmp_path: Path,
) -> None:
    gateway = Gateway(tmp_path, clock=ManualClock(0, synced=False))
    assert gateway.book(50_000)
    gateway.clock.advance(600)
    gateway.clock.step(NOON_MS / 1000)
    gateway.clock.is_synced = True
    assert (gateway.hour, gateway.day, gateway.month) == (50_000,) * 3
    gateway.clock.advance(HOUR_S)
    assert (gateway.hour, gateway.day) == (0, 50_000)


def test_after_months_without_power_what_is_spent_before_the_clock_is_set_is_of_the_new_month(
    gateway: Gateway,
) -> None:
    gateway.book(10_000)
    gateway.budget.close()
    gateway.power_cut(NOON_MS, synced=False)
    gateway.book(20_000)
    gateway.clock.step(2 * MONTH_S)
    gateway.clock.is_synced = True
    assert (gateway.hour, gateway.day, gateway.month) == (20_000,) * 3


def test_a_synchronised_clock_that_was_set_back_gets_its_window_back_with_what_was_spent_since(
    gateway: Gateway,
) -> None:
    gateway.book(10_000)
    gateway.clock.step(MONTH_S)
    gateway.book(20_000)
    gateway.clock.step(-MONTH_S)
    assert gateway.month == 30_000


class Trial:
    """A gateway, and what it truly spent when."""

    def __init__(self, folder: Path) -> None:
        self.gateway = Gateway(folder)
        self.spent: list[tuple[float, int]] = []
        self.true_s = NOON_MS / 1000
        self.was_always_sure = True

    def book(self, size: int, purpose: Purpose) -> None:
        if self.gateway.book(size, purpose):
            self.spent.append((self.true_s, size))

    def advance(self, seconds: int) -> None:
        self.gateway.clock.advance(seconds)
        self.true_s += seconds

    def crash(self) -> None:
        self.gateway.crash()

    def stop(self) -> None:
        self.gateway.budget.close()
        self.gateway.start()

    def cut(self, off_s: int, wall_ms: int) -> None:
        self.true_s += off_s
        self.gateway.power_cut(wall_ms, synced=False)
        self.was_always_sure = False

    def cut_briefly(self) -> None:
        self.true_s += 30
        self.gateway.power_cut(round(self.true_s * 1000), synced=True)

    def sync(self) -> None:
        self.gateway.clock.step(self.true_s - self.gateway.clock.wall_ms() / 1000)
        self.gateway.clock.is_synced = True

    def lose_clock(self, step_s: int) -> None:
        self.gateway.clock.is_synced = False
        self.gateway.clock.step(step_s)

    def check(self) -> None:
        gateway = self.gateway
        known = {Span.HOUR: gateway.hour, Span.DAY: gateway.day, Span.MONTH: gateway.month}
        for span in Span:
            begun_s = start_of(span, self.true_s)
            truly = sum(size for at_s, size in self.spent if at_s >= begun_s)
            # A window of a time that is not known may lie across two true ones.
            assert truly <= SMALL.limit(span) * (1 if self.was_always_sure else 2), span
            if gateway.clock.is_synced:
                assert truly <= known[span], span


SECONDS = st.one_of(st.integers(1, 2 * HOUR_S), st.integers(1, 40 * DAY_S))
ACTIONS = st.one_of(
    st.tuples(st.just("book"), st.integers(1, 60_000), st.sampled_from([*Purpose])),
    st.tuples(st.just("advance"), SECONDS),
    st.tuples(st.just("crash")),
    st.tuples(st.just("stop")),
    st.tuples(st.just("cut"), SECONDS, st.integers(0, 2 * NOON_MS)),
    st.tuples(st.just("cut_briefly")),
    st.tuples(st.just("sync")),
    st.tuples(st.just("lose_clock"), st.integers(-3 * MONTH_S, 3 * MONTH_S)),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(ACTIONS, max_size=40))
def test_no_limit_is_passed_and_nothing_forgotten_whatever_crashes_and_clocks_do(
    actions: list[tuple[object, ...]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        trial = Trial(Path(folder))
        for name, *arguments in actions:
            getattr(trial, str(name))(*arguments)
            trial.check()


# --- the interface's own counters -----------------------------------------------------------------


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


@settings(max_examples=100, deadline=None)
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


# --- forecast -------------------------------------------------------------------------------------


def test_the_forecast_follows_the_pace_of_the_last_days(gateway: Gateway) -> None:
    gateway.clock.step(-14.5 * DAY_S)  # the first of the month, 00:00
    for _ in range(5):
        for _ in range(4):
            gateway.book(45_000)
            gateway.clock.advance(6 * HOUR_S)
    summary = gateway.budget.summary()[0]
    assert summary.month == 900_000
    assert summary.lasts_s == pytest.approx((2_700_000 - 900_000) / 180_000 * DAY_S)


def test_a_pace_that_lasts_to_the_end_of_the_month_is_no_forecast(gateway: Gateway) -> None:
    for _ in range(8):
        gateway.book(1_000)
        gateway.clock.advance(6 * HOUR_S)
    assert gateway.budget.summary()[0].lasts_s is None


def test_a_gateway_that_began_in_the_evening_has_the_pace_of_the_evening(gateway: Gateway) -> None:
    gateway.clock.step(-8 * HOUR_S - 14 * DAY_S)  # 04:00 on the first of the month
    (gateway.folder / "budget").unlink()
    (gateway.folder / "budget.copy").unlink()
    gateway.start()
    assert gateway.book(60_000)
    gateway.clock.advance(5 * HOUR_S)
    assert gateway.budget.summary()[0].lasts_s is None  # too little to tell
    gateway.clock.advance(HOUR_S)
    assert gateway.budget.summary()[0].lasts_s == pytest.approx((2_700_000 - 60_000) / (60_000 / 6 / HOUR_S))


def test_a_spent_month_lasts_no_longer(gateway: Gateway) -> None:
    gateway.budget.correct(Purpose.CONTROL, 3_000_000, WAN)
    assert gateway.budget.summary()[0].lasts_s == 0


def _is_a_spend(budget: Budget) -> Spend:
    """For the type checker."""
    return budget
