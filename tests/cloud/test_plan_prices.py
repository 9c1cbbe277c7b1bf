"""The price list: shipped with its sources, every price in use, and a wrong one is one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloud import __main__ as linkview
from cloud import plan_model, plan_naive, plan_prices, plan_sizes
from cloud.plan_fleet import Fleet

PRICES = plan_prices.load()
SHIPPED = plan_prices.SHIPPED.read_text(encoding="utf-8")


def test_every_shipped_price_says_where_it_is_from() -> None:
    assert PRICES.region == "us-east-1"
    assert set(PRICES.prices) == set(plan_prices.NAMES)
    assert all(each.source and each.unit for each in PRICES.prices.values())


def test_every_price_is_used_so_that_doubling_it_raises_some_bill() -> None:
    def bills(prices: plan_prices.Prices) -> float:
        found = 0.0
        for stream in ("provisioned", "on-demand"):
            fleet = Fleet(100, 10, 10, 60, 30, stream)
            sizes = plan_sizes.measure(10, 10, 60)
            for plan in (plan_model.plan(fleet, sizes, prices), plan_naive.plan(fleet, sizes, prices)):
                found += plan.variable_usd + plan.fixed_usd
        return found

    before = bills(PRICES)
    for name, price in PRICES.prices.items():
        dearer = plan_prices.Price(2 * price.usd, price.per, price.unit, price.source)
        assert bills(plan_prices.Prices("x", PRICES.date, {**PRICES.prices, name: dearer})) > before, name


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("[price.alarm]", "[price.alarms]"), "price lacks alarm"),
        (('region = "us-east-1"\n', ""), "the list lacks region"),
        (("date = 2026-11-22", 'date = "now"'), "date is 'now'"),
        (('currency = "USD"', 'currency = "EUR"'), "amounts must be in USD"),
        (("usd = 0.08\nper = 1_000_000", "usd = -1\nper = 1_000_000"), "price.iot_connection.usd is -1.0"),
        (("usd = 0.08\nper = 1_000_000", "usd = nan\nper = 1_000_000"), "price.iot_connection.usd is nan"),
        (("usd = 0.08\nper = 1_000_000", "usd = true\nper = 1_000_000"), "price.iot_connection.usd is True"),
        (("usd = 0.08\nper = 1_000_000", "usd = 0.08\nper = 0"), "price.iot_connection.per is 0"),
        (("usd = 0.08\nper = 1_000_000", "per = 1"), "price.iot_connection lacks usd"),
        (("usd = 0.08\n", "usd = 0.08\nusd = 1\n"), "overwrite"),
        (("[price.alarm]", "[price.alarm]\nnote = 1"), "price.alarm has the unknown note"),
    ],
)
def test_a_price_list_that_is_not_one_is_one_line_that_names_what_is_wrong(
    change: tuple[str, str], why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = tmp_path / "mine.toml"
    text = SHIPPED.replace(*change, 1)
    given.write_text(text.replace("usd = -1\n", "usd = -1.0\n"), encoding="utf-8")
    assert linkview.main(["plan", "--prices", str(given)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert why in said
    assert str(given) in said


def test_a_price_file_without_an_end_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert linkview.main(["plan", "--prices", "/dev/zero"]) == 2
    assert "more than 1,048,576 B are no price list" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"\xff\xfe", None])
def test_a_price_file_that_cannot_be_read_is_one_line(
    content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = tmp_path / "mine.toml"
    if content is not None:
        given.write_bytes(content)
    assert linkview.main(["plan", "--prices", str(given)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
