"""Connections to one server that stay open between requests, of any thread: the standard library's.

Those of urllib3 do the same for twice the CPU time of a small request, and a function of half a core has
200 of them to make a minute.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from email.message import Message
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from select import POLLIN, poll
from socket import socket
from ssl import SSLContext, SSLSocket
from typing import NamedTuple
from urllib.parse import urlsplit


class Answer(NamedTuple):
    """What the server said."""

    status: int
    headers: Message
    content: bytes


class Connections:
    """Each is of one request at a time; so many as were free at once are kept, ``kept`` at most."""

    def __init__(
        self, server: str, context: SSLContext | None, connect_s: float, answer_s: float, kept: int
    ) -> None:
        """``server`` is scheme and authority, ``context`` for https; an answer may pause for ``answer_s``."""
        self._authority = urlsplit(server).netloc
        self._context = context
        self._connect_s, self._answer_s = connect_s, answer_s
        self._kept = kept
        self._free: deque[HTTPConnection] = deque()

    def post(self, content: bytes, headers: Mapping[str, str]) -> Answer:
        """The whole answer to a request for "/".

        Raises OSError, HTTPException, ValueError for headers, OverflowError or MemoryError for an answer
        that says it is longer than anything.
        """
        connection = self._take()
        try:
            if not connection.sock:
                connection.connect()
                connection.sock.settimeout(self._answer_s)
            connection.request("POST", "/", content, headers)
            response = connection.getresponse()
            answer = Answer(response.status, response.headers, response.read())
            if answer.status < 200:
                raise HTTPException(f"{answer.status} is no answer")
        except BaseException:
            connection.close()
            raise
        if connection.sock:
            self._free.append(connection)
            self._close_but(self._kept)
        return answer

    def close(self) -> None:
        """End those that are kept."""
        self._close_but(0)

    def _close_but(self, kept: int) -> None:
        """End what was not used for longest, until so many are left."""
        while len(self._free) > kept:
            # Another thread may have had it.
            with suppress(IndexError):
                self._free.popleft().close()

    def _take(self) -> HTTPConnection:
        """The one that was used last, which is the likeliest to be open; else a new one."""
        with suppress(IndexError):
            while True:
                connection = self._free.pop()
                if not _has_ended(connection.sock):
                    return connection
                connection.close()
        return self._new()

    def _new(self) -> HTTPConnection:
        """One that is not connected yet."""
        if self._context:
            return HTTPSConnection(self._authority, timeout=self._connect_s, context=self._context)
        return HTTPConnection(self._authority, timeout=self._connect_s)


def _has_ended(kept: socket) -> bool:
    """Whether there is something to read although nothing was asked: mostly the end of the connection."""
    if isinstance(kept, SSLSocket) and kept.pending():
        return True
    asked = poll()
    asked.register(kept, POLLIN)
    return bool(asked.poll(0))
