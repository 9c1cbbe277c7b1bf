"""Goodput of one TCP connection to a responder at the far end, within a byte cap: opt-in, it costs data."""

from __future__ import annotations

import asyncio
import errno
import time

from edge_agent.contract import Outcome, row
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.bulk_packet import BulkError
from edge_agent.probes.bulk_settings import BulkSettings
from edge_agent.probes.bulk_transfer import Transfer, Watch
from edge_agent.probes.probe import Measurement, ProbeError
from edge_agent.probes.resolve import Endpoint, Resolver
from edge_agent.probes.shared_key import read_key
from edge_agent.probes.tcp import connect_tcp, open_tcp

RESOLVE_WITHIN, GREET_WITHIN = 0.2, 0.2
"""Parts of a round's timeout for the name, and for the connection."""
SEND_UNTIL, REPORT_AT = 0.7, 0.95
"""Parts of it until which data is sent, and after which a round reports what it has."""
SAMPLE_S = 0.05
CLOCKS_DIFFER = 1.01
"""By how much the reflector's clock may run faster than ours, as a factor."""
_LARGEST_KBPS, _LARGEST_BYTES = (1 << 32) - 2, (1 << 32) - 2


class BulkProbe:
    """Sends data to the reflector up to the cap or for a time; the reflector tells how fast it came."""

    kind = "bulk"

    def __init__(self, settings: BulkSettings, resolver: Resolver | None = None) -> None:
        self._settings = settings
        self._resolver = resolver or Resolver()

    async def __call__(self, link: ProbedLink) -> Measurement:
        """One round; raises ProbeError when no reflector takes the data."""
        settings, started = self._settings, time.monotonic()
        key = read_key(settings.key_file) if settings.key_file else None
        resolve_s = settings.timeout_s * RESOLVE_WITHIN
        endpoint = await self._resolver.resolve(link.target, link.device, resolve_s)
        transfer = Transfer(open_tcp(endpoint, link), key, settings.max_bytes)
        try:
            await self._greet(transfer, endpoint, link)
            return await self._measure(transfer, started, link)
        finally:
            transfer.close()

    async def _greet(self, transfer: Transfer, endpoint: Endpoint, link: ProbedLink) -> None:
        code = 0
        try:
            async with asyncio.timeout(self._settings.timeout_s * GREET_WITHIN):
                code, _ = await connect_tcp(transfer.opened, endpoint, self._settings.port)
                if not code:
                    await transfer.greet()
                    return
        except (OSError, EOFError, BulkError):  # a TimeoutError is an OSError
            pass
        place = f"TCP port {self._settings.port} of {link.target}"
        found = f"nothing listens on {place}" if code == errno.ECONNREFUSED else f"no offer from {place}"
        ask = "does 'edge-agent reflect --bulk' run there and allow this machine, or is it busy?"
        raise ProbeError(Outcome.UNREACHABLE, f"{found}: {ask}")

    async def _measure(self, transfer: Transfer, started: float, link: ProbedLink) -> Measurement:
        """Transfer, and watch that it keeps to its cap and its time."""
        settings, watch = self._settings, transfer.watch
        by = started + settings.timeout_s * REPORT_AT
        task = asyncio.create_task(transfer.run(started + settings.timeout_s * SEND_UNTIL))
        try:
            while not task.done() and time.monotonic() < by and watch.spent_bytes <= settings.max_bytes:
                await asyncio.wait({task}, timeout=SAMPLE_S)
                watch.sample(transfer.opened)
            return reading(watch, self._believable(task.result(), link, watch) if task.done() else None)
        except (OSError, EOFError, BulkError) as exc:
            ask = "does it have the same key" if settings.key_file else "does it want a key"
            after = f"broke the transfer off after {watch.handed_bytes} bytes"
            raise ProbeError(Outcome.FAILED, f"{link.target} {after}: {ask}, or is it busy?") from exc
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _believable(self, told: tuple[int, int], link: ProbedLink, watch: Watch) -> tuple[int, int]:
        """What the reflector tells; raises ProbeError when it cannot be."""
        received, duration_ns = told
        longest_ns = (time.monotonic_ns() - watch.began_ns) * CLOCKS_DIFFER
        too_fast = duration_ns and received * 8_000_000 // duration_ns > _LARGEST_KBPS
        if received > watch.handed_bytes or duration_ns > longest_ns or too_fast:
            what = f"{received} of {watch.handed_bytes} bytes came in {duration_ns} ns"
            raise ProbeError(Outcome.FAILED, f"{link.target} tells what cannot be: {what}")
        return told

    def close(self) -> None:
        """Nothing is held between rounds."""


def reading(watch: Watch, result: tuple[int, int] | None) -> Measurement:
    """The bulk reading of a round; ``result`` is what the reflector tells, in bytes and ns.

    Goodput is payload from its first byte to its last as they came there, slow start included. When the
    reflector could not tell, it is what it acknowledged until now.
    """
    info = watch.info
    received, duration_ns = result or watch.acknowledged()
    is_timed = received > 0 and duration_ns > 0
    values = row(
        "bulk",
        spent_bytes=min(watch.spent_bytes, _LARGEST_BYTES),
        duration_us=duration_ns // 1000 if is_timed else None,
        goodput_kbps=received * 8_000_000 // duration_ns if is_timed else None,
        retransmitted=info.retransmitted if info else None,
        rtt_min_us=info.rtt_min_us if info else None,
        rtt_max_us=max(watch.rtt_max_us, info.rtt_min_us) if info and info.rtt_min_us is not None else None,
    )
    return Measurement("bulk", values)
