"""Dice with some faults, and the proxy before DynamoDB between a real client and a real engine."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config

from infrastructure.local.faults import Dice, Fault, FaultPlan
from infrastructure.local.faults_dynamodb import FaultyDynamoDB
from infrastructure.local.faults_function import Fates
from infrastructure.local.function.invocation import Outcome
from infrastructure.local.function.runtime import LambdaRuntime
from infrastructure.local.state import Counters
from tests.infrastructure.parts import Engine

NEVER = dict.fromkeys(Fault, 0.0)


def dice(counters: Counters | None = None, seed: int = 1, **rates: float) -> Dice:
    """Dice with these rates and no other fault."""
    given = {Fault(name.replace("_", "-")): rate for name, rate in rates.items()}
    return Dice(FaultPlan(seed, NEVER | given), counters or Counters())


def new_table(engine: Engine) -> str:
    """A table of items p, n."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    engine.clients.dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "p", "KeyType": "HASH"}, {"AttributeName": "n", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "p", "AttributeType": "S"},
            {"AttributeName": "n", "AttributeType": "N"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    return name


class Bench:
    """A proxy before the engine with one fault, and what it has counted."""

    def __init__(self, engine: Engine, fault: Fault, rate: float) -> None:
        self.counters = Counters()
        self.dice = Dice(FaultPlan(3, NEVER | {fault: rate}), self.counters)
        self.fates = Fates(self.dice)
        self.runtimes: list[LambdaRuntime] = []
        self.proxy = FaultyDynamoDB(engine.url, self.dice, self.fates, self._strike)

    def _strike(self, request_id: str, outcome: Outcome) -> None:
        for runtime in self.runtimes:
            runtime.strike(request_id, outcome)

    def client(self) -> Any:
        return client_of(self.proxy)

    def count(self, fault: Fault) -> int:
        return self.counters.snapshot().get(f"fault.{fault}", 0)


def client_of(proxy: FaultyDynamoDB) -> Any:
    """A real client that tries each call once."""
    config = Config(retries={"total_max_attempts": 1}, proxies={})
    return boto3.Session("local", "local", region_name="us-east-1").client(
        "dynamodb", endpoint_url=proxy.url, config=config
    )


@contextmanager
def bench(engine: Engine, fault: Fault, rate: float) -> Iterator[Bench]:
    made = Bench(engine, fault, rate)
    made.proxy.start()
    try:
        yield made
    finally:
        made.proxy.stop()


def put(client: Any, table: str, number: int) -> None:
    client.put_item(TableName=table, Item={"p": {"S": "p"}, "n": {"N": str(number)}})


def stored(engine: Engine, table: str, name: str = "p") -> list[int]:
    answer = engine.clients.dynamodb.query(
        TableName=table,
        KeyConditionExpression="p = :p",
        ExpressionAttributeValues={":p": {"S": name}},
        ConsistentRead=True,
    )
    return [int(item["n"]["N"]) for item in answer["Items"]]
