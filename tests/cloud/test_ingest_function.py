"""The ingest function as AWS sees it: its calls, its lines, its answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from cloud import ingest
from edge_agent.contract import Link
from tests.cloud.conftest import Faulty
from tests.cloud.dynamo_endpoint import endpoint
from tests.cloud.records import (
    NOW,
    batch,
    envelope,
    interface,
    records,
)

if TYPE_CHECKING:
    from tests.cloud.conftest import Cloud


def invalid(operation: str) -> ClientError:
    return ClientError({"Error": {"Code": "ValidationException", "Message": "bad item"}}, operation)


def test_the_function_makes_only_the_calls_that_its_role_allows(cloud: Cloud) -> None:
    """infrastructure/template.yaml grants just these, table by table."""
    called: set[tuple[str, str]] = set()
    names = {getattr(cloud.settings, name): name for name in type(cloud.settings).__slots__}

    def fault(operation: str, request: dict[str, Any]) -> Any:
        tables = request.get("RequestItems") or [request["TableName"]]
        called.update((operation, names[table]) for table in tables)
        if operation == "batch_write_item" and "odd" in repr(request):
            raise invalid(operation)

    down = [interface(up=1), interface(at_ms=NOW - 4_000, up=0)]
    event = records(envelope(batch(links=[Link("a.b")], readings=down)), envelope(batch("odd")), b"poison")
    assert cloud.ingest(event, client=Faulty(cloud.client, fault)) == []
    assert called == {
        ("batch_write_item", "readings_table"),
        ("batch_write_item", "quarantine_table"),
        ("put_item", "readings_table"),
        ("put_item", "registry_table"),
        ("batch_get_item", "registry_table"),
        ("batch_get_item", "latest_table"),
        ("put_item", "latest_table"),
        ("update_item", "latest_table"),
    }


def test_the_handler_takes_an_event_and_says_its_metrics_as_json_lines(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Context:
        def get_remaining_time_in_millis(self) -> int:
            return 60_000

    for name in type(cloud.settings).__slots__:
        value = getattr(cloud.settings, name)
        monkeypatch.setenv(name.upper(), str(value).lower() if isinstance(value, bool) else str(value))
    ingest.pipeline.cache_clear()
    with endpoint(cloud.client) as there:
        for name, value in there.environment.items():
            monkeypatch.setenv(name, value)
        answer = ingest.handler({"Records": records(envelope(batch()), b"poison")}, Context())
    ingest.pipeline.cache_clear()
    assert answer == {"batchItemFailures": []}
    assert len(cloud.chunks()) == len(cloud.items("quarantine")) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line.get("event", "metrics") for line in lines] == ["quarantined", "metrics"]
    assert lines[1]["Readings"] == 1
