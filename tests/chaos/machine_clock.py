"""The clocks of one simulated gateway: true time goes on, its wall clock may be wrong and may be set."""

from __future__ import annotations

from collections.abc import Callable

from edge_agent.clock import Look

START_MS = 1_790_000_000_000


class MachineClock:
    """The Clock port over simulated time."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        """``now_s`` is true time, seconds since START_MS."""
        self._now_s = now_s
        self._booted_s = now_s()
        self._boots = 1
        self.error_s = 0.0
        """By how much the wall clock is wrong."""
        self.is_synced = True

    def reboot(self, error_s: float, is_synced: bool) -> None:
        """The machine starts anew, with a clock that is wrong by so much."""
        self._booted_s = self._now_s()
        self._boots += 1
        self.error_s, self.is_synced = error_s, is_synced

    def true_ms(self) -> int:
        """What a right clock shows."""
        return START_MS + round(self._now_s() * 1000)

    def wall_ms(self) -> int:
        """What this one shows."""
        return self.true_ms() + round(self.error_s * 1000)

    def monotonic(self) -> float:
        """Seconds since boot."""
        return self._now_s() - self._booted_s

    def synced(self) -> bool:
        """Whether it says that it is disciplined."""
        return self.is_synced

    def boot_id(self) -> str:
        """A new one for each boot."""
        return f"boot-{self._boots}"

    def error_ns(self) -> int | None:
        """1 ms while it is synchronised."""
        return 1_000_000 if self.is_synced else None

    def look(self) -> Look:
        """All of it at one moment."""
        wall_ms, since_boot_s = self.wall_ms(), self.monotonic()
        return Look(wall_ms, since_boot_s, wall_ms / 1000 - since_boot_s, self.is_synced)
