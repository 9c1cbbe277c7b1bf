"""The data budget: every byte on a metered interface is booked here before it is sent, or it is not sent.

What was booked survives power cuts: the file is written before more than MARGIN_BYTES have been booked beside
it, and after a crash so many count as spent. Where that file cannot be written, readings and alarms still
go, within the limits of this life, and probes do not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from contextlib import suppress

from edge_agent.budget.calendar_windows import DAY_S, Span, start_of
from edge_agent.budget.calibration import Calibration
from edge_agent.budget.certain_time import CertainTime
from edge_agent.budget.interface_counters import Counters, read_counters
from edge_agent.budget.keeping import Keeping
from edge_agent.budget.ledger import Ledger
from edge_agent.budget.ledger_file import Kept, LedgerDamaged, LedgerFile
from edge_agent.budget.limits import Limits
from edge_agent.budget.spend import Purpose
from edge_agent.budget.summary import MeterSummary, summarise
from edge_agent.clock import Clock

MARGIN_BYTES = 32_768
"""The most that is booked on an interface and not in the file: what a crash costs at most."""
SAVE_S = 900.0
LOOK_S = 60.0
"""How often the interfaces' counters are read."""
SETTLE_S = 600.0
"""After so long, what was booked has been sent."""

log = logging.getLogger(__name__)


