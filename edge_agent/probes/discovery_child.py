"""Runs the discovery child: within a time, within a size, and gone however the round ends."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Sequence
from typing import TypeVar

from edge_agent.contract import Outcome
from edge_agent.discovery.messages import ChildError, NeighbourRequest, PathRequest, write
from edge_agent.probes.probe import ProbeError
from edge_agent.probes.socket_errors import probe_error

T = TypeVar("T")

MAX_SAID = 262_144
MODULE = (sys.executable, "-P", "-m", "edge_agent.discovery")
"""-P: what lies in the current folder is not the agent's code."""


async def ask(
    what: str,
    request: PathRequest | NeighbourRequest,
    sockets: Sequence[int],
    command: Sequence[str] = MODULE,
) -> bytes:
    """What a child says to a request, with the sockets in its hands; raises ProbeError when it fails.

    A cancelled round, by its timeout too, kills the child and waits until it is gone.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command, what, write(request), stdin=DEVNULL, stdout=PIPE, stderr=PIPE, pass_fds=sockets
        )
    except OSError as exc:
        raise probe_error(exc, f"start the child that looks for the {what}") from exc
    try:
        return await _answer(process)
    finally:
        if process.returncode is None:
            process.kill()
        await asyncio.shield(_gone(process))


async def _answer(process: Process) -> bytes:
    said, complaint = await _read(process, MAX_SAID)
    if len(said) > MAX_SAID:
        raise ProbeError(Outcome.FAILED, f"the discovery child said more than {MAX_SAID} B")
    if await process.wait() == 0:
        return said
    lines = complaint.decode(errors="replace").strip().splitlines()
    reason = lines[-1][:200] if lines else f"it ended with {process.returncode}"
    raise ProbeError(Outcome.FAILED, f"the discovery child failed: {reason}")


async def _gone(process: Process) -> None:
    """Wait for the end of a child; asyncio tells it only after its pipes are read to theirs."""
    await _read(process, 0)
    await process.wait()


async def _read(process: Process, limit: int) -> list[bytes]:
    """Output and errors; a child is killed once it says more than the limit, and the rest is dropped."""
    streams = [stream for stream in (process.stdout, process.stderr) if stream]
    return await asyncio.gather(*(_take(process, stream, limit) for stream in streams))


async def _take(process: Process, stream: asyncio.StreamReader, limit: int) -> bytes:
    taken = bytearray()
    while piece := await stream.read(65_536):
        taken += piece[: limit + 1 - len(taken)]
        if len(taken) > limit and process.returncode is None:
            process.kill()
    return bytes(taken)


def understood(said: bytes, read: Callable[[bytes], list[T]]) -> list[T]:
    """What the child found; raises ProbeError for what it could not do, and for what cannot be read."""
    try:
        return read(said)
    except ChildError as error:
        if error.code:
            raise probe_error(OSError(error.code, os.strerror(error.code)), error.message) from error
        raise ProbeError(Outcome.FAILED, error.message) from error
    except ValueError as exc:
        raise ProbeError(Outcome.FAILED, f"the discovery child is not understood: {exc}") from exc
