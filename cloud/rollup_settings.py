"""The environment of the rollup function, read once into a frozen value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cloud.buckets import DAY, FINE, HOUR, Step
from cloud.settings import given, number


@dataclass(frozen=True, slots=True)
class RollupSettings:
    """What the template tells the function."""

    stage: str
    readings_table: str
    latest_table: str
    retention_days: int
    """Days that chunks are kept."""
    late_days: int
    """Days after which late data no longer change rollups."""
    fine_days: int
    """Days that 5-minute rollups are kept."""
    hour_days: int
    day_days: int
    resend_hours: int = 0
    """Missing readings up to this age are asked for again; 0 is never."""

    @property
    def window_days(self) -> int:
        """The lateness window: a recomputation needs all chunks of the period."""
        return window(self.late_days, self.retention_days)

    def keep_days(self, step: Step) -> int:
        """Days that rollups of a step are kept; at least as long as they may be recomputed from."""
        days = {FINE: self.fine_days, HOUR: self.hour_days, DAY: self.day_days}[step]
        return max(days, self.window_days + 2)


def window(late_days: int, retention_days: int) -> int:
    """Days after which late data no longer change rollups, a day before their neighbours expire."""
    return min(late_days, retention_days - 1)


def load(environment: Mapping[str, str]) -> RollupSettings:
    """The settings in the environment; raises SettingsError for a missing or wrong variable."""
    return RollupSettings(
        stage=given(environment, "STAGE"),
        readings_table=given(environment, "READINGS_TABLE"),
        latest_table=given(environment, "LATEST_TABLE"),
        retention_days=_days(environment, "RETENTION_DAYS"),
        late_days=_days(environment, "LATE_DAYS"),
        fine_days=_days(environment, "ROLLUP_5M_DAYS"),
        hour_days=_days(environment, "ROLLUP_1H_DAYS"),
        day_days=_days(environment, "ROLLUP_1D_DAYS"),
        resend_hours=number(environment, "RESEND_HOURS", "hours", 0),
    )


def _days(environment: Mapping[str, str], name: str) -> int:
    return number(environment, name, "days", 1)