class Budget:
    """The ledgers of all metered interfaces; a Spend, for one event loop."""

    def __init__(
        self,
        file: LedgerFile,
        clock: Clock,
        limits: Callable[[str], Limits],
        meters: Iterable[str] = (),
        *,
        reset_day: int = 1,
        settle_s: float = SETTLE_S,
        counters: Callable[[str], Counters | None] = read_counters,
        holds_backfill: Callable[[str, int, int], bool] | None = None,
    ) -> None:
        """``limits`` of an interface; ``meters`` are those that are known to be metered, others may follow.

        ``holds_backfill`` is asked, with the interface, its month so far and its limit in bytes, whether
        back-fill must wait although there is room.
        """
        self._clock = clock
        self._time = CertainTime(clock)
        self._limits = limits
        self._reset_day = reset_day
        self._settle_s = settle_s
        self._read_counters = counters
        self._holds_backfill = holds_backfill or (lambda meter, spent, limit: False)
        self._ledgers: dict[str, Ledger] = {}
        self._calibrations: dict[str, Calibration] = {}
        self._keeping = Keeping(file, MARGIN_BYTES)
        self._refused: dict[tuple[str, Purpose], int] = {}
        self._damaged_s: float | None = None
        self._wanted = asyncio.Event()
        self._load()
        for meter in meters:
            self._ledger(meter)
        self._save()

    # --- booking ---------------------------------------------------------------------------------

    def book(self, purpose: Purpose, size: int, meter: str) -> bool:
        """Book so many IP bytes and say yes; or no, before the first byte. "" is for free."""
        if not meter:
            return True
        ledger = self._rolled(meter)
        limits = self._limits(meter)
        admitted = ledger.admits(purpose, size, limits) and not self._is_held(purpose, meter, ledger, limits)
        if admitted:
            ledger.add(purpose, size, self._time.is_sure)
            admitted = self._keep(meter, size) or purpose <= Purpose.CONTROL
            if not admitted:
                ledger.add(purpose, -size, self._time.is_sure)
        self._tell(meter, purpose, size, admitted)
        return admitted

    def correct(self, purpose: Purpose, more: int, meter: str) -> None:
        """Add what it really cost beside what was booked, bytes; negative when it cost less."""
        if meter and more:
            self._rolled(meter).add(purpose, more, self._time.is_sure)
            if more > 0:
                self._keep(meter, more)

    def _is_held(self, purpose: Purpose, meter: str, ledger: Ledger, limits: Limits) -> bool:
        if purpose is not Purpose.BACKFILL:
            return False
        return self._holds_backfill(meter, ledger.windows[Span.MONTH].total, limits.month)

    def _keep(self, meter: str, size: int) -> bool:
        """Whether a crash now would count what was booked; writes the file where it would not."""
        self._keeping.note(meter, size)
        if self._keeping.unsaved(meter) > MARGIN_BYTES:
            return self._save()
        if self._keeping.unsaved(meter) > MARGIN_BYTES // 2:
            self._wanted.set()  # written beside the event loop before it must be written on it
        return True

    def _tell(self, meter: str, purpose: Purpose, size: int, admitted: bool) -> None:
        """Log a change, not every refusal."""
        key = meter, purpose
        if admitted and size >= self._refused.get(key, size + 1):  # what is smaller may always have passed
            del self._refused[key]
            log.info("the data budget of %s admits %s again", meter, purpose.name.lower())
        elif not admitted and key not in self._refused:
            self._refused[key] = size
            log.warning("the data budget of %s admits no %s now", meter, purpose.name.lower())

    def why(self, purpose: Purpose, size: int, meter: str) -> str:
        """Why so much is not admitted, for people."""
        ledger, limits = self._rolled(meter), self._limits(meter)
        for span, each in ledger.windows.items():
            ceiling = limits.ceiling(span, purpose)
            if each.total + size > ceiling:
                used = f"{each.total / 1e6:.3f} MB of the {span.value}'s {ceiling / 1e6:.3f} MB are used"
                return f"{used} on {meter}, and this takes {size / 1e6:.3f} MB more"
        return f"the ledger of {meter} cannot be written: {self._keeping.trouble}"

    # --- time and interfaces ---------------------------------------------------------------------

    def _rolled(self, meter: str) -> Ledger:
        ledger = self._ledger(meter)
        ledger.roll(self._time.now_s(), self._reset_day, self._time.is_sure)
        return ledger

    def _ledger(self, meter: str) -> Ledger:
        found = self._ledgers.get(meter)
        if found is None:
            found = self._ledgers[meter] = Ledger(since_s=self._time.now_s())
            found.roll(self._time.now_s(), self._reset_day, self._time.is_sure)
            if self._is_month_of_damage():
                self._charge_unknown(meter, found)
            self._keeping.note(meter, MARGIN_BYTES)  # it is in no file yet
        return found

    def look(self) -> None:
        """Read the interfaces' counters, and correct what they disprove."""
        for meter in self._ledgers:
            calibration = self._calibrations.setdefault(meter, Calibration(self._settle_s))
            calibration.look(self._rolled(meter), self._read_counters(meter), self._clock.monotonic())

    def summary(self) -> tuple[MeterSummary, ...]:
        """Every metered interface now."""
        return tuple(
            summarise(meter, self._rolled(meter), self._limits(meter), self._time.now_s(), self._reset_day)
            for meter in sorted(self._ledgers)
        )

    # --- keeping ---------------------------------------------------------------------------------

    async def run(self, executor: Executor | None = None) -> None:
        """Read counters and write the file regularly, for ever; ``executor`` runs what waits for the disk."""
        loop = asyncio.get_running_loop()
        saved_at = loop.time()
        looked_at = saved_at - LOOK_S
        while True:
            if loop.time() - looked_at >= LOOK_S:
                looked_at = loop.time()
                self.look()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(looked_at + LOOK_S):
                    await self._wanted.wait()
            if self._wanted.is_set() or loop.time() - saved_at >= SAVE_S:
                self._wanted.clear()
                saved_at = loop.time()
                write = self._keeping.begin(self._kept(is_open=True))
                self._keeping.done(*await loop.run_in_executor(executor, write))

    def close(self) -> None:
        """Write the file for the last time: what is in it then is exact."""
        self._save(is_open=False)

    def _save(self, is_open: bool = True) -> bool:
        write = self._keeping.begin(self._kept(is_open))
        return self._keeping.done(*write())

    def _kept(self, is_open: bool) -> Kept:
        now_s = self._time.now_s()
        limits = {meter: self._limits(meter) for meter in self._ledgers}
        return Kept(
            serial=self._keeping.next_serial(),
            at_s=now_s,
            is_sure=self._time.is_sure,
            boot=self._time.boot,
            since_boot_s=self._time.since_boot_s,
            is_open=is_open,
            margin=MARGIN_BYTES,
            meters=self._ledgers,
            limits={name: (each.month, each.day, each.hour, each.reserve) for name, each in limits.items()},
            reset_day=self._reset_day,
            damaged_s=self._damaged_s if self._is_month_of_damage() else None,
        )

    def _load(self) -> None:
        try:
            kept = self._keeping.read()
        except LedgerDamaged as exc:
            log.error("the ledger of the data budget is damaged: %s; what is not known counts as spent", exc)
            self._damaged_s = self._time.now_s()
            return
        if kept is None:
            return
        self._time.resume(kept.at_s, kept.boot, kept.since_boot_s, kept.is_sure)
        self._ledgers, self._damaged_s = dict(kept.meters), kept.damaged_s
        for meter in self._ledgers:
            ledger = self._rolled(meter)
            if kept.is_open:
                ledger.charge(dict.fromkeys(Span, kept.margin), self._time.is_sure)

    def _is_month_of_damage(self) -> bool:
        if self._damaged_s is None:
            return False
        then_s, now_s = (
            start_of(Span.MONTH, at_s, self._reset_day) for at_s in (self._damaged_s, self._time.now_s())
        )
        return then_s >= now_s

    def _charge_unknown(self, meter: str, ledger: Ledger) -> None:
        """The most that can have been spent, but for what only alarms may use."""
        limits, month = self._limits(meter), ledger.windows[Span.MONTH]
        days = int((self._time.now_s() - month.start_s) // DAY_S) + 1
        most = {span: limits.ceiling(span, Purpose.LIVE) for span in Span}
        if self._time.is_sure:
            most[Span.MONTH] = min(most[Span.MONTH], days * limits.day)
        ledger.charge(most, self._time.is_sure)
