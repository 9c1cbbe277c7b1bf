"""The event source mapping from the stream to the function, as AWS Lambda documents it.

Modelled: batch size, window and payload limit, parallelization factor, partial batch responses, bisection,
retry and age limits, the S3 on-failure destination. Not modelled: filters, tumbling windows, enhanced
fan-out, AT_TIMESTAMP, the order between parent and child shards.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from infrastructure.local.function.invocation import Counting, Function
from infrastructure.local.mapping.clock import Clock, SystemClock
from infrastructure.local.mapping.failure import FailureBucket
from infrastructure.local.mapping.lane import Batching
from infrastructure.local.mapping.progress import Progress
from infrastructure.local.mapping.retry import UNLIMITED, Backoff, Rules
from infrastructure.local.mapping.settings import MappingError, MappingSettings
from infrastructure.local.mapping.shard import ShardPlan, ShardPoller
from infrastructure.local.mapping.stream import (
    KinesisShard,
    Origin,
    Stream,
    StreamFacts,
    StreamUnavailableError,
)

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)

__all__ = ["EventSourceMapping", "MappingError", "MappingSettings"]

RESHARD_CHECK_S = 10.0


class EventSourceMapping:
    """Polls every shard of the stream and invokes the function with what it reads."""

    def __init__(
        self,
        kinesis: KinesisClient,
        s3: S3Client,
        settings: MappingSettings,
        function: Function,
        counters: Counting,
        *,
        backoff: Backoff | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._settings = settings
        self._function = function
        self._counters = counters
        self._backoff = backoff or Backoff()
        self._clock = clock or SystemClock()
        self._origin = Origin(settings.stream_arn, settings.region, settings.role_arn)
        self._stream = Stream(kinesis, settings.stream_name)
        bucket = settings.on_failure_bucket
        self._destination = (
            FailureBucket(s3, bucket, settings.uuid, self._origin, settings.function_arn) if bucket else None
        )
        self._progress: dict[str, Progress] = {}
        self._lock = threading.Lock()
        self._pollers: dict[str, ShardPoller] = {}
        self._stopping = threading.Event()
        self._watch: threading.Thread | None = None

    def start(self) -> None:
        """Begin to poll: shards of this moment from the starting position, later ones from their beginning.

        An engine that does not answer yet is waited for in the background. After a stop it goes on
        from the checkpoints: "Lambda keeps track of the last record processed and resumes processing
        from that point when it's reenabled".
        """
        if self._watch is not None:
            return
        self._stopping.clear()
        position = self._settings.starting_position
        found = self._find_shards(position, failures=0)
        self._watch = threading.Thread(
            target=self._look_for_shards, args=(position, found), name="mapping-shards", daemon=True
        )
        self._watch.start()

    def stop(self, timeout_s: float = 30.0) -> bool:
        """Let invocations under way finish, no new ones begin; whether all had ended in time."""
        if self._watch is None:
            return True
        deadline_s = time.monotonic() + timeout_s
        self._stopping.set()
        self._watch.join(timeout_s)
        pollers = self._current()
        for poller in pollers:
            poller.ask_to_stop()
        ended = [poller.join(max(0.0, deadline_s - time.monotonic())) for poller in pollers]
        with self._lock:
            self._pollers.clear()
        self._watch = None
        return all(ended)

    @property
    def alive(self) -> bool:
        """Whether every thread that should run does."""
        running = self._watch is not None and self._watch.is_alive()
        return running and all(poller.alive for poller in self._current())

    def iterator_age_ms(self) -> int:
        """Age of the last record of the oldest batch in hand, over all shards; 0 when there is none."""
        return max((poller.iterator_age_ms() for poller in self._current()), default=0)

    def outstanding(self) -> int:
        """Records read and not yet covered by a checkpoint, over all shards."""
        return sum(poller.outstanding for poller in self._current())

    def checkpoints(self) -> dict[str, str | None]:
        """The last sequence number of each shard up to which everything is completed."""
        with self._lock:
            return {shard_id: progress.checkpoint for shard_id, progress in self._progress.items()}

    def _current(self) -> list[ShardPoller]:
        with self._lock:
            return list(self._pollers.values())

    def _look_for_shards(self, position: str, found: bool) -> None:
        """Find shards until there are some, then those that resharding adds."""
        failures = 0 if found else 1
        while not self._stopping.wait(self._backoff.delay_s(failures) if failures else RESHARD_CHECK_S):
            if found:
                position = "TRIM_HORIZON"
            if self._find_shards(position, failures):
                found, failures = True, 0
            else:
                failures += 1

    def _find_shards(self, position: str, failures: int) -> bool:
        try:
            facts = self._stream.facts()
            for shard_id in self._stream.shard_ids():
                if shard_id not in self._pollers:
                    self._begin(shard_id, position, facts)
        except StreamUnavailableError as exc:
            if not failures and not self._pollers:  # a poller tells of its own shard
                log.warning("the shards cannot be listed, trying again: %s", exc)
            return False
        return True

    def _begin(self, shard_id: str, position: str, facts: StreamFacts) -> None:
        with self._lock:
            before = self._progress.get(shard_id)
        progress = Progress(before.checkpoint if before else None)
        source = KinesisShard(
            self._stream, shard_id, position, progress.checkpoint, self._clock.wall_ms, facts
        )
        source.open()
        poller = ShardPoller(
            shard_id,
            source,
            self._plan(facts),
            self._function,
            self._destination,
            self._counters,
            self._clock,
            progress,
        )
        with self._lock:
            self._progress[shard_id] = progress
            self._pollers[shard_id] = poller
        poller.start()

    def _plan(self, facts: StreamFacts) -> ShardPlan:
        settings = self._settings
        limits_s = [facts.retention_s]
        if settings.maximum_record_age_s != UNLIMITED:
            limits_s.append(settings.maximum_record_age_s)
        rules = Rules(
            settings.report_batch_item_failures,
            settings.bisect,
            settings.maximum_retry_attempts,
            min(limits_s) * 1000,
        )
        batching = Batching(settings.batch_size, settings.window_s)
        return ShardPlan(settings.parallelization_factor, batching, rules, self._backoff, self._origin)
