"""Stream, mapping, functions and tables in one process and in virtual time, everything seeded.

The mapping is that of the local cloud (its lanes, retries and bisections, without its threads), the
functions are those that are deployed; each invocation may end between any two of its calls.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cloud.dynamo import Patience
from cloud.ingest import Pipeline
from cloud.keys import DAY_MS
from cloud.latest import Latest
from cloud.latest_store import LatestStore
from cloud.link_change import Change
from cloud.registry import Registry
from cloud.rollup import Rollups, make
from cloud.rollup_settings import RollupSettings
from cloud.settings import Settings
from cloud.store import Store
from infrastructure.local.faults import Dice, Fault, FaultPlan
from infrastructure.local.function.invocation import Outcome, Result
from infrastructure.local.mapping.lane import Batching, Lane, Send, Wait, lane_of
from infrastructure.local.mapping.retry import Backoff, Rules
from infrastructure.local.mapping.stream import Origin, Record, event, event_sizer
from tests.benchmarks.exactness_faults import Ended, FaultyClient
from tests.benchmarks.exactness_fleet import Delivery
from tests.benchmarks.exactness_tables import Tables

SHARDS, LANES = 2, 2
RETENTION_DAYS = 30
RATES = {
    **dict.fromkeys(Fault, 0.0),
    Fault.CRASH: 0.05,
    Fault.TIMEOUT: 0.005,
    Fault.THROTTLED: 0.004,
    Fault.SERVER_ERROR: 0.003,
    Fault.ANSWER_LOST: 0.003,
    Fault.UNPROCESSED: 0.01,
}
"""5 % of the invocations crash between two calls, 1 % of the calls fail; duplicates and lateness apart."""
_ORIGIN = Origin("arn:aws:kinesis:eu-central-1:000000000000:stream/s", "eu-central-1", "role")
_SIZE_OF = event_sizer(_ORIGIN)
BATCHING = Batching(200, 5.0)
RULES = Rules(
    report_batch_item_failures=True, bisect=True, maximum_retry_attempts=100, maximum_age_ms=43_200_000
)
"""As infrastructure/template.yaml has them."""
TABLES = {"readings": ("p", "s"), "latest": ("gateway",), "registry": ("p", "s"), "quarantine": ("p", "s")}
SETTINGS = Settings("bench", "readings", "latest", "registry", "quarantine", False, RETENTION_DAYS)
ROLLUP = RollupSettings("bench", "readings", "latest", RETENTION_DAYS, 29, 35, 400, 1_830, resend_hours=24)
FIVE_MINUTES_MS = 300_000
CALL_MS = 10
"""What a call of the rollup function takes of the virtual time."""
IN_HURRY, HURRY_S = 0.1, 0.04
"""Part of the invocations that have no more than so long, s: not enough for a second try."""


class Bus:
    """Takes every change of a link's state; all that it was told."""

    def __init__(self) -> None:
        self.told: Counter[str] = Counter()

    def tell(
        self, changes: Iterable[Change], states: Mapping[str, Latest], remains: Callable[[], bool]
    ) -> set[str]:
        ids = [change.id for change in changes]
        self.told.update(ids)
        return set(ids)


