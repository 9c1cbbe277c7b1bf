"""The batches in flight: filled from the spool, emptied by acknowledgements, until nothing may go."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import Any, ParamSpec, TypeVar

from edge_agent.budget import Purpose
from edge_agent.config import UplinkSettings
from edge_agent.publisher import CONNECTION_BYTES, Publisher, PublishError, PublishRefused, wire_bytes
from edge_agent.pulse import Beat
from edge_agent.spool import Sealed, Spool, SpoolError
from edge_agent.uplink.account import Account
from edge_agent.uplink.lanes import Chosen, choose
from edge_agent.uplink.refusals import Refusals
from edge_agent.uplink.resends import Resends
from edge_agent.uplink.state import UplinkState
from edge_agent.uplink.turn import Drained, Flight, Turn

P = ParamSpec("P")
T = TypeVar("T")

MAX_SKIPPED = 64
"""Refused batches that one turn goes past; the next turn tries them again."""
MAX_PIECES = 64
"""Pieces of a range asked for that are looked up at a time while nothing of it is held."""

log = logging.getLogger("edge_agent.uplink")


class Window:
    """At most ``max_in_flight`` batches between the spool and the broker."""

    def __init__(
        self,
        spool: Spool,
        publisher: Publisher,
        topic: str,
        settings: UplinkSettings,
        account: Account,
        state: UplinkState,
        *,
        executor: Executor | None,
        beat: Beat,
    ) -> None:
        self._spool = spool
        self._publisher = publisher
        self._topic = topic
        self._settings = settings
        self._account = account
        self._executor = executor
        self._beat = beat
        self._state = state
        self._tally = state.tally
        self._flying: dict[int, Flight] = {}
        self._refusals = Refusals()
        self._told = ""
        self._connected_at_s = 0.0
        self.resends = Resends()
        self.live_from = 1 << 63
        """The first sequence of what was sealed last; what was there before is backlog."""
        self.woken = asyncio.Event()
        """Set when the spool has something new to send."""

    def lost_after_s(self) -> float | None:
        """How long a connection had held that is lost now; None when there is none, or it was told."""
        if not self._connected_at_s or self._publisher.is_connected:
            return None
        held_s, self._connected_at_s = asyncio.get_running_loop().time() - self._connected_at_s, 0.0
        return held_s

    async def drain(self) -> Drained:
        """Send all that the budget allows and the broker takes; returns what is left.

        Raises PublishError (PublishRefused when all is refused) or SpoolError, after all answers are in.
        """
        turn = Turn()
        try:
            while True:
                await self._refill(turn)
                if self._flying:
                    await self._next_answers(turn)
                elif turn.error or not len(self.resends):
                    break
        finally:
            await self._abandon()
            self._account.settle()
        if turn.error:
            raise turn.error
        if turn.refusal and not turn.passed:
            raise turn.refusal
        return Drained(frozenset(turn.held), len(turn.skipped))

    async def call(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of a call to the spool, made where such calls are made."""
        return await asyncio.get_running_loop().run_in_executor(
            self._executor, partial(call, *args, **kwargs)
        )

    async def _refill(self, turn: Turn) -> None:
        has_room = len(self._flying) <= self._settings.max_in_flight // 2 or self.woken.is_set()
        all_refused = len(turn.skipped) >= self._settings.max_in_flight and not turn.passed
        if turn.error or not has_room or all_refused or len(turn.skipped) >= MAX_SKIPPED:
            return
        self.woken.clear()
        try:
            if await self._ask_again():
                turn.arrived.clear()
            chosen = self._booked(await self._candidates(turn), turn)
            await self._start(chosen, turn)
        except (PublishError, SpoolError) as exc:
            turn.error = exc

    async def _ask_again(self) -> bool:
        """Whether batches will be sent again."""
        for _ in range(MAX_PIECES):
            if not len(self.resends):
                return False
            stats = await self.call(self._spool.stats)
            piece = self.resends.next_piece(stats.epoch, stats.accepted)
            if piece is None or piece.last < piece.first:
                continue
            found = await self.call(self._spool.resend, piece.epoch, piece.first, piece.last)
            self._tally.resent += found
            if found:
                for each in await self.call(self._spool.pending, MAX_PIECES):
                    if each.first_sequence <= piece.last < each.first_sequence + each.count:
                        self.resends.skip_to(piece.epoch, each.first_sequence + each.count)
                return True
        return False

    async def _candidates(self, turn: Turn) -> list[Chosen]:
        limit = self._settings.max_in_flight + len(self._flying) + len(turn.skipped)
        newest_first = self._settings.order == "newest-first"
        pending = await self.call(self._spool.pending, limit, newest_first)
        if not newest_first and len(pending) == limit:
            newest = await self.call(self._spool.pending, limit, newest_first=True)
            pending += [each for each in reversed(newest) if each.first_sequence >= self.live_from]
        flying = {first: flight.chosen.purpose for first, flight in self._flying.items()}
        return choose(
            pending, flying, turn.skipped | {*turn.arrived}, self.live_from, self._settings.max_in_flight
        )

    def _booked(self, candidates: list[Chosen], turn: Turn) -> list[Chosen]:
        """Those that the budget allows; the rest waits."""
        allowed = []
        for each in candidates:
            if each.purpose in turn.held:
                continue
            if self._account.book(each.purpose, self._size(each.batch)):
                allowed.append(each)
            else:
                turn.held.add(each.purpose)
        return allowed

    async def _start(self, chosen: list[Chosen], turn: Turn) -> None:
        if not chosen:
            return
        batches = [each.batch for each in chosen]
        try:
            ready = await self._connected(chosen)
            if ready:
                await self.call(self._spool.sending, batches)
        except BaseException:
            self._give_back(chosen)
            raise
        if not ready:
            self._give_back(chosen)
            turn.held.update(each.purpose for each in chosen)
            return
        for each in chosen:
            self._tally.published += 1
            task = asyncio.create_task(self._deliver(each.batch))
            self._flying[each.batch.first_sequence] = Flight(each, self._size(each.batch), task)

    def _give_back(self, chosen: list[Chosen]) -> None:
        for each in chosen:
            self._account.cancel(each.purpose, self._size(each.batch))

    async def _connected(self, chosen: list[Chosen]) -> bool:
        """Whether there is a connection; False when the budget does not allow one."""
        if not self._publisher.is_connected:
            urgent = any(each.purpose == Purpose.ALARM for each in chosen)
            if not self._account.book(Purpose.ALARM if urgent else Purpose.CONTROL, CONNECTION_BYTES):
                return False
            self._connected_at_s = 0.0
        try:
            await self._publisher.connect()
        except PublishError:
            self._tally.failed += 1
            raise
        if not self._connected_at_s:
            self._connected_at_s = asyncio.get_running_loop().time()
            self._tally.connects += 1
        return True

    async def _deliver(self, batch: Sealed) -> None:
        await self._publisher.publish(self._topic, batch.payload)
        await self.call(self._spool.ack, batch.first_sequence)

    async def _next_answers(self, turn: Turn) -> None:
        """Wait for an answer, or for something to send, and take note of what came."""
        woken = asyncio.create_task(self.woken.wait())
        waited: list[asyncio.Task[Any]] = [flight.task for flight in self._flying.values()]
        try:
            await asyncio.wait(
                [*waited, *([] if turn.error else [woken])], return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            woken.cancel()
        for first, flight in [*self._flying.items()]:
            if flight.task.done():
                del self._flying[first]
                await self._answered(first, flight.task.exception(), turn)
        self._account.settle(sum(flight.size for flight in self._flying.values()))
        self._beat()

    async def _answered(self, first: int, failure: BaseException | None, turn: Turn) -> None:
        match failure:
            case None:
                turn.passed += 1
                turn.arrived.append(first)
                self._tally.acked += 1
                self._refusals.passed(first)
                self._state.delivering()
            case PublishRefused():
                self._tally.failed += 1
                turn.skipped.add(first)
                turn.refusal = failure
                if self._refusals.is_final(first, failure.temporary):
                    await self._give_up(first, failure, turn)
            case Exception():
                self._tally.failed += 1
                turn.error = turn.error or failure
            case _:
                raise failure

    async def _give_up(self, first: int, reason: PublishRefused, turn: Turn) -> None:
        try:
            await self.call(self._spool.refuse, first)
        except SpoolError as exc:
            turn.error = turn.error or exc
            return
        turn.skipped.discard(first)
        self._tally.refused += 1
        if str(reason) != self._told:
            log.error("uplink: the broker takes others and not batch %d: %s; it is given up", first, reason)
        self._told = str(reason)

    async def _abandon(self) -> None:
        flights, self._flying = [*self._flying.values()], {}
        for flight in flights:
            flight.task.cancel()
        await asyncio.gather(*(flight.task for flight in flights), return_exceptions=True)

    def _size(self, batch: Sealed) -> int:
        return wire_bytes(self._topic, batch.payload)
