"""Link alarms: a link that goes down or comes up is told at once, a flapping one seldom."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from edge_agent.contract import KINDS, Flag, Reading, row
from edge_agent.link_state import LinkState, tells_of_link
from edge_agent.taken import Taken

APART_S = 60.0
"""Between two alarms of one link at least; twice as long after each that follows soon ..."""
APART_MAX_S = 900.0
"""... up to this: on a metered link an alarm costs more than the round that caused it."""
SOON = 4
"""An alarm follows soon when it comes within so many times what they must be apart."""

_KEPT = Flag.CLOCK_SYNCED | Flag.RESTAMPED | Flag.SIMULATED
_LASTED_MAX_S, _ROUNDS_MAX = (column.maximum for column in KINDS["state"].columns[2:4])


@dataclass(slots=True)
class _Told:
    """What was told of a link."""

    state: LinkState
    up: bool | None = None
    since_s: float = 0
    alarm_s: float = -math.inf
    apart_s: float = APART_S


class Alarms:
    """Follows the state of every link by its readings; in memory alone, so that a restart begins unknowing.

    The first state that is known is told, but is an alarm only when it is down: a link that was repaired by
    turning the gateway off and on would else be down for ever. Each change after that is an alarm. One that
    comes too soon after another is told later, with a reading of its link, if it still holds then.
    """

    def __init__(
        self,
        deliver: Callable[[Taken], None],
        hurry: Callable[[], None],
        monotonic: Callable[[], float],
        far_ends: Collection[str] = (),
    ) -> None:
        """``deliver`` takes each `state` reading, ``hurry`` is called after one that is an alarm.

        ``far_ends`` are the links with a probe that reaches for the far end (link_state.ANSWERS): it, not
        their interface, says that they are up.
        """
        self._deliver = deliver
        self._hurry = hurry
        self._monotonic = monotonic
        self._far_ends = frozenset(far_ends)
        self._links: dict[str, _Told] = {}

    def watch(self, taken: Taken) -> None:
        """Take in a reading of a link that was just taken."""
        reading = taken.reading
        if not tells_of_link(reading.kind):
            return
        told = self._links.get(reading.link)
        if told is None:
            told = self._links[reading.link] = _Told(LinkState(reading.link in self._far_ends))
        told.state.take_in(reading)
        if told.state.up is not None and told.state.up != told.up:
            self._tell(told, taken)

    def states(self) -> Mapping[str, bool]:
        """Whether each link is up, of those of which it is known."""
        return {link: told.state.up for link, told in self._links.items() if told.state.up is not None}

    def _tell(self, told: _Told, taken: Taken) -> None:
        now_s = self._monotonic()
        is_alarm = told.up is not None or not told.state.up
        if is_alarm and now_s - told.alarm_s < told.apart_s:
            return
        reading = taken.reading
        state = Reading(reading.link, "state", reading.at_ms, _values(told, now_s), reading.flags & _KEPT)
        if is_alarm:
            soon = now_s - told.alarm_s < SOON * told.apart_s
            told.apart_s = min(2 * told.apart_s, APART_MAX_S) if soon else APART_S
            told.alarm_s = now_s
        told.up, told.since_s = told.state.up, now_s
        self._deliver(replace(taken, reading=state))
        if is_alarm:
            self._hurry()


def _values(told: _Told, now_s: float) -> tuple[int | None, ...]:
    is_known = told.up is not None
    return row(
        "state",
        up=int(bool(told.state.up)),
        was_up=int(bool(told.up)) if is_known else None,
        lasted_s=min(max(int(now_s - told.since_s), 0), _LASTED_MAX_S) if is_known else None,
        rounds=min(told.state.rounds, _ROUNDS_MAX),
    )
