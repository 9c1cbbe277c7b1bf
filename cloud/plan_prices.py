"""The price list of `linkview plan`: a dated file that users can replace, checked before it is used."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, NoReturn

from cloud.target import TargetError

MAX_BYTES = 1 << 20
"""Of a price list; the shipped one has less than a hundredth."""
SHIPPED = Path(__file__).with_name("prices.toml")
NAMES = (
    *("iot_connection", "iot_message", "iot_rule", "iot_action"),
    *("kinesis_shard", "kinesis_put", "kinesis_stream", "kinesis_in", "kinesis_out"),
    *("lambda_request", "lambda_gb_second"),
    *("dynamodb_write", "dynamodb_read", "dynamodb_storage", "dynamodb_backup"),
    *("logs", "alarm", "metric", "dashboard", "event", "schedule", "kms_request"),
)
"""What a price list must hold, and nothing else."""
_FIELDS = {"usd", "per", "unit", "source"}
_HEAD = {"date", "region", "currency", "price"}


@dataclass(frozen=True, slots=True)
class Price:
    """One price: US dollars for so many of a unit, and who says so."""

    usd: float
    per: float
    unit: str
    source: str

    @property
    def each(self) -> float:
        """US dollars for one."""
        return self.usd / self.per


@dataclass(frozen=True, slots=True)
class Prices:
    """A price list of one region and day, by the names in NAMES."""

    region: str
    date: date
    prices: Mapping[str, Price]

    def of(self, name: str, amount: float) -> float:
        """US dollars for an amount of the unit of a price."""
        return amount * self.prices[name].each


def load(path: Path = SHIPPED) -> Prices:
    """The price list in a file; raises TargetError with one line for a file that is not one."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            _refuse(path, f"more than {MAX_BYTES:,} B are no price list")
        given = tomllib.loads(content.decode())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise TargetError(f"{path}: {_reason(exc)}", 2) from exc
    _only(given, _HEAD, path, "the list")
    if not isinstance(given["date"], date):
        _refuse(path, f"date is {given['date']!r}: write a day such as 2026-11-22, without quotes")
    if given["currency"] != "USD":
        _refuse(path, f"currency is {given['currency']!r}: amounts must be in USD")
    table = given["price"]
    if not isinstance(table, dict):
        _refuse(path, "price is no table")
    _only(table, set(NAMES), path, "price")
    prices = {name: _price(table[name], path, f"price.{name}") for name in NAMES}
    return Prices(_text(given["region"], path, "region"), given["date"], prices)


def _price(given: Any, path: Path, name: str) -> Price:
    if not isinstance(given, dict):
        _refuse(path, f"{name} is no table")
    _only(given, _FIELDS, path, name)
    usd, per = (_number(given[field], path, f"{name}.{field}") for field in ("usd", "per"))
    if not per:
        _refuse(path, f"{name}.per is 0")
    return Price(usd, per, *(_text(given[field], path, f"{name}.{field}") for field in ("unit", "source")))


def _number(value: Any, path: Path, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        _refuse(path, f"{name} is {value!r}: it must be a number, 0 or more")
    return float(value)


def _text(value: Any, path: Path, name: str) -> str:
    if not isinstance(value, str) or not value.strip():
        _refuse(path, f"{name} is {value!r}: it must be a text")
    return " ".join(value.split())


def _only(given: Mapping[str, Any], wanted: set[str], path: Path, what: str) -> None:
    """Refuse what is missing and what is unknown."""
    if missing := sorted(wanted - given.keys()):
        _refuse(path, f"{what} lacks {', '.join(missing)}")
    if unknown := sorted(given.keys() - wanted):
        _refuse(path, f"{what} has the unknown {', '.join(unknown)}")


def _refuse(path: Path, why: str) -> NoReturn:
    raise TargetError(f"{path}: {why}", 2)


def _reason(exc: Exception) -> str:
    return (exc.strerror or str(exc)) if isinstance(exc, OSError) else " ".join(str(exc).split())
