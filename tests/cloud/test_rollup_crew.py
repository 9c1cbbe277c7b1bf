"""Work at many gateways: what passes is tried again, what stays wrong stops nobody."""

from __future__ import annotations

import pytest

from cloud.rollup_crew import do_all
from tests.cloud.conftest import patience


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize(("failures", "refused"), [(1, []), (9, ["b"])])
def test_an_unforeseen_error_is_tried_once_more_and_then_told(
    workers: int, failures: int, refused: list[str]
) -> None:
    tries: list[str] = []
    told: dict[str, str] = {}

    def work(name: str) -> None:
        tries.append(name)
        if name == "b" and tries.count("b") <= failures:
            raise MemoryError("no room")

    left = do_all(["a", "b", "c"], work, patience(), workers, told.__setitem__)
    assert left == {}
    assert sorted(tries) == ["a", "b", "b", "c"]
    assert [*told] == refused
    assert all("MemoryError: no room" in reason for reason in told.values())
