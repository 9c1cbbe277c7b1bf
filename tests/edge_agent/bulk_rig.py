"""A bulk responder and probe on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.bulk import BulkProbe
from edge_agent.probes.bulk_settings import BulkSettings
from edge_agent.probes.probe import Measurement
from edge_agent.reflector.admission import Admission
from edge_agent.reflector.bulk_responder import BulkResponder
from edge_agent.reflector.settings import ReflectorSettings

NONCE, KEY = b"nonce67890123456", b"0123456789abcdef"


@asynccontextmanager
async def responder(**settings: Any) -> AsyncIterator[BulkResponder]:
    wanted = ReflectorSettings(**{"train_port": 0, "bulk": True, **settings})
    running = BulkResponder(wanted, Admission(wanted))
    await running.start()
    try:
        yield running
    finally:
        running.close()


async def probed(port: int, target: str = "127.0.0.1", **settings: Any) -> Measurement:
    probe = BulkProbe(BulkSettings(port=port, **settings))
    return await probe(ProbedLink("a", target=target, interface="lo"))
