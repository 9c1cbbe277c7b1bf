"""The data budget over crashes and on a bad disk: never less than what was spent."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.budget import Purpose
from edge_agent.budget.budget import MARGIN_BYTES
from edge_agent.budget.calendar_windows import DAY_S, HOUR_S, Span
from edge_agent.budget.ledger_file import LedgerDamaged, LedgerFile, decode
from edge_agent.budget.limits import Limits
from edge_agent.budget.window import Window, window
from tests.edge_agent.budget_rig import MONTH_S, SMALL, WAN, Gateway


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
