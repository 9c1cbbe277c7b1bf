"""The time that budgets go by: it follows the wall clock only while that is known to be synchronised."""

from __future__ import annotations

from edge_agent.clock import Clock


class CertainTime:
    """UTC as far as it is certain, s since 1970: else the last known time plus what has passed since.

    That is never more than the time which has really passed: no clock opens a new month too early. While it
    lags behind, its windows lie across true ones.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        look = clock.look()
        self._at_s = look.wall_ms / 1000
        self._since_boot_s = look.since_boot_s
        self.boot = clock.boot_id()
        self.is_sure = look.synced
        """Whether the clock has been synchronised in this boot."""

    def resume(self, at_s: float, boot: str, since_boot_s: float, was_sure: bool) -> None:
        """Go on from what was kept: in the same boot nothing is lost, else the time off does not count."""
        look = self._clock.look()
        if look.synced:
            return
        same = boot == self.boot and since_boot_s <= look.since_boot_s
        self._at_s = at_s + look.since_boot_s - (since_boot_s if same else 0.0)
        self._since_boot_s = look.since_boot_s
        self.is_sure = same and was_sure

    def now_s(self) -> float:
        """The time now."""
        look = self._clock.look()
        if look.synced:
            self._at_s = look.wall_ms / 1000
            self.is_sure = True
        else:
            self._at_s += max(look.since_boot_s - self._since_boot_s, 0.0)
        self._since_boot_s = look.since_boot_s
        return self._at_s

    @property
    def since_boot_s(self) -> float:
        """Seconds since boot when it was last asked."""
        return self._since_boot_s
