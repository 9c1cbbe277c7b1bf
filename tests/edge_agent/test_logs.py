"""The agent's own words: what is said again and again is said a few times, then counted."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable

from edge_agent.logs import ALIKE_AN_HOUR, HOUR_S, KEYS_MAX, SAME_AN_HOUR, Bounded


class Journal:
    """A logger with a bounded handler, its lines and its clock."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._stream = io.StringIO()
        self.handler = Bounded(self._stream, lambda: self.now_s)
        self._log = logging.Logger("agent", logging.DEBUG)
        self._log.addHandler(self.handler)

    @property
    def say(self) -> Callable[..., None]:
        return self._log.warning

    @property
    def whisper(self) -> Callable[..., None]:
        return self._log.debug

    @property
    def lines(self) -> list[str]:
        return self._stream.getvalue().splitlines()


def test_the_same_line_is_said_a_few_times_an_hour_and_then_counted() -> None:
    journal = Journal()
    for _ in range(SAME_AN_HOUR + 12):
        journal.say("north: down")
    assert journal.lines == ["north: down"] * SAME_AN_HOUR
    journal.now_s = HOUR_S
    journal.say("other")
    assert journal.lines[SAME_AN_HOUR:] == ["north: down (repeated 12 times within an hour)", "other"]
    journal.say("north: down")
    assert journal.lines[-1] == "north: down"


def test_lines_that_differ_in_a_name_alone_are_bounded_together() -> None:
    journal = Journal()
    for number in range(ALIKE_AN_HOUR + 7):
        journal.say("%s: down", f"link-{number}")
    assert len(journal.lines) == ALIKE_AN_HOUR
    journal.now_s = HOUR_S
    journal.say("other")
    assert journal.lines[-2] == f"link-{ALIKE_AN_HOUR + 6}: down (repeated 7 times within an hour)"


def test_one_link_that_flaps_does_not_silence_another() -> None:
    journal = Journal()
    for _ in range(10 * ALIKE_AN_HOUR):
        journal.say("%s: down", "north")
    journal.say("%s: down", "south")
    assert journal.lines[-1] == "south: down"


def test_what_was_held_back_is_told_at_the_end() -> None:
    journal = Journal()
    for _ in range(SAME_AN_HOUR + 1):
        journal.say("down")
    journal.handler.close()
    assert journal.lines[-1] == "down (repeated 1 times within an hour)"


def test_debugging_is_not_bounded() -> None:
    journal = Journal()
    for _ in range(100):
        journal.whisper("turn")
    assert len(journal.lines) == 100


def test_what_is_remembered_is_bounded() -> None:
    journal = Journal()
    for number in range(3 * KEYS_MAX):
        journal.say(f"line {number}")
    assert len(journal.lines) == 3 * KEYS_MAX
    assert len(journal.handler._said) <= KEYS_MAX
