"""How figures look: units, times, sparklines; a dash for what was not measured."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from cloud import display
from cloud.target import TargetError
from tests.cloud.records import NOW


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(0, "0 s"), (-5, "0 s"), (119_000, "119 s"), (120_000, "2 m"), (7_200_000, "2 h"), (10**9, "11 d")],
)
def test_an_age_is_in_its_largest_fitting_unit(milliseconds: int, text: str) -> None:
    assert display.age(milliseconds) == text


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [(None, "–"), (0, "0.00"), (1_234, "1.23"), (12_345, "12.3"), (1_234_567, "1,235")],
)
def test_times_are_in_ms_and_nothing_is_a_dash(microseconds: int | None, text: str) -> None:
    assert display.milliseconds(microseconds) == text


def test_a_share_of_nothing_is_not_measured() -> None:
    assert display.percent(0, 0) == "–"
    assert display.percent(1, 3) == "33.3"


def test_a_sparkline_tells_the_lost_from_the_unknown() -> None:
    assert display.sparkline([1, None, 8, None], [False, True, True, False]) == "▁×█ "
    assert display.sparkline([5, 5], [False, False]) == "▁▁"
    assert display.sparkline([None], [False]) == " "


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOW),
        ("90s", NOW - 90_000),
        ("1.5h", NOW - 5_400_000),
        ("2d", NOW - 172_800_000),
        ("2020-01-01", 1_577_836_800_000),
        ("2020-01-01T01:00+01:00", 1_577_836_800_000),
        ("999999d", 0),
    ],
)
def test_a_moment_is_ago_or_a_date(text: str, expected: int) -> None:
    assert display.moment(text, NOW) == expected


@pytest.mark.parametrize("text", ["", "1w", "h", "yesterday", "2020-13-01", "9" * 400 + "d"])
def test_a_moment_that_is_none_is_a_usage_error_that_says_what_to_give(text: str) -> None:
    with pytest.raises(TargetError, match="is no time: give") as raised:
        display.moment(text, NOW)
    assert raised.value.code == 2


def test_a_foreign_text_can_neither_steer_the_terminal_nor_pose_as_markup() -> None:
    assert "\x1b" not in display.clean("\x1b[2J")
    assert display.clean("[red]x") == "\\[red]x"
    assert display.clean("") == "–"


def drawn(width: int) -> str:
    columns = [
        display.Column("name", wraps=True),
        display.Column("loss %", right=True),
        display.Column("extra", spare=1),
        display.Column("more", spare=2),
    ]
    table = display.table("title", columns, [["a" * 20, "100.0", "e" * 12, "m" * 12]], width)
    console = Console(width=width, file=io.StringIO())
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_wide_table_shows_every_column_whole() -> None:
    assert all(text in drawn(80) for text in ("a" * 20, "100.0", "e" * 12, "m" * 12))
    assert "too narrow" not in drawn(80)


def test_a_narrow_table_leaves_out_the_spare_columns_and_says_which_and_cuts_no_figure() -> None:
    assert "too narrow for: more" in drawn(46)
    narrow = drawn(24)
    assert "100.0" in narrow
    assert narrow.count("a") >= 20
    assert "eee" not in narrow
    assert "…" not in narrow


def test_a_range_is_from_2020_on_and_holds_what_is_measured_now() -> None:
    assert display.period("1h", "now", NOW) == (NOW - 3_600_000, NOW + 1)
    assert display.period("0001-01-01", "2020-01-02", NOW) == (1_577_836_800_000, 1_577_923_200_000)


@pytest.mark.parametrize(
    ("since", "until"), [("1h", "2h"), ("0001-01-01", "1999-01-01"), ("2020-01-01", "9999-12-31")]
)
def test_a_range_that_is_none_or_of_centuries_is_a_usage_error(since: str, until: str) -> None:
    with pytest.raises(TargetError, match="--since") as raised:
        display.period(since, until, NOW)
    assert raised.value.code == 2
