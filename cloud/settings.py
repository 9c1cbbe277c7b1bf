"""The environment of the ingest function, read once into a frozen value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

LATEST_DAYS = 7
LATE_DAYS = 35


class SettingsError(Exception):
    """The function is deployed with a wrong environment; the message names the variable."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the template tells the function."""

    stage: str
    readings_table: str
    latest_table: str
    registry_table: str
    quarantine_table: str
    allow_direct: bool
    retention_days: int
    latest_days: int = LATEST_DAYS
    """A link that nobody measured for so long is no part of the latest state any more."""
    late_days: int = LATE_DAYS
    """Days after which late data no longer change rollups; the rollup function has the same."""


def load(environment: Mapping[str, str]) -> Settings:
    """The settings in the environment; raises SettingsError for a missing or wrong variable."""
    return Settings(
        stage=given(environment, "STAGE"),
        readings_table=given(environment, "READINGS_TABLE"),
        latest_table=given(environment, "LATEST_TABLE"),
        registry_table=given(environment, "REGISTRY_TABLE"),
        quarantine_table=given(environment, "QUARANTINE_TABLE"),
        allow_direct=_flag(environment, "ALLOW_DIRECT"),
        retention_days=_days(environment, "RETENTION_DAYS"),
        latest_days=_days(environment, "LATEST_DAYS") if "LATEST_DAYS" in environment else LATEST_DAYS,
        late_days=_days(environment, "LATE_DAYS") if "LATE_DAYS" in environment else LATE_DAYS,
    )


def given(environment: Mapping[str, str], name: str) -> str:
    """A variable's value; raises SettingsError when there is none."""
    value = environment.get(name, "")
    if not value:
        raise SettingsError(f"{name} is not set")
    return value


def _days(environment: Mapping[str, str], name: str) -> int:
    return number(environment, name, "days", 1)


def _flag(environment: Mapping[str, str], name: str) -> bool:
    value = given(environment, name)
    # Anything but the exact word must not open the door past the rule.
    if value not in ("true", "false"):
        raise SettingsError(f"{name} is {value!r}, neither true nor false")
    return value == "true"


def number(environment: Mapping[str, str], name: str, unit: str, least: int) -> int:
    """A whole number of the unit, at least so many; raises SettingsError."""
    value = given(environment, name)
    if not value.isascii() or not value.isdigit() or int(value) < least:
        raise SettingsError(f"{name} is {value!r}, not a number of {unit}")
    return int(value)
