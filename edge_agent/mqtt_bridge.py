"""What both MQTT adapters share: one connection's events, carried from a library's threads to asyncio."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass

from edge_agent.publisher import MAX_COMMAND, REFUSED_FOR_NOW, PublishError, PublishRefused

TOO_LARGE = 0x95
"""Reason code "packet too large": the broker hangs up with it instead of answering (MQTT 5.0, 3.14.2.1)."""


log = logging.getLogger(__name__)


class Commands:
    """What comes from the cloud on one topic, on its way to whoever obeys it."""

    def __init__(self, topic: str, take: Callable[[bytes], None] | None) -> None:
        """Without a topic or a taker nothing is subscribed to."""
        self.topic = topic if take is not None else ""
        self._take = take
        self._told = False

    def take(self, bridge: Bridge, payload: bytes) -> None:
        """Hand a command over to the event loop; may be called from any thread."""
        if self._take is not None:
            bridge.post(self._deliver, payload)

    def _deliver(self, payload: bytes) -> None:
        if len(payload) <= MAX_COMMAND:
            if self._take is not None:
                self._take(payload)
        elif not self._told:
            self._told = True
            log.warning(
                "a command on %s has %d bytes, more than %d; it is ignored, and this is said once",
                self.topic,
                len(payload),
                MAX_COMMAND,
            )


@dataclass(frozen=True, slots=True)
class _Waiting:
    answer: asyncio.Future[tuple[str, int]]
    size: int


class Bridge:
    """The life of one connection: opened once, lost once, acknowledgements between.

    ``opened``, ``lost``, ``acknowledged`` and ``failed`` may be called from any thread, the rest from
    the event loop that made the bridge. A lost connection fails all that waits: nothing hangs on it.
    """

    def __init__(self, where: str) -> None:
        """``where`` names the broker in messages, as host:port."""
        self._where = where
        self._loop = asyncio.get_running_loop()
        self._opening: asyncio.Future[None] = self._loop.create_future()
        self._waiting: dict[Hashable, _Waiting] = {}
        self._lost_because = ""

    @property
    def is_open(self) -> bool:
        """Whether the broker has accepted the connection and it has not been lost."""
        return self._opening.done() and not self._lost_because

    def opened(self) -> None:
        """The broker has accepted the connection."""
        self._post(self._open)

    def lost(self, because: str, code: int = 0) -> None:
        """The connection failed or ended; only the first cause counts. ``code`` is the broker's reason."""
        self._post(self._lose, because, code)

    def acknowledged(self, key: Hashable, refusal: str = "", code: int = 0) -> None:
        """The broker answered a publish; ``refusal`` and ``code`` are its reason when it did not take it."""
        self._post(self._answer, key, refusal, code)

    def post(self, call: Callable[[bytes], None], payload: bytes) -> None:
        """Have the event loop call this."""
        self._post(call, payload)

    def failed(self, key: Hashable, because: str) -> None:
        """A publish did not get through, while the connection may live on."""
        self._post(self._fail, key, because)

    async def until_open(self, timeout_s: float) -> None:
        """Wait for the broker's consent; raises PublishError."""
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.shield(self._opening)
        except TimeoutError as exc:
            self._lose(f"no connection within {timeout_s:g} s")
            raise self._failure() from exc

    def require_open(self) -> None:
        """Raise PublishError, with the cause, unless the connection is open."""
        if not self.is_open:
            raise self._failure()

    async def until_acknowledged(self, key: Hashable, topic: str, size: int, timeout_s: float) -> None:
        """Wait for the answer to a publish of ``size`` bytes; raises PublishError or PublishRefused.

        Without an answer in time the connection counts as lost: it may be half open for hours.
        """
        self.require_open()
        waiting = self._waiting[key] = _Waiting(self._loop.create_future(), size)
        try:
            async with asyncio.timeout(timeout_s):
                refusal, code = await asyncio.shield(waiting.answer)
        except TimeoutError as exc:
            self._lose(f"no acknowledgement within {timeout_s:g} s")
            raise self._failure() from exc
        finally:
            del self._waiting[key]
            waiting.answer.cancel()
        if refusal:
            raise PublishRefused(f"{self._where}: {topic}: {refusal}", code in REFUSED_FOR_NOW)

    def _post(self, call: Callable[..., None], *args: object) -> None:
        # A library's thread may outlive the event loop by a moment; nobody waits for its news then.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call, *args)

    def _open(self) -> None:
        if not self._opening.done():
            self._opening.set_result(None)

    def _lose(self, because: str, code: int = 0) -> None:
        if self._lost_because:
            return
        self._lost_because = because
        if not self._opening.done():
            self._opening.set_exception(self._failure())
            self._opening.exception()  # read, or asyncio complains when nobody is waiting for it
        unanswered = [each for each in self._waiting.values() if not each.answer.done()]
        if code == TOO_LARGE and unanswered:
            # The broker does not say which; no smaller one can be to blame.
            largest = max(unanswered, key=lambda each: each.size)
            largest.answer.set_result((because, code))
        for each in unanswered:
            if not each.answer.done():
                each.answer.set_exception(self._failure())

    def _answer(self, key: Hashable, refusal: str, code: int) -> None:
        waiting = self._waiting.get(key)
        if waiting is not None and not waiting.answer.done():
            waiting.answer.set_result((refusal, code))

    def _fail(self, key: Hashable, because: str) -> None:
        waiting = self._waiting.get(key)
        if waiting is not None and not waiting.answer.done():
            waiting.answer.set_exception(PublishError(f"{self._where}: {because}"))

    def _failure(self) -> PublishError:
        return PublishError(f"{self._where}: {self._lost_because or 'not connected'}")
