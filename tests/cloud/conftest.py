"""Shared fixtures of the cloud tests: a stack in moto, and the ingest pipeline on it."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from moto import mock_aws

from cloud.dynamo import Patience
from cloud.ingest import Pipeline
from cloud.keys import DAY_MS, is_chunk
from cloud.latest import Latest
from cloud.latest_store import LatestStore
from cloud.link_change import Change
from cloud.registry import Registry
from cloud.settings import Settings
from cloud.store import Store
from cloud.target import Target
from edge_agent.contract import Link
from tests.cloud.records import NOW, batch, denied, echo, envelope, interface
from tests.cloud.records import records as records_of
from tests.cloud.views import STACK, View

TABLES = {
    "ReadingsTable": ("p", "s"),
    "LatestTable": ("gateway",),
    "RegistryTable": ("p", "s"),
    "QuarantineTable": ("p", "s"),
}


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self, seconds: float = 60) -> None:
        self.left_s = seconds
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.left_s -= seconds


def patience(clock: Clock | None = None) -> Patience:
    """Patience on a clock of its own, its jitter always the whole."""
    clock = clock or Clock()
    return Patience(lambda: clock.left_s, clock.sleep, lambda: 1.0)


class Bus:
    """Keeps what it is told; ``takes`` says whether it takes a change."""

    def __init__(self) -> None:
        self.told: list[Change] = []
        self.takes: Callable[[Change], bool] = lambda _change: True

    def tell(
        self, changes: Sequence[Change], states: Mapping[str, Latest], remains: Callable[[], bool]
    ) -> set[str]:
        taken = [change for change in changes if remains() and self.takes(change)]
        self.told += taken
        return {change.id for change in taken}


@dataclass(frozen=True)
class Cloud:
    """The tables of one stack."""

    client: Any
    settings: Settings
    said: list[Mapping[str, Any]] = field(default_factory=list)
    bus: Bus = field(default_factory=Bus)
    tokens: Iterator[str] = field(default_factory=lambda: map(str, itertools.count()))

    def pipeline(self, client: Any = None, workers: int = 1, **changes: Any) -> Pipeline:
        """The pipeline on these tables, through ``client`` when given."""
        settings = Settings(
            **{**{name: getattr(self.settings, name) for name in Settings.__slots__}, **changes}
        )
        through = client or self.client
        registry = Registry(through, settings.registry_table, lambda: 0.0)
        keep_ms = settings.latest_days * DAY_MS
        states = LatestStore(through, settings.latest_table, registry, self.bus, keep_ms, workers)
        token = self.tokens.__next__
        return Pipeline(settings, Store(through), registry, states, self.said.append, token)

    def ingest(self, records: list[Any], now_ms: int = 0, **changes: Any) -> list[dict[str, str]]:
        """Run the pipeline over records; returns the reported failures."""
        failures: list[dict[str, str]] = self.pipeline(**changes).run(records, patience(), now_ms or NOW)[
            "batchItemFailures"
        ]
        return failures

    def items(self, table: str) -> list[dict[str, Any]]:
        """All items of a table."""
        return list(self.client.scan(TableName=getattr(self.settings, f"{table}_table"))["Items"])

    def chunks(self) -> list[dict[str, Any]]:
        """The items of sealed batches."""
        return [item for item in self.items("readings") if is_chunk(item["p"]["S"])]

    def everything(self) -> str:
        """All tables as a text to compare."""
        tables = ("readings", "latest", "registry", "quarantine")
        return repr({table: sorted(self.items(table), key=repr) for table in tables})

    @property
    def counts(self) -> Mapping[str, Any]:
        """The metrics line said last."""
        return [line for line in self.said if "_aws" in line][-1]


class Faulty:
    """A DynamoDB client; a function may answer or fail a call instead of it, or let it pass with None."""

    def __init__(self, client: Any, fault: Callable[[str, dict[str, Any]], Any]) -> None:
        self._client = client
        self._fault = fault

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        def call(**request: Any) -> Any:
            answer = self._fault(operation, request)
            return getattr(self._client, operation)(**request) if answer is None else answer

        return call


def _template() -> str:
    resources = {
        name: {
            "Type": "AWS::DynamoDB::Table",
            "Properties": {
                "BillingMode": "PAY_PER_REQUEST",
                "AttributeDefinitions": [{"AttributeName": key, "AttributeType": "S"} for key in table_keys],
                "KeySchema": [
                    {"AttributeName": key, "KeyType": kind}
                    for key, kind in zip(table_keys, ("HASH", "RANGE"), strict=False)
                ],
            },
        }
        for name, table_keys in TABLES.items()
    }
    outputs = {name: {"Value": {"Ref": name}} for name in TABLES}
    return json.dumps({"Resources": resources, "Outputs": outputs})


def settings_of(target: Target) -> Settings:
    """What the template would tell the function of a stack."""
    return Settings(
        stage="test",
        readings_table=target.output("ReadingsTable"),
        latest_table=target.output("LatestTable"),
        registry_table=target.output("RegistryTable"),
        quarantine_table=target.output("QuarantineTable"),
        allow_direct=False,
        retention_days=30,
    )


@pytest.fixture(scope="module")
def aws() -> Iterator[None]:
    """AWS in this process, with nobody's real credentials."""
    with pytest.MonkeyPatch.context() as monkeypatch, mock_aws():
        monkeypatch.delenv("AWS_PROFILE", raising=False)
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        yield


