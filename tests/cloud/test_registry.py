"""The registry: definitions merged link by link in any order, looked up once for a bounded time."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

from cloud import latest
from cloud.registry import Entry, Registry, merge, parse
from edge_agent.contract import Link
from tests.cloud.conftest import Faulty, patience
from tests.cloud.latest_made import arrival
from tests.cloud.records import NOW, batch, echo, envelope, records

if TYPE_CHECKING:
    from tests.cloud.conftest import Cloud


def carrying(*links: Link, sequence: int = 0, at_ms: int = NOW - 5_000) -> Any:
    return arrival(batch(readings=[echo(at_ms=at_ms)], links=links, sequence=sequence))


def test_definitions_spread_over_batches_make_one_set_in_any_order() -> None:
    parts = [
        carrying(Link("a", peer="old"), Link("b", peer="b"), sequence=1),
        carrying(Link("c", peer="c"), sequence=2),
        carrying(Link("a", peer="new"), sequence=3),
    ]
    for order in itertools.permutations(parts):
        entry = Entry()
        for part in order:
            entry = merge(entry, [part])
        assert {name: link.peer for name, link in entry.links.items()} == {"a": "new", "b": "b", "c": "c"}


def test_what_is_known_already_changes_nothing() -> None:
    known = merge(Entry(), [carrying(Link("a", peer="x"))])
    assert merge(known, [carrying(Link("a", peer="x"))]) is known


def test_the_stored_definitions_are_the_contracts_json(cloud: Cloud) -> None:
    link = Link("a.b", "far", "eth0", "10.0.0.1", "7", "192.0.2.1", "radio", True)
    cloud.ingest(records(envelope(batch(links=[link]))))
    (item,) = cloud.items("registry")
    assert (item["p"]["S"], item["s"]["S"]) == ("gw-1", "LINKS")
    (described,) = json.loads(item["links"]["S"])
    assert {name: described[name] for name in Link.__slots__} == {
        name: getattr(link, name) for name in Link.__slots__
    }
    assert parse([item]).links == {"a.b": link}


def test_two_functions_that_learn_at_once_lose_no_definition(cloud: Cloud) -> None:
    table = cloud.settings.registry_table
    first, second = (Registry(cloud.client, table, lambda: 0.0) for _ in range(2))
    for registry in (first, second):
        registry.entries(["gw-1"])  # both have seen that there is nothing
    assert not first.learn([carrying(Link("a"))], patience()).failed
    assert not second.learn([carrying(Link("b"), sequence=5)], patience()).failed
    assert set(Registry(cloud.client, table, lambda: 0.0).entries(["gw-1"])["gw-1"].links) == {"a", "b"}


def test_a_gateway_is_looked_up_once_until_its_time_is_over(cloud: Cloud) -> None:
    asked = []
    now = [0.0]
    client = Faulty(cloud.client, lambda operation, request: asked.append(operation))
    registry = Registry(client, cloud.settings.registry_table, lambda: now[0])  # type: ignore[arg-type]
    for at in (0.0, 1.0, 899.0):
        now[0] = at
        registry.entries(["gw-1", "gw-2"])
    assert asked == ["batch_get_item"]
    now[0] = 901.0
    registry.entries(["gw-1"])
    assert asked == ["batch_get_item"] * 2


def test_many_gateways_are_looked_up_with_few_calls(cloud: Cloud) -> None:
    asked = []
    client = Faulty(cloud.client, lambda operation, request: asked.append(operation))
    registry = Registry(client, cloud.settings.registry_table, lambda: 0.0)  # type: ignore[arg-type]
    entries = registry.entries(f"gw-{number}" for number in range(120))
    assert len(entries) == 120
    assert len(asked) == 4  # three keys each, 100 a call


def test_the_site_comes_from_the_enrolment_and_reaches_the_latest_state(cloud: Cloud) -> None:
    enrolment = {"p": {"S": "gw-1"}, "s": {"S": "GATEWAY"}, "site": {"S": "hill"}}
    cloud.client.put_item(TableName=cloud.settings.registry_table, Item=enrolment)
    cloud.ingest(records(envelope(batch(links=[Link("a.b")]))))
    assert latest.parse(cloud.items("latest")[0]).site == "hill"


def test_definitions_that_cannot_be_stored_now_are_reported(cloud: Cloud) -> None:
    from tests.cloud.test_ingest_faults import throttled

    def fault(operation: str, request: dict[str, Any]) -> Any:
        if operation == "put_item" and request["TableName"] == cloud.settings.registry_table:
            raise throttled(operation)

    event = records(envelope(batch("gw-1")), envelope(batch("gw-2", links=[Link("a.b")])))
    assert cloud.ingest(event, client=Faulty(cloud.client, fault)) == [{"itemIdentifier": "101"}]
    assert cloud.ingest(event) == []
    assert len(cloud.items("registry")) == 1
