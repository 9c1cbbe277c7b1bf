"""What a pass starts from: its cursor, its settings, its share of the gateways."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from cloud import rollup, rollup_cursor
from cloud.buckets import DAY, FINE, HOUR
from cloud.keys import DAY_MS, HOUR_MS
from cloud.rollup_cursor import Cursor
from cloud.rollup_settings import load
from cloud.settings import SettingsError
from tests.cloud.records import NOW

START = NOW // DAY_MS * DAY_MS


def test_a_cursor_reads_back_and_the_next_sweep_is_of_an_hour_at_most() -> None:
    cursor = Cursor(1, 4, START, START + 5, START + HOUR_MS, "gw-7", 3, (1, 2, 1), 9)
    assert rollup_cursor.parse(rollup_cursor.pack(cursor)) == cursor
    idle = replace(cursor, done_ms=START, until_ms=START)
    assert idle.next_until(START + DAY_MS) == START + HOUR_MS
    assert idle.next_until(START + 16 * 60_000) == START + 300_000


def test_a_new_share_of_the_gateways_begins_where_the_slowest_pass_is() -> None:
    others = [Cursor(0, 1, START, START + HOUR_MS, START + HOUR_MS), Cursor(0, 2, START, START, START)]
    assert rollup_cursor.first(1, 2, others, START + DAY_MS).done_ms == START
    assert rollup_cursor.first(0, 1, [], START + HOUR_MS).done_ms == START


@pytest.mark.parametrize(
    ("event", "share"), [({}, (0, 1)), ({"segment": 3, "segments": 4}, (3, 4)), ({"version": "0"}, (0, 1))]
)
def test_the_schedules_input_names_the_share(event: dict[str, Any], share: tuple[int, int]) -> None:
    assert rollup.share_of(event) == share


@pytest.mark.parametrize("event", [{"segment": 1}, {"segment": "0"}, {"segment": -1}, {"segments": 0}])
def test_a_share_that_is_none_is_an_error(event: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="in the schedule's input"):
        rollup.share_of(event)


ENVIRONMENT = {
    "STAGE": "test",
    "READINGS_TABLE": "r",
    "LATEST_TABLE": "l",
    "RETENTION_DAYS": "30",
    "LATE_DAYS": "35",
    "ROLLUP_5M_DAYS": "7",
    "ROLLUP_1H_DAYS": "400",
    "ROLLUP_1D_DAYS": "1830",
    "RESEND_HOURS": "0",
}


def test_the_window_ends_before_chunks_expire_and_rollups_outlive_it() -> None:
    settings = load(ENVIRONMENT)
    assert settings.window_days == 29
    assert [settings.keep_days(step) for step in (FINE, HOUR, DAY)] == [31, 400, 1_830]


@pytest.mark.parametrize("name", sorted(ENVIRONMENT))
def test_a_missing_or_wrong_variable_is_named(name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        load({**ENVIRONMENT, name: ""})
    if unit := re.search("DAYS|HOURS", name):
        with pytest.raises(SettingsError, match=f"{name} is '-1', not a number of {unit[0].lower()}"):
            load({**ENVIRONMENT, name: "-1"})
