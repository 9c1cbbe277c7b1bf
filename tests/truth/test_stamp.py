"""STAMP in the lab: counts of each direction that are the wire's own, to the packet."""

from __future__ import annotations

import pytest

from tests.truth.lab import FAR, FAR6, Lab, needs_lab
from tests.truth.shape import Shape
from tests.truth.stamp_ends import reflecting, rounds
from tests.truth.stamp_truth import sessions

COUNT = 10


@needs_lab
@pytest.mark.parametrize("target", [FAR, FAR6])
def test_loss_of_each_direction_is_exact(target: str) -> None:
    out, back = Shape(delay_ms=5, lose=(1, 2, 13, 20)), Shape(delay_ms=5, lose=(0, 6))
    with Lab(out, back) as lab, reflecting(lab):
        taken = rounds(lab, 2, target, count=COUNT, spacing_ms=10, timeout_s=2.0, period_s=2.0)
        lab.settle()
        truth = [[journey.fate for journey in session] for session in sessions(lab.log(), COUNT)]
    assert [len(each) for each in truth] == [COUNT, COUNT]
    for told, fates in zip(taken, truth, strict=True):
        assert told["sent"] == COUNT
        assert {name: told[name] for name in ("received", "lost_out", "lost_back")} == {
            name: fates.count(name) for name in ("received", "lost_out", "lost_back")
        }
