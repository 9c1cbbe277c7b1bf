"""All faults of one local cloud together, as its assembly wires them in."""

from __future__ import annotations

from dataclasses import replace

from infrastructure.local.engine import Clients
from infrastructure.local.faults import Dice, FaultPlan
from infrastructure.local.faults_dynamodb import FaultyDynamoDB
from infrastructure.local.faults_function import Fates, FaultyFunction
from infrastructure.local.faults_stream import FaultyStream
from infrastructure.local.function.deployed import Host
from infrastructure.local.function.invocation import Function, Outcome
from infrastructure.local.function.runtime import LambdaRuntime
from infrastructure.local.state import Counters


class Injection:
    """Puts faults between the parts: before the stream, around the function and before DynamoDB."""

    def __init__(self, plan: FaultPlan, clients: Clients, endpoint: str, counters: Counters) -> None:
        self._clients = clients
        self._dice = Dice(plan, counters)
        self._runtimes: list[LambdaRuntime] = []
        self._stream = FaultyStream(clients.kinesis, self._dice)
        self._fates = Fates(self._dice)
        self._dynamodb = FaultyDynamoDB(endpoint, self._dice, self._fates, self._strike)
        self.detail = f"seed {plan.seed}, DynamoDB at {self._dynamodb.url}"

    def start(self) -> None:
        """Begin."""
        self._dynamodb.start()
        self._stream.start()

    def stop(self) -> None:
        """End, when nothing needs it any more; what was held back is delivered first."""
        self._stream.stop()
        self._dynamodb.stop()

    def failure(self) -> str:
        """What has failed; empty while all works."""
        return self._dynamodb.failure() or self._stream.failure()

    def clients(self) -> Clients:
        """Clients for the rules engine, whose records meet faults on their way to the stream."""
        return replace(self._clients, kinesis=self._stream)  # type: ignore[arg-type]

    def host(self, host: Host) -> Host:
        """The host of functions that meet faults; `watch` each of them."""
        return replace(host, dynamodb=self._dynamodb.url, interruptions=self._fates)

    def function(self, runtime: LambdaRuntime) -> Function:
        """The function for a mapping."""
        return FaultyFunction(runtime, self._dice)

    def watch(self, runtime: LambdaRuntime) -> None:
        """Let the function's processes be ended while they work."""
        self._runtimes.append(runtime)

    def _strike(self, request_id: str, outcome: Outcome) -> None:
        for runtime in self._runtimes:
            runtime.strike(request_id, outcome)
