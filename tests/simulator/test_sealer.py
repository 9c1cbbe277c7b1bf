"""The sealer: every reading in exactly one batch, numbered without a gap, each batch within a message."""

from __future__ import annotations

from edge_agent.contract import METERING_UNIT, Reading, decode
from simulator.sealer import LONGEST_TOPIC, Sealer, epoch_of
from simulator.world import build

AT_MS = 1_790_000_000_000


def test_batches_hold_all_readings_in_order_without_a_gap() -> None:
    gateway = build(1, 2, 20).gateways[0]
    sealer = Sealer(gateway, 5)
    given: list[Reading] = []
    sealed = []
    for turn in range(10):
        readings = gateway.readings(AT_MS + turn * 10_000, None)
        given += readings
        sealer.add(readings)
        if turn % 4 == 3:
            sealed += sealer.seal(AT_MS)
    sealed += sealer.seal(AT_MS)
    batches = [decode(each.payload) for each in sealed]
    assert [reading for batch in batches for reading in batch.readings] == given
    ends = [batch.first_sequence + len(batch.readings) for batch in batches]
    assert [batch.first_sequence for batch in batches] == [0, *ends[:-1]]
    assert all(len(each.payload) + LONGEST_TOPIC <= METERING_UNIT for each in sealed)
    assert [each.count for each in sealed] == [len(batch.readings) for batch in batches]
    assert sealer.seal(AT_MS) == []


def test_every_link_is_defined_once_and_first() -> None:
    gateway = build(1, 2, 100).gateways[0]
    sealer = Sealer(gateway, 5)
    for turn in range(3):
        sealer.add(gateway.readings(AT_MS + turn * 10_000, None))
    batches = [decode(each.payload) for each in sealer.seal(AT_MS)]
    assert tuple(link for batch in batches for link in batch.links) == gateway.definitions


def test_a_batch_spans_no_more_than_an_hour() -> None:
    gateway = build(1, 2, 1).gateways[0]
    sealer = Sealer(gateway, 5)
    for hour in range(4):
        sealer.add(gateway.readings(AT_MS + hour * 7_200_000, None))
    assert len(sealer.seal(AT_MS)) == 4


def test_an_epoch_belongs_to_seed_gateway_and_start() -> None:
    epochs = {
        epoch_of(*key) for key in ((1, "a", AT_MS), (2, "a", AT_MS), (1, "b", AT_MS), (1, "a", AT_MS + 1))
    }
    assert len(epochs) == 4
    assert epoch_of(1, "a", AT_MS) in epochs
    assert all(0 <= epoch < 1 << 63 for epoch in epochs)
