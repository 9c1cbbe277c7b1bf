"""The event source mapping from the stream to the function, as AWS Lambda documents it.

Modelled: batch size, window and payload limit, parallelization factor, partial batch responses, bisection,
retry and age limits, the S3 on-failure destination, iterator age, parent shards before their children. Not
modelled, and refused where a mapping asks for it: filters, tumbling windows, enhanced fan-out, AT_TIMESTAMP.
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
    Shard,
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
        reshard_check_s: float = RESHARD_CHECK_S,
    ) -> None:
        self._settings = settings
        self._reshard_check_s = reshard_check_s
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
        self._finished: set[str] = set()
        self._wake = threading.Event()
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
        self._wake.set()
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
        while self._another_look(failures):
            if found:
                position = "TRIM_HORIZON"
            if self._find_shards(position, failures):
                found, failures = True, 0
            else:
                failures += 1

    def _another_look(self, failures: int) -> bool:
        """Wait for the time of the next look, or until a shard is done with; False when stopping."""
        self._wake.wait(self._backoff.delay_s(failures) if failures else self._reshard_check_s)
        self._wake.clear()
        return not self._stopping.is_set()

    def _find_shards(self, position: str, failures: int) -> bool:
        try:
            facts, shards = self._stream.facts(), self._stream.shards()
            listed = {shard.shard_id for shard in shards}
            self._retire(listed)
            for shard in shards:
                if self._is_due(shard, listed, position):
                    self._begin(shard.shard_id, position, facts)
        except StreamUnavailableError as exc:
            if not failures and not self._pollers:  # a poller tells of its own shard
                log.warning("the shards cannot be listed, trying again: %s", exc)
            return False
        return True

    def _is_due(self, shard: Shard, listed: set[str], position: str) -> bool:
        """Whether a shard is to be read from now on: nothing is left to read of those it came from.

        "If you read data from the child shards before having read all data from the parent shards, you
        could read data for a particular hash key out of the order" (Kinesis Data Streams developer guide,
        kinesis-using-sdk-java-after-resharding). Of a closed shard LATEST reads nothing.
        """
        if shard.shard_id in self._pollers or shard.shard_id in self._finished:
            return False
        return position == "LATEST" or not any(
            parent in self._pollers or (parent in listed and parent not in self._finished)
            for parent in shard.parents
        )

    def _retire(self, listed: set[str]) -> None:
        """Let go of shards that are read to their end, or that the stream does not keep any more."""
        for shard_id, poller in list(self._pollers.items()):
            if poller.finished or (shard_id not in listed and not poller.outstanding):
                self._finished.add(shard_id)
                poller.ask_to_stop()
                with self._lock:
                    del self._pollers[shard_id]

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
            self._wake.set,
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
