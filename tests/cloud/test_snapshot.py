"""The compact graph of all links: its packed form, its parts and its head."""

from __future__ import annotations

import random

import pytest

from cloud import keys, snapshot
from cloud.snapshot import Edge, Head, SnapshotError
from tests.cloud.records import size
from tests.cloud.rollup_minutes import START


def graph(count: int) -> list[Edge]:
    rng, edges = random.Random(1), []
    for number in range(count):
        gateway = f"gateway-{number // 10:05}"
        p50_us = rng.choice([None, rng.randrange(90_000)])
        peer, at_ms, lost = f"site-{rng.randrange(900)}", START + rng.randrange(60_000), rng.randrange(3)
        edges.append(
            Edge(gateway, f"{gateway}.p{number % 10}", peer, "radio", "echo", at_ms, 30, lost, p50_us)
        )
    return edges


def test_ten_thousand_links_are_one_item_that_reads_back() -> None:
    edges = graph(10_000)
    items = snapshot.pack(edges, 0, START, 0)
    assert len(items) == 1
    assert size(items[0]) < 150_000
    assert snapshot.parse(items[0], Head(0, 1, START, (1,))) == edges


def test_a_graph_that_is_too_large_is_split_and_the_head_names_its_parts() -> None:
    edges = graph(500)
    items = snapshot.pack(edges, 0, START, 0, limit=3_000)
    head = Head(0, 1, START, (len(items),))
    assert len(items) > 1
    assert max(len(each[keys.ROLLUP]["B"]) for each in items) <= 3_000
    assert [each["s"]["S"] for each in items] == snapshot.sorts(head)
    assert [edge for each in items for edge in snapshot.parse(each, head)] == edges
    assert snapshot.parse_head(snapshot.pack_head(head), 0) == head


def test_a_part_of_another_building_or_of_other_bytes_is_refused() -> None:
    (item,) = snapshot.pack(graph(3), 0, START, 0)
    with pytest.raises(SnapshotError, match="newer graph"):
        snapshot.parse(item, Head(0, 1, START + 600_000, (1,)))
    for data in (b"", b"\x63", item[keys.ROLLUP]["B"][:-2]):
        with pytest.raises(SnapshotError):
            snapshot.unpack_edges(data)
    assert snapshot.unpack_edges(snapshot.pack_edges([])) == []