@pytest.fixture(scope="module")
def session(aws: None) -> Iterator[None]:
    """One boto3 session for all targets on AWS; each would read megabytes of JSON before its first client."""
    shared, own = boto3.Session(), Target.session
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(Target, "session", lambda self: own(self) if self.is_local else shared)
        yield


@pytest.fixture(scope="module")
def stack(session: None) -> Target:
    """A deployed stack."""
    boto3.client("cloudformation").create_stack(StackName=STACK, TemplateBody=_template())
    return Target(STACK)


@pytest.fixture
def target(stack: Target) -> Iterator[Target]:
    """The stack, its tables empty."""
    yield stack
    client = stack.dynamodb()
    for output, names in TABLES.items():
        for item in client.scan(TableName=stack.output(output))["Items"]:
            client.delete_item(TableName=stack.output(output), Key={name: item[name] for name in names})


@pytest.fixture
def cloud(target: Target) -> Cloud:
    """The stack's tables and the settings that the template would give the function."""
    return Cloud(target.dynamodb(), settings_of(target))


@pytest.fixture
def view(capsys: pytest.CaptureFixture[str], target: Target) -> View:
    """linkview on the stack, which is emptied after it."""
    return View(capsys)


@pytest.fixture
def now() -> int:
    """The time by this machine's clock, ms since 1970."""
    return time.time_ns() // 1_000_000


@pytest.fixture
def filled(cloud: Cloud, now: int) -> Cloud:
    """One gateway with a lossy, a dead, a busy and an unmeasurable link; a direct one with a fast link."""
    links = [Link("lossy", peer="hill", medium="radio"), Link("dead", peer="[red]valley\x1b[2J")]
    for minute in range(10, 0, -1):
        at = now - minute * 60_000 + 30_000
        readings = [
            echo("lossy", at, 20_000 + 1_000 * minute, received=4),
            echo("dead", at + 1, received=0),
            interface("busy", at + 2),
            denied("denied", at + 3),
        ]
        sealed = batch("gw-1", readings, sequence=4 * (10 - minute), links=links if minute == 10 else ())
        assert cloud.ingest(records_of(envelope(sealed, rx=at + 500)), now_ms=now) == []
    fast = batch("gw-2", [echo("fast", now - 10_000, 900), echo("lossy", now - 9_000, 900)])
    assert cloud.ingest(records_of(envelope(fast, rx=now, direct=True)), now_ms=now, allow_direct=True) == []
    return cloud
