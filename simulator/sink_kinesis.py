"""Batches straight into the Kinesis stream, wrapped as the IoT rule wraps them and marked as direct."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from edge_agent.contract import Reading
from edge_agent.sealing import Sealed
from simulator.sealer import Sealer, epoch_of
from simulator.target import SimulatorError, Target
from simulator.world import Gateway, World

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_kinesis.type_defs import PutRecordsRequestEntryTypeDef

MAX_RECORDS = 500
"""Records of one PutRecords (docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html)."""
MAX_BYTES = 4 << 20
"""Data of one call, below its limit with room for partition keys."""
PATIENCE_S = 30.0
"""How long the stream may take nothing at all before the run ends."""
_BACKOFF_S = (0.1, 5.0)
_THROTTLED = {"ProvisionedThroughputExceededException", "LimitExceededException", "KMSThrottlingException"}


@dataclass(frozen=True, slots=True)
class _Record:
    gateway: str
    data: bytes
    count: int


class KinesisSink:
    """Puts batches into the stream of a stack that allows it; what the stream refuses is tried again."""

    def __init__(
        self,
        client: KinesisClient,
        stream: str,
        world: World,
        start_ms: int,
        now_ms: Callable[[], int],
        target: Target,
        *,
        patience_s: float = PATIENCE_S,
        backoff_s: tuple[float, float] = _BACKOFF_S,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """``now_ms`` is the world's time of sealing, ``wall_ms`` the real one of receipt."""
        self._client = client
        self._stream = stream
        self._target = target
        self._now_ms, self._wall_ms = now_ms, wall_ms
        self._patience_s = patience_s
        self._backoff_s = backoff_s
        self._sealers = {
            gateway.name: Sealer(gateway, epoch_of(world.seed, gateway.name, start_ms))
            for gateway in world.gateways
        }
        self._queue: deque[_Record] = deque()
        self._put = 0

    async def open(self) -> None:
        """Nothing to open: each call is its own."""

    def accept(self, gateway: Gateway, readings: Sequence[Reading]) -> None:
        """Keep the readings for the next flush."""
        self._sealers[gateway.name].add(readings)

    async def flush(self) -> None:
        """Seal and put all that waits; raises SimulatorError when the stream takes nothing for long."""
        for name, sealer in self._sealers.items():
            self._queue.extend(self._wrap(name, batch) for batch in sealer.seal(self._now_ms()))
        failures, trouble, since = 0, None, time.monotonic()
        while self._queue:
            try:
                if await self._put_some(list(self._head())):
                    failures, trouble, since = 0, None, time.monotonic()
                    continue
            except SimulatorError as exc:
                if not _is_passing(exc.__cause__):
                    raise
                trouble = exc
            failures += 1
            if time.monotonic() - since > self._patience_s:
                waited = f"stream {self._stream} has taken nothing for {self._patience_s:g} s"
                raise trouble or SimulatorError(waited)
            least, most = self._backoff_s
            await asyncio.sleep(random.uniform(0, min(most, least * 2**failures)))

    async def finish(self, within_s: float) -> None:
        """Put the rest."""
        try:
            async with asyncio.timeout(within_s):
                await self.flush()
        except TimeoutError:
            return

    async def close(self) -> None:
        """Close the client's connections."""
        self._client.close()

    @property
    def acknowledged(self) -> int:
        """Readings in the stream."""
        return self._put

    @property
    def connected(self) -> int:
        """None has a connection of its own."""
        return 0

    def _wrap(self, gateway: str, batch: Sealed) -> _Record:
        payload = base64.b64encode(batch.payload).decode()
        envelope = {"b": payload, "thing": gateway, "rx": self._wall_ms(), "source": "direct"}
        return _Record(gateway, json.dumps(envelope, separators=(",", ":")).encode(), batch.count)

    def _head(self) -> Iterator[_Record]:
        """The oldest records that go into one call."""
        size = 0
        for record, _ in zip(self._queue, range(MAX_RECORDS), strict=False):
            size += len(record.data) + len(record.gateway)
            if size > MAX_BYTES:
                return
            yield record

    async def _put_some(self, records: Sequence[_Record]) -> int:
        """Put the head of the queue; the number of records taken, the others stay in the queue."""
        refused = await asyncio.to_thread(self._call, records)
        for _ in records:
            self._queue.popleft()
        self._queue.extendleft(reversed(refused))
        self._put += sum(record.count for record in records) - sum(record.count for record in refused)
        return len(records) - len(refused)

    def _call(self, records: Sequence[_Record]) -> list[_Record]:
        """One PutRecords; the records that it refused."""
        entries: list[PutRecordsRequestEntryTypeDef] = [
            {"Data": record.data, "PartitionKey": record.gateway} for record in records
        ]
        with self._target.failures():
            answers = self._client.put_records(StreamName=self._stream, Records=entries)["Records"]
        return [record for record, answer in zip(records, answers, strict=True) if answer.get("ErrorCode")]


def _is_passing(cause: BaseException | None) -> bool:
    """Whether another try may help: no answer, throttling or a fault of the service."""
    if not isinstance(cause, ClientError):
        return True
    status = cause.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
    return status >= 500 or cause.response["Error"].get("Code") in _THROTTLED
