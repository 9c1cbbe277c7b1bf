"""The values of a measurement by the names of their columns."""

from __future__ import annotations

from edge_agent.contract import KINDS
from edge_agent.probes.probe import Measurement


def named(measurement: Measurement) -> dict[str, int | None]:
    """Every column of its kind."""
    names = [column.name for column in KINDS[measurement.kind].columns]
    return dict(zip(names, measurement.values, strict=True))


def column(measurement: Measurement, name: str) -> int | None:
    """One of them."""
    return named(measurement)[name]
