"""`linkview` on every kind of reading, a gateway's health, and what a newer version wrote."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cloud import queries
from cloud.target import Target
from edge_agent.contract import KINDS, Flag, Reading, row
from tests.cloud.records import batch, echo, envelope, records
from tests.cloud.views import View

if TYPE_CHECKING:
    from tests.cloud.conftest import Cloud


def test_a_stored_batch_of_a_newer_version_is_said_and_hides_nothing(
    view: View, filled: Cloud, target: Target, now: int
) -> None:
    newest = max(filled.items("readings"), key=lambda item: item["s"]["S"] * (item["p"]["S"][:4] == "gw-1"))
    changed = {**newest, "b": {"B": b"\x09" + bytes(newest["b"]["B"])[1:]}}
    filled.client.put_item(TableName=filled.settings.readings_table, Item=changed)
    code, out, err = view("history", "dead", "--json")
    assert code == 1
    assert len(json.loads(out)) == 9
    assert "1 stored batches could not be read" in err
    assert queries.history(target, "gw-1", now - 3_600_000, now).unreadable == 1


def test_a_latest_state_of_a_newer_version_hides_no_other_and_is_said(view: View, filled: Cloud) -> None:
    (item,) = (each for each in filled.items("latest") if each["gateway"]["S"] == "gw-1")
    filled.client.put_item(TableName=filled.settings.latest_table, Item={**item, "b": {"B": b"\x63"}})
    for arguments in (["links"], ["links", "--json"], ["gateways"]):
        code, out, err = view(*arguments)
        assert (code, "gw-2" in out) == (0, True)
        assert "left out: gateway gw-1: its latest state has format 63" in err
    code, out, err = view("links", "--gateway", "gw-1")
    assert (code, out) == (1, "")
    assert "its latest state has format 63: is there a newer linkview?" in err


def test_every_kind_of_reading_is_stored_shown_and_in_the_history(view: View, cloud: Cloud, now: int) -> None:
    at = now - 30_000
    hops = [
        Reading("a.b", "path", at, row("path", hop=hop, hops=2, sent=3, answered=3), Flag.CLOCK_SYNCED)
        for hop in (1, 2)
    ]
    plain = [Reading("a.b", kind, at, row(kind), Flag.CLOCK_SYNCED) for kind in KINDS if kind != "path"]
    host = Reading("host", "host", at + 1, row("host", cpu_permille=125, temperature_ck=32_215, throttled=1))
    given = [echo("a.b", at + 1), *plain, *hops, host]
    assert cloud.ingest(records(envelope(batch("gw-1", given), rx=now)), now_ms=now) == []
    (link,) = view.json("links")
    assert (link["link"], link["kind"]) == ("a.b", "echo")
    found = view.json("history", "a.b")
    assert sorted(each["kind"] for each in found) == sorted(each.kind for each in given if each.link == "a.b")
    assert [each["hop"] for each in view.json("history", "a.b", "--kind", "path")] == [1, 2]
    for kind in KINDS:
        code, out, _ = view("history", "host" if kind == "host" else "a.b", "--kind", kind)
        assert (code, f"{kind} of " in out) == (0, True)


def test_a_gateways_health_is_in_the_list_of_gateways_and_is_no_link(
    view: View, cloud: Cloud, now: int
) -> None:
    columns = row("host", cpu_permille=125, temperature_ck=32_215, throttled=1)
    host = Reading("host", "host", now - 9_000, columns, Flag.CLOCK_SYNCED)
    cloud.ingest(records(envelope(batch("gw-1", [host, echo("a.b", now - 8_000)]), rx=now)), now_ms=now)
    _, out, _ = view("gateways")
    assert "CPU 12 %, 49 °C, under-voltage" in " ".join(out.split())
    (found,) = view.json("gateways")
    assert (found["links"], found["host"]["cpu_permille"]) == (1, 125)
    assert [each["link"] for each in view.json("links")] == ["a.b"]


def test_what_waits_and_what_was_lost_in_a_gateway_is_in_the_list_of_gateways(
    view: View, cloud: Cloud, now: int
) -> None:
    columns = row("agent", spool_kib=13_107, spool_max_kib=65_536, oldest_s=7_300, dropped_full=60)
    agent = Reading("host", "agent", now - 9_000, columns)
    cloud.ingest(records(envelope(batch("gw-1", [agent, echo("a.b", now - 8_000)]), rx=now)), now_ms=now)
    _, out, _ = view("gateways")
    assert "spool 20 %, oldest 2 h, 60 dropped, clock not synchronised" in " ".join(out.split())
    (found,) = view.json("gateways")
    assert (found["links"], found["agent"]["dropped_full"]) == (1, 60)
