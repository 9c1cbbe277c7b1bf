"""The function's environment: whole and right, or an error that names the variable."""

from __future__ import annotations

import pytest

from cloud.settings import Settings, SettingsError, load

GOOD = {
    "STAGE": "dev",
    "READINGS_TABLE": "r",
    "LATEST_TABLE": "l",
    "REGISTRY_TABLE": "g",
    "QUARANTINE_TABLE": "q",
    "ALLOW_DIRECT": "false",
    "RETENTION_DAYS": "30",
}


def test_a_whole_environment_becomes_settings() -> None:
    assert load(GOOD) == Settings("dev", "r", "l", "g", "q", False, 30)
    assert load({**GOOD, "ALLOW_DIRECT": "true"}).allow_direct is True


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_variable_is_named(name: str, value: str | None) -> None:
    given = {key: each for key, each in GOOD.items() if key != name or value is not None}
    given |= {} if value is None else {name: value}
    with pytest.raises(SettingsError, match=name):
        load(given)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALLOW_DIRECT", "True"),
        ("ALLOW_DIRECT", "1"),
        ("RETENTION_DAYS", "0"),
        ("RETENTION_DAYS", "-3"),
        ("RETENTION_DAYS", "x"),
        ("RETENTION_DAYS", "³"),
    ],
)
def test_a_wrong_value_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is"):
        load({**GOOD, name: value})
