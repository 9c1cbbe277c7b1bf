"""Reading rollups and chunks gives the same; the tests' own DynamoDB does what moto does."""

from __future__ import annotations

from typing import Any

import pytest

from cloud import queries
from cloud.buckets import DAY, FINE, HOUR
from cloud.gaps_store import GapStore
from cloud.gaps_watch import GapWatch
from cloud.keys import DAY_MS, HOUR_MS
from cloud.rollup_store import RollupStore
from tests.cloud.conftest import Cloud
from tests.cloud.rollup_cloud import Rolled, figures, in_memory, recomputed, same
from tests.cloud.rollup_minutes import MINUTE, START, minutes
from tests.cloud.rollup_waiting import change, leave, telling


@pytest.fixture
def rolled() -> Rolled:
    return in_memory()


@pytest.fixture
def in_moto(cloud: Cloud) -> Rolled:
    return Rolled(cloud)


@pytest.mark.parametrize("step", [FINE, HOUR, DAY], ids=["5m", "1h", "1d"])
def test_rollups_and_chunks_give_the_same_figures_to_the_digit(
    in_moto: Rolled, target: Any, step: Any
) -> None:
    sent = minutes("gw-1", 0, 200)[::5]
    in_moto.deliver(sent[:30], START + 150 * MINUTE)
    since, until = START + 13 * MINUTE, START + 200 * MINUTE
    of_chunks = [*queries.rollups(target, "gw-1", since, until, step)]
    in_moto.roll(START + 3 * HOUR_MS)
    assert [*queries.rollups(target, "gw-1", since, until, step)] == of_chunks
    in_moto.deliver(sent[30:], START + 5 * HOUR_MS)
    expected = {
        key: value for key, value in recomputed(sent, step.name).items() if key[1] >= step.start(since)
    }
    for _ in range(2):
        assert same(figures(queries.rollups(target, "gw-1", since, until, step)), expected)
        in_moto.roll(START + 30 * HOUR_MS)


def test_stored_rollups_are_read_in_place_of_chunks(in_moto: Rolled, target: Any) -> None:
    in_moto.deliver(minutes("gw-1", 0, 60)[::4], START + 60 * MINUTE)
    in_moto.roll(START + 3 * HOUR_MS)
    expected = [*queries.rollups(target, "gw-1", START, START + HOUR_MS, FINE)]
    for item in in_moto.cloud.items("readings"):
        if "b" in item:
            key = {"p": item["p"], "s": item["s"]}
            in_moto.cloud.client.delete_item(TableName=in_moto.cloud.settings.readings_table, Key=key)
    assert len(expected) == 12
    assert [*queries.rollups(target, "gw-1", START, START + HOUR_MS, FINE)] == expected


def test_a_pass_does_the_same_in_memory_and_in_moto(in_moto: Rolled, rolled: Rolled) -> None:
    """The tests' own DynamoDB is one, as far as a fleet, late data, changes and two passes show."""
    sent = minutes("gw-1", 50, 70)[::3] + minutes("gw-2", 55, 62)[::3]
    for each in (in_moto, rolled):
        each.deliver(sent[1:], START + 72 * MINUTE)
        each.roll(START + 3 * HOUR_MS)
        assert each.deliver(sent[:1], START + 3 * HOUR_MS).hours
        leave(each.cloud, "gw-1", change("gw-1", 1), change("gw-1", 2))
        leave(each.cloud, "gw-2", change("gw-2", 3))
        each.cloud.bus.takes = lambda given: given.sequence != 2
        observers, visitors = (gap_watch(each),), (telling(each.cloud),)
        each.roll(START + 4 * HOUR_MS, page=1, observers=observers, visitors=visitors)
        assert [given.sequence for given in each.cloud.bus.told] == [1, 3]
        each.roll(START + DAY_MS + HOUR_MS)
    for table in ("readings", "latest"):
        ours, theirs = rolled.cloud.items(table), in_moto.cloud.items(table)
        assert sorted(ours, key=repr) == sorted(theirs, key=repr)
    assert len(rolled.cloud.items("readings")) > 15


def gap_watch(rolled: Rolled) -> GapWatch:
    client, table = rolled.cloud.client, rolled.settings.readings_table
    read = RollupStore(client, table, rolled.settings.latest_table).batches
    return GapWatch(GapStore(client, table, 31), read, lambda: START + 4 * HOUR_MS, 30, rolled.said.append)
