"""The figures of the sustained benchmark come from what was seen."""

from __future__ import annotations

import pytest

from tests.benchmarks.sustained import READINGS, Run, Sample


def seen(done_a_second: float, put_a_second: float = 400.0) -> Run:
    """Twenty seconds of putting, and the time until all is done."""
    total = round(20 * put_a_second)
    samples = [
        Sample(float(at_s), min(round(at_s * put_a_second), total), min(round(at_s * done_a_second), total))
        for at_s in range(60)
    ]
    return Run(samples, READINGS * total, {})


def test_a_cloud_that_keeps_up_has_the_rate_that_is_put_and_no_growing_lag() -> None:
    run = seen(400)
    assert run.rate == pytest.approx(400 * READINGS)
    assert run.lag_slope == pytest.approx(0)


def test_a_cloud_that_falls_behind_has_its_own_rate_and_the_rest_as_growing_lag() -> None:
    run = seen(300)
    assert run.rate == pytest.approx(300 * READINGS)
    assert run.lag_slope == pytest.approx(100 * READINGS)
