"""What both MQTT adapters share: one connection's events, carried from a library's threads to asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from contextlib import suppress

from edge_agent.uplink import PublishError, PublishRefused


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
        self._waiting: dict[Hashable, asyncio.Future[str]] = {}
        self._lost_because = ""

    @property
    def is_open(self) -> bool:
        """Whether the broker has accepted the connection and it has not been lost."""
        return self._opening.done() and not self._lost_because

    def opened(self) -> None:
        """The broker has accepted the connection."""
        self._post(self._open)

    def lost(self, because: str) -> None:
        """The connection failed or ended; only the first cause counts."""
        self._post(self._lose, because)

    def acknowledged(self, key: Hashable, refusal: str = "") -> None:
        """The broker answered a publish; ``refusal`` is its reason when it did not take it."""
        self._post(self._answer, key, refusal)

    def failed(self, key: Hashable, because: str) -> None:
        """A publish did not get through, while the connection may live on."""
        self._post(self._fail, key, because)

    async def until_open(self, timeout_s: float) -> None:
        """Wait for the broker's consent; raises PublishError."""
        try:
            await asyncio.wait_for(asyncio.shield(self._opening), timeout_s)
        except TimeoutError as exc:
            self._lose(f"no connection within {timeout_s:g} s")
            raise self._failure() from exc

    def require_open(self) -> None:
        """Raise PublishError, with the cause, unless the connection is open."""
        if not self.is_open:
            raise self._failure()

    async def until_acknowledged(self, key: Hashable, topic: str, timeout_s: float) -> None:
        """Wait for the answer to the publish ``key``; raises PublishError or PublishRefused.

        Without an answer in time the connection counts as lost: it may be half open for hours.
        """
        self.require_open()
        answer = self._waiting[key] = self._loop.create_future()
        try:
            refusal = await asyncio.wait_for(asyncio.shield(answer), timeout_s)
        except TimeoutError as exc:
            self._lose(f"no acknowledgement within {timeout_s:g} s")
            raise self._failure() from exc
        finally:
            del self._waiting[key]
            answer.cancel()
        if refusal:
            raise PublishRefused(f"{self._where}: {topic}: {refusal}")

    def _post(self, call: Callable[..., None], *args: object) -> None:
        # A library's thread may outlive the event loop by a moment; nobody waits for its news then.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call, *args)

    def _open(self) -> None:
        if not self._opening.done():
            self._opening.set_result(None)

    def _lose(self, because: str) -> None:
        if self._lost_because:
            return
        self._lost_because = because
        if not self._opening.done():
            self._opening.set_exception(self._failure())
            self._opening.exception()  # read, or asyncio complains when nobody is waiting for it
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(self._failure())

    def _answer(self, key: Hashable, refusal: str) -> None:
        answer = self._waiting.get(key)
        if answer is not None and not answer.done():
            answer.set_result(refusal)

    def _fail(self, key: Hashable, because: str) -> None:
        answer = self._waiting.get(key)
        if answer is not None and not answer.done():
            answer.set_exception(PublishError(f"{self._where}: {because}"))

    def _failure(self) -> PublishError:
        return PublishError(f"{self._where}: {self._lost_because or 'not connected'}")