@dataclass(slots=True)
class World:
    """Everything between the fleet's batches and the tables."""

    seed: int
    now_ms: int
    rates: Mapping[Fault, float] = field(default_factory=lambda: RATES)
    tables: Tables = field(default_factory=lambda: Tables(TABLES))
    bus: Bus = field(default_factory=Bus)
    requests: list[tuple[str, bytes]] = field(default_factory=list)
    """What was published to gateways."""
    counts: Counter[str] = field(default_factory=Counter)
    handed_over: int = 0
    """Readings that the function was given, each time: what a counter in it would show."""
    discarded: int = 0
    dice: Dice = field(init=False)
    _ingesting: FaultyClient = field(init=False)
    _rolling: FaultyClient = field(init=False)
    _hurry: random.Random = field(init=False)
    _pipeline: Pipeline = field(init=False)
    _rollups: Rollups = field(init=False)
    _lanes: list[list[Lane]] = field(init=False)
    _coming: list[tuple[int, int, Delivery]] = field(default_factory=list)
    _sequences: itertools.count[int] = field(default_factory=lambda: itertools.count(10**20))
    _size: dict[str, int] = field(default_factory=dict)
    _ids: itertools.count[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.dice = Dice(FaultPlan(self.seed, self.rates), self)
        self._hurry = random.Random(f"hurry/{self.seed}")
        self._ingesting = FaultyClient(self.tables, self.dice)
        self._rolling = FaultyClient(self.tables, self.dice, self._meanwhile)
        self._begin_ingest()
        self._begin_rollup()
        now_s = self.now_ms / 1000
        self._lanes = [
            [Lane(BATCHING, RULES, Backoff(), _SIZE_OF, now_s) for _ in range(LANES)] for _ in range(SHARDS)
        ]

    def add(self, name: str, n: int = 1) -> None:
        """Count a fault that came about."""
        self.counts[name] += n

    def send(self, deliveries: Iterable[Delivery]) -> None:
        """Let records come at their times."""
        for each in deliveries:
            heapq.heappush(self._coming, (each.at_ms, next(self._ids), each))

    def run_until(self, until_ms: int) -> None:
        """Let time pass; every five minutes the rollup function is called."""
        while True:
            next_pass_ms = (self.now_ms // FIVE_MINUTES_MS + 1) * FIVE_MINUTES_MS
            at_ms = min([next_pass_ms, until_ms, *(each[0] for each in self._coming[:1]), *self._due()])
            self.now_ms = max(at_ms, self.now_ms)
            self._take_in()
            self._work()
            if self.now_ms == next_pass_ms:
                self.roll()
            if self.now_ms >= until_ms:
                return

    def roll(self) -> None:
        """One invocation of the rollup function."""
        now_ms = self.now_ms
        self._invoke(self._rolling, self._begin_rollup, lambda patience: self._rollups.run(now_ms, patience))

    def _meanwhile(self) -> None:
        """Records come in and are stored between two calls of the rollup function."""
        self.now_ms += CALL_MS
        if self._coming and self._coming[0][0] <= self.now_ms:
            self._take_in()
        self._work()

    # --- the mapping ------------------------------------------------------------------------------

    def _due(self) -> list[int]:
        """When lanes have something to do next, ms."""
        found = []
        for lane in itertools.chain.from_iterable(self._lanes):
            step = lane.next(self.now_ms, self.now_ms / 1000)
            if not isinstance(step, Wait):
                found.append(self.now_ms)
            elif step.until_s is not None:
                found.append(max(-int(-step.until_s * 1000 // 1), self.now_ms + 1))
        return found

    def _take_in(self) -> None:
        while self._coming and self._coming[0][0] <= self.now_ms:
            _, _, each = heapq.heappop(self._coming)
            number = lane_of(each.gateway, SHARDS * LANES)
            sequence = str(next(self._sequences))
            record = Record(f"shardId-{number // LANES:012d}", sequence, each.gateway, each.data, self.now_ms)
            self._size[sequence] = each.readings
            self._lanes[number // LANES][number % LANES].offer(record, self.now_ms / 1000)

    def _work(self) -> None:
        """Do all that is due now."""
        for lane in itertools.chain.from_iterable(self._lanes):
            while not isinstance(step := lane.next(self.now_ms, self.now_ms / 1000), Wait):
                if not isinstance(step, Send):
                    self.discarded += len(step.records)
                    continue
                self.handed_over += sum(self._size[each.sequence_number] for each in step.batch.records)
                result = self._ingest(event(step.batch.records, _ORIGIN))
                decision = lane.settle(step.batch, result, self.now_ms / 1000)
                self.discarded += len(decision.discard.records) if decision.discard else 0

    # --- the functions ----------------------------------------------------------------------------

    def _ingest(self, given: Mapping[str, Any]) -> Result:
        return self._invoke(
            self._ingesting,
            self._begin_ingest,
            lambda patience: self._pipeline.run(given["Records"], patience, self.now_ms),
        )

    def _invoke(
        self, client: FaultyClient, begin: Callable[[], None], function: Callable[[Patience], Any]
    ) -> Result:
        """Call a function in what may be its last invocation in this process."""
        client.request_id = request_id = f"{next(self._ids)}"
        self.counts["invocations"] += 1
        # In some the time is nearly over from the start: then what fails once is reported.
        in_hurry = self._hurry.random() < IN_HURRY
        clock = [HURRY_S if in_hurry else 60.0]

        def sleep(seconds: float) -> None:
            clock[0] -= seconds

        patience = Patience(lambda: clock[0], sleep, lambda: 1.0)
        try:
            payload = function(patience)
        except Ended as ended:
            outcome: Outcome | None = ended.outcome
            client.fates.end(request_id, succeeded=False)
        else:
            outcome = client.fates.end(request_id, succeeded=True)
        if outcome:
            begin()
            return Result(outcome, request_id)
        return Result(Outcome.SUCCESS, request_id, payload)

    def _begin_ingest(self) -> None:
        """A new process: nothing that the last one has had in memory."""
        client: Any = self._ingesting
        registry = Registry(client, "registry", lambda: self.now_ms / 1000)
        states = LatestStore(client, "latest", registry, self.bus, SETTINGS.latest_days * DAY_MS, 1)
        token = itertools.count(next(self._ids) * 1_000_000)
        self._pipeline = Pipeline(
            SETTINGS, Store(client), registry, states, lambda _line: None, lambda: str(next(token))
        )

    def _begin_rollup(self) -> None:
        client: Any = self._rolling
        rollups = make(ROLLUP, client, lambda: self.now_ms, lambda _line: None, self._publish, self.bus)
        self._rollups = replace(rollups, one_pass=replace(rollups.one_pass, workers=1))

    def _publish(self, topic: str, payload: bytes) -> None:
        self.requests.append((topic, payload))
