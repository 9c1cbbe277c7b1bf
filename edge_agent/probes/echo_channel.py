"""The engine of echo: one socket, the rounds of all its links, and one timer for all their requests.

No link has a task of its own that wakes for each request: what is due is sent in batches, what has come
is read in batches, and the kernel's stamps keep the times of both true.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from edge_agent.contract import Outcome
from edge_agent.probes.echo_ledger import EchoRound, Ledger
from edge_agent.probes.icmp_socket import IcmpSocket
from edge_agent.probes.probe import ProbeError
from edge_agent.probes.stamps import WallClock
from edge_agent.probes.timetable import Timetable

FORGET_AFTER_NS = 60_000_000_000
"""How long a late reply is still told from a foreign one."""
WARM_UP_S = 0.05
"""The kernel begins to stamp what it receives a moment after it has been asked to (a work queue's)."""
BATCH = 64
"""Requests sent before replies are read: many links at once must not overflow the socket's buffer."""
BURST = 512
"""Requests sent before the rest of the agent has its turn."""
READ_LIMIT = 512
BUSY = 4
"""Requests at one time, from which on those of the next PAUSE_MS are sent together: waking costs more."""
PAUSE_MS = 20
_MS = 1_000_000


class Turn:
    """One round on its way: when each of its requests is due, and who waits for its end."""

    __slots__ = (
        "echo_round",
        "end",
        "offsets_ns",
        "overflows",
        "refused",
        "request",
        "start_ns",
        "steps",
        "until_ns",
    )

    def __init__(
        self, echo_round: EchoRound, offsets_ns: Sequence[int], until_ns: int, end: asyncio.Future[None]
    ) -> None:
        if echo_round.form is None:
            raise ValueError("the round is not open in a ledger")
        self.request = echo_round.form.request
        self.echo_round = echo_round
        self.offsets_ns = offsets_ns
        self.until_ns = until_ns
        self.end = end
        self.refused: ProbeError | None = None
        self.start_ns = 0
        self.overflows = 0
        self.steps = 0

    def finish(self) -> None:
        """Let its probe report; may come twice, and after the probe was cancelled."""
        if not self.end.done():
            self.end.set_result(None)


class Channel:
    """Sends the requests of all links that share a socket, and matches what comes back."""

    def __init__(self, icmp: IcmpSocket, ledger: Ledger, size: int, clock: WallClock) -> None:
        self._icmp = icmp
        self._ledger = ledger
        self._size = size
        self._clock = clock
        self._timetable: Timetable[Turn] = Timetable()
        self._beginning: deque[Turn] = deque()
        """Rounds to begin as soon as what is due is done: thousands at once must not stretch one another."""
        self._overflows = 0
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.Handle | None = None
        self._timer_ms = 0
        self._resume_ms = 0
        """Before this time it does not work again: what is due meanwhile is done together."""
        self._ready = self._loop.time() + WARM_UP_S if icmp.stamping else 0.0
        self._loop.add_reader(icmp.fileno(), self.drain, READ_LIMIT)

    @property
    def interface_index(self) -> int:
        """The interface that the socket is bound to, 0 for any."""
        return self._icmp.interface_index

    async def run(self, echo_round: EchoRound, offsets_ns: Sequence[int], until_ns: int) -> Turn:
        """Run a round that is open in the ledger, at most until a monotonic time; cancel it freely.

        Raises ProbeError when not one request could be sent.
        """
        wait_s = self._ready - self._loop.time()
        if wait_s > 0:  # or the first round would mix the kernel's stamps with ours
            await asyncio.sleep(wait_s)
        turn = Turn(echo_round, offsets_ns, until_ns, self._loop.create_future())
        echo_round.answered = turn.finish
        turn.overflows, turn.steps = self._overflows, self._clock.steps
        self._beginning.append(turn)
        self._work_by(-(-self._clock.monotonic_ns() // _MS))
        await turn.end
        if echo_round.unanswered:
            self.drain(READ_LIMIT)
        if not any(echo_round.sent_ns):
            raise turn.refused or ProbeError(Outcome.OVERRUN, "no request could be sent in time")
        return turn

    def overflowed(self, turn: Turn) -> bool:
        """Whether replies were dropped on this machine since the round began."""
        return turn.overflows != self._overflows

    def stepped(self, turn: Turn) -> bool:
        """Whether the wall clock was set since the round began."""
        self._clock.look()
        return turn.steps != self._clock.steps

    def open(self, echo_round: EchoRound) -> bool:
        """Give a round its sequence numbers; False when the socket has none left."""
        self._ledger.forget(self._clock.monotonic_ns() - FORGET_AFTER_NS)
        return self._ledger.open(echo_round)

    def end(self, echo_round: EchoRound) -> None:
        """Close a round that was opened."""
        self._ledger.close(echo_round, self._clock.monotonic_ns())

    def drain(self, limit: int) -> None:
        """Match what waits: the kernel's stamps of what left first, then the replies."""
        icmp, ledger, clock = self._icmp, self._ledger, self._clock
        if icmp.overflowed():
            self._overflows += 1
        ambiguous, offset_ns = clock.look(), clock.offset_ns
        for packet, kernel_ns, _, _ in icmp.transmitted(limit):
            if kernel_ns is not None and not ambiguous:
                ledger.transmitted(packet, self._size, kernel_ns - offset_ns)
        replies = icmp.received(limit)
        seen_ns = clock.monotonic_ns()
        for message, kernel_ns, ttl, source in replies:
            at_ns = None if kernel_ns is None or ambiguous else kernel_ns - offset_ns
            ledger.received(source, message, seen_ns, at_ns, ttl)

    def close(self) -> None:
        """Close the socket."""
        if self._timer:
            self._timer.cancel()
        if not self._loop.is_closed():
            self._loop.remove_reader(self._icmp.fileno())
        self._icmp.close()

    def _work_by(self, due_ms: int) -> None:
        """Set the timer, unless it is set for an earlier time."""
        due_ms = max(due_ms, self._resume_ms)
        if self._timer:
            if self._timer_ms <= due_ms:
                return
            self._timer.cancel()
        self._timer_ms = due_ms
        self._timer = self._loop.call_at(due_ms / 1000, self._work)

    def _work(self) -> None:
        """Do what is due, in batches, then give way to others."""
        now_ns = self._clock.monotonic_ns
        self._timer = None
        self._resume_ms = 0
        try:
            for _ in range(BURST // BATCH):
                turns = self._take(now_ns())
                if not turns:
                    break
                for turn in turns:
                    self._go_on(turn, now_ns())
                self.drain(len(turns))
                if len(turns) >= BUSY:
                    self._resume_ms = now_ns() // _MS + PAUSE_MS
            else:
                self._resume_ms = 0  # more is due at once
        finally:
            if self._beginning:
                self._work_by(now_ns() // _MS)
            elif self._timetable.next_ms is not None:
                self._work_by(self._timetable.next_ms)

    def _take(self, now_ns: int) -> list[Turn]:
        """A batch of what is due; rounds that are to begin fill it."""
        turns = self._timetable.take(now_ns // _MS, BATCH)
        while self._beginning and len(turns) < BATCH:
            turn = self._beginning.popleft()
            turn.start_ns = now_ns
            if turn.offsets_ns[0]:
                self._timetable.add(-(-(now_ns + turn.offsets_ns[0]) // _MS), turn)
            else:
                turns.append(turn)
        return turns

    def _go_on(self, turn: Turn, now_ns: int) -> None:
        """Send a round's next request, or end the round when its time is over."""
        if turn.end.done():
            return
        echo_round = turn.echo_round
        place, count = echo_round.turn, echo_round.count
        if place == count or now_ns >= turn.until_ns:
            turn.finish()
            return
        try:
            if not self._icmp.send(turn.request(echo_round.first_sequence + place), echo_round.sockaddr):
                self._timetable.add(now_ns // _MS + 1, turn)
                return
            echo_round.sent(now_ns)
        except ProbeError as error:
            turn.refused = error
            echo_round.turn += 1
        place += 1
        if place < count:
            due_ns = turn.start_ns + turn.offsets_ns[place]
        elif echo_round.unanswered:  # the wait of the last request ends the round
            due_ns = min(turn.until_ns, max(filter(None, echo_round.sent_ns)) + echo_round.wait_ns)
        else:
            turn.finish()
            return
        self._timetable.add(-(-due_ns // _MS), turn)
