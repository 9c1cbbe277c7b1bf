"""Which batches the broker refuses, and which of them for good."""

from __future__ import annotations

from dataclasses import dataclass

TRIES = 5
"""Refusals of a batch, each after another had got through since the one before, that are enough."""
REMEMBERED = 256


@dataclass(slots=True)
class _Refused:
    tries: int
    passed: int
    """How many batches had got through at the last refusal that counted."""


class Refusals:
    """Tells a batch that nobody will ever take from a broker that takes nothing now.

    A refusal counts only if something else got through since the one before: while all is refused, nothing is
    given up.
    """

    def __init__(self) -> None:
        self._refused: dict[int, _Refused] = {}
        self._passed = 0

    def passed(self, batch: int) -> None:
        """The broker has taken this one."""
        self._passed += 1
        self._refused.pop(batch, None)

    def is_final(self, batch: int, temporary: bool) -> bool:
        """Note a refusal; whether it was the last that this batch gets."""
        known = self._refused.get(batch)
        if known is None:
            if len(self._refused) >= REMEMBERED:
                del self._refused[next(iter(self._refused))]  # the longest known may be gone by now
            self._refused[batch] = _Refused(0 if temporary else 1, self._passed)
            return False
        if self._passed > known.passed and not temporary:
            known.tries, known.passed = known.tries + 1, self._passed
        if known.tries < TRIES:
            return False
        del self._refused[batch]
        return True
