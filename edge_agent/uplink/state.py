"""What the uplink is doing, told in the log when it changes, and at any time to whoever asks."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from edge_agent.contract import ContractError
from edge_agent.publisher import PublishRefused
from edge_agent.spool import SpoolError

log = logging.getLogger("edge_agent.uplink")


@dataclass(slots=True)
class Tally:
    """What the uplink has done since it was made."""

    published: int = 0
    acked: int = 0
    refused: int = 0
    failed: int = 0
    connects: int = 0
    resent: int = 0


@dataclass(frozen=True, slots=True)
class UplinkCounts:
    """What the uplink is doing, and has done since it was made."""

    state: str
    """starting, delivering, held (by the budget), refused or unreachable."""
    since_ms: int
    """When that began, by the wall clock; 0 before anything was tried."""
    why: str
    """What went wrong last, "" while delivering."""
    published: int
    """Publishes begun, repeats included."""
    acked: int
    """Batches that the broker has acknowledged."""
    refused: int
    """Batches given up because the broker takes others and not them."""
    failed: int
    """Publishes and attempts to connect that failed, refusals included."""
    connects: int
    resent: int
    """Readings that the cloud asked for again and that were still held."""


class UplinkState:
    """One state at a time, a line in the log for each change."""

    def __init__(self, wall_ms: Callable[[], int]) -> None:
        self._wall_ms = wall_ms
        self._state, self._since_ms, self._why = "starting", 0, ""
        self._spool_fails = False
        self._deaf = False
        self.tally = Tally()

    def counts(self) -> UplinkCounts:
        """All of it at this moment."""
        done = self.tally
        return UplinkCounts(
            self._state,
            self._since_ms,
            self._why,
            done.published,
            done.acked,
            done.refused,
            done.failed,
            done.connects,
            done.resent,
        )

    def delivering(self) -> None:
        """A batch has arrived."""
        self._note("delivering", logging.INFO, "batches are being delivered")

    def held(self, what: str) -> None:
        """The budget holds something back."""
        why = f"the data budget holds back: {what}"
        self._note("held", logging.WARNING, f"{why}; batches are kept", why)

    def failed(self, exc: Exception) -> None:
        """Something went wrong with the broker, or with the spool."""
        match exc:
            case PublishRefused():
                message = f"the broker refuses: {exc}; batches are kept"
                self._note("refused", logging.ERROR, message, str(exc))
            case SpoolError() | ContractError():
                # Apart from the state of the broker: both may fail in turns for days.
                self._why = str(exc)
                if not self._spool_fails:
                    log.error("uplink: the spool fails: %s; trying again", exc)
                self._spool_fails = True
            case _:
                message = f"{exc}; batches are kept, trying again"
                self._note("unreachable", logging.WARNING, message, str(exc))

    def spool_works(self) -> None:
        """The spool did what it was asked for."""
        self._spool_fails = False

    def deaf(self, why: str) -> None:
        """A command of the cloud is not obeyed."""
        if not self._deaf:
            log.warning("uplink: %s; this is said once", why)
        self._deaf = True

    def _note(self, state: str, level: int, message: str, why: str = "") -> None:
        self._why = why
        if state != self._state:
            log.log(level, "uplink: %s", message)
            self._state, self._since_ms = state, self._wall_ms()
