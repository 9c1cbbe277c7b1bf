"""The way to the broker: how batches follow a failover to an interface where bytes cost, and back."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from edge_agent.budget import Purpose
from edge_agent.budget.budgeted import LOOKUP_BYTES
from edge_agent.config import Config
from edge_agent.config_load import load
from edge_agent.probes.resolve import Endpoint, Resolver
from edge_agent.profile_way_out import RETRY_S, WayOut, broker_host
from tests.edge_agent.profile_rig import Account, Roads, config, link, meters


def way_out(configured: Config, roads: Roads, now_s: list[float] | None = None) -> WayOut:
    return WayOut(
        configured,
        meters=meters(configured, roads),
        wall_s=lambda: (now_s or [0.0])[0],
    )


WAN = '[budget]\ninterfaces=["wwan0"]\n'


def test_a_failover_changes_how_batches_go_and_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    roads = Roads()
    way = way_out(config(tmp_path, link("a"), more=WAN), roads)
    seen = []
    for roads.index in (2, 3, 0, 3, 2):  # no route: what is sent goes nowhere, so nothing changes
        way.look()
        seen.append((way.meter(), way.flush_s()))
    assert seen == [("", 60), ("wwan0", 3600), ("wwan0", 3600), ("wwan0", 3600), ("", 60)]
    assert [record.message for record in caplog.records] == [
        "the way to 192.0.2.9 is now by wwan0, where bytes cost",
        "the way to 192.0.2.9 is now where bytes are free",
    ]


def test_batches_that_are_rare_already_stay_so(tmp_path: Path) -> None:
    configured = config(tmp_path, link("a"), more=WAN + "[uplink]\nflush_s=3600\n")
    assert way_out(configured, Roads(3)).flush_s() == 3600


def test_where_nothing_is_metered_the_kernel_is_not_even_asked(tmp_path: Path) -> None:
    roads = Roads(3)
    way = way_out(config(tmp_path, link("a")), roads)
    way.look()
    assert (way.meter(), roads.asked) == ("", [])


def test_in_the_metered_profile_every_way_out_costs(tmp_path: Path) -> None:
    assert way_out(config(tmp_path, link("a"), 'profile="metered"'), Roads(2)).meter() == "eth0"


def test_after_a_failover_back_fill_waits_for_the_open_way(tmp_path: Path) -> None:
    roads = Roads(2)
    way = way_out(config(tmp_path, link("a"), more=WAN), roads)
    roads.index = 3
    way.look()
    assert way.holds_backfill("wwan0", 0, 30_000_000)


def test_where_no_way_is_open_back_fill_gets_what_the_month_has_left_over(tmp_path: Path) -> None:
    now_s = [1_700_049_600.0]  # 2023-11-15 12:00: 14.5 of 30 days
    way = way_out(config(tmp_path, link("a"), more=WAN), Roads(3), now_s)
    limit = 30_000_000
    assert not way.holds_backfill("wwan0", int(limit * 0.9 * 14.4 / 30), limit)
    assert way.holds_backfill("wwan0", int(limit * 0.9 * 14.6 / 30), limit)


def test_the_way_is_that_to_the_proxy_where_there_is_one(tmp_path: Path) -> None:
    for proxy, host in (
        ("", "192.0.2.9"),
        ("http://10.0.0.1:3128", "10.0.0.1"),
        ("http://[fd00::1]:80", "fd00::1"),
    ):
        configured = config(tmp_path, link("a"))
        (tmp_path / "agent.toml").write_text(
            (tmp_path / "agent.toml").read_text().replace("[mqtt]\n", f'[mqtt]\nproxy="{proxy}"\n')
        )
        configured = load(tmp_path / "agent.toml", {}, with_files=False)
        assert broker_host(configured) == host


def test_the_brokers_name_is_asked_for_rarely_and_booked(tmp_path: Path) -> None:
    asked: list[str] = []

    async def lookup(name: str) -> Endpoint:
        asked.append(name)
        raise OSError("no answer")

    async def main() -> None:
        configured = config(tmp_path, link("a"), more=WAN)
        roads, account = Roads(3), Account()
        way = WayOut(
            load(tmp_path / "agent.toml", {}, ("mqtt.endpoint=broker.example",), with_files=False),
            meters=meters(configured, roads),
            resolver=Resolver(lookup),
        )
        runs = asyncio.create_task(way.run(account))
        while not asked:
            await asyncio.sleep(0)
        runs.cancel()
        assert account.asked == [(Purpose.CONTROL, LOOKUP_BYTES, "wwan0")]
        assert roads.asked[0].target == "192.0.2.1"  # the way to anywhere, until it is known

    asyncio.run(main())
    assert asked == ["broker.example"]
    assert RETRY_S >= 3600
