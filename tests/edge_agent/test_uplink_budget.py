"""Every byte of the uplink is booked before it is sent; what the budget holds back waits and is not lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from edge_agent.budget import Purpose
from edge_agent.mqtt_memory import MemoryPublisher
from edge_agent.publisher import CONNECTION_BYTES, Traffic, wire_bytes
from edge_agent.spool import Spool
from edge_agent.uplink.account import Account
from tests.edge_agent.uplink_rig import NOW_MS, ON_REQUEST, TOPIC, Echo, alarm, fill, sequences, uplink


class Ledger:
    """A budget that refuses some purposes and adds up the rest."""

    def __init__(self, *refused: Purpose) -> None:
        self.refused = {*refused}
        self.spent: Counter[tuple[Purpose, str]] = Counter()

    def book(self, purpose: Purpose, size: int, meter: str) -> bool:
        assert size > 0
        if purpose in self.refused:
            return False
        self.spent[purpose, meter] += size
        return True

    def correct(self, purpose: Purpose, more: int, meter: str) -> None:
        self.spent[purpose, meter] += more

    @property
    def total(self) -> int:
        return sum(self.spent.values())


def metered(spool: Spool, publisher: MemoryPublisher, ledger: Ledger) -> Any:
    return uplink(spool, publisher, ON_REQUEST, spend=ledger, meter=lambda: "wwan0")


def test_all_that_the_wire_carries_is_on_the_ledger_by_purpose(spool: Spool, echo: Echo) -> None:
    fill(spool, [echo(number) for number in range(30)])
    spool.seal(NOW_MS)
    fill(spool, [echo(30)])
    publisher, ledger = MemoryPublisher(), Ledger()
    assert asyncio.run(metered(spool, publisher, ledger).flush(5))
    assert ledger.total == publisher.traffic().both
    live = [payload for _, payload in publisher.received[:1]]
    assert ledger.spent[Purpose.LIVE, "wwan0"] == sum(wire_bytes(TOPIC, each) for each in live)
    assert ledger.spent[Purpose.CONTROL, "wwan0"] == CONNECTION_BYTES
    assert ledger.spent[Purpose.BACKFILL, "wwan0"] > 0


def test_a_backlog_that_the_budget_holds_back_waits_while_live_readings_go(spool: Spool, echo: Echo) -> None:
    fill(spool, [echo(number) for number in range(30)])
    spool.seal(NOW_MS)
    fill(spool, [echo(30)])
    publisher, ledger = MemoryPublisher(), Ledger(Purpose.BACKFILL, Purpose.SPEED)
    link = metered(spool, publisher, ledger)
    assert not asyncio.run(link.flush(5))
    assert sequences(publisher) == [30]
    assert (spool.stats().held, link.counts().state) == (30, "held")
    ledger.refused.clear()
    assert asyncio.run(link.flush(5))
    assert spool.stats().held == 0


def test_with_the_budget_spent_alarms_still_go_and_their_connection_is_the_reserves(
    spool: Spool, echo: Echo
) -> None:
    fill(spool, [echo(number) for number in range(30)])
    spool.seal(NOW_MS)
    fill(spool, [alarm()])
    publisher = MemoryPublisher()
    ledger = Ledger(*(each for each in Purpose if each != Purpose.ALARM))
    assert not asyncio.run(metered(spool, publisher, ledger).flush(5))
    assert sequences(publisher) == [30]
    assert ledger.spent[Purpose.ALARM, "wwan0"] > CONNECTION_BYTES
    assert spool.stats().held == 30


def test_an_alarm_is_sealed_and_sent_while_live_readings_are_held_back(
    spool: Spool, echo: Echo, eventually_async: Any
) -> None:
    publisher, ledger = MemoryPublisher(), Ledger(Purpose.LIVE, Purpose.BACKFILL)
    link = metered(spool, publisher, ledger)

    async def work() -> None:
        running = asyncio.create_task(link.run())
        fill(spool, [echo(0)])
        link.hurry()
        await eventually_async(lambda: link.counts().state == "held")
        fill(spool, [alarm()])
        link.hurry()
        await eventually_async(lambda: publisher.received)
        running.cancel()

    asyncio.run(work())


def test_without_a_budget_for_a_connection_nothing_is_sent_and_nothing_is_spent(
    spool: Spool, echo: Echo
) -> None:
    fill(spool, [echo(0)])
    publisher, ledger = MemoryPublisher(), Ledger(Purpose.CONTROL)
    assert not asyncio.run(metered(spool, publisher, ledger).flush(5))
    assert (publisher.is_connected, spool.stats().held) == (False, 1)
    assert not any(ledger.spent.values())


def test_a_connection_that_fails_costs_what_it_cost(spool: Spool, echo: Echo) -> None:
    fill(spool, [echo(0)])
    publisher, ledger = MemoryPublisher(), Ledger()
    publisher.is_up = False
    assert not asyncio.run(metered(spool, publisher, ledger).flush(5))
    assert ledger.total == publisher.traffic().both == 0


def test_while_live_readings_are_held_back_only_full_batches_are_sealed(
    spool: Spool, echo: Echo, eventually_async: Any
) -> None:
    publisher, ledger = MemoryPublisher(), Ledger(Purpose.LIVE, Purpose.BACKFILL)
    link = metered(spool, publisher, ledger)

    async def work() -> None:
        running = asyncio.create_task(link.run())
        for number in range(5):
            fill(spool, [echo(number)])
            link.hurry()
            await eventually_async(lambda: link.counts().state == "held")
        ledger.refused.clear()
        link.hurry()
        await eventually_async(lambda: spool.stats().unsealed == 0 or spool.stats().batches == 0)
        running.cancel()

    asyncio.run(work())
    assert len(publisher.received) <= 2


def test_what_was_spent_before_a_failover_is_charged_to_the_former_interface() -> None:
    ledger, meter, wire = Ledger(), ["eth0"], [0]
    account = Account(ledger, lambda: Traffic(wire[0], 0), lambda: meter[0])
    assert account.book(Purpose.LIVE, 100)
    wire[0] = 150
    meter[0] = "wwan0"
    assert account.book(Purpose.LIVE, 100)
    wire[0] = 270
    account.settle()
    assert ledger.spent == {
        (Purpose.LIVE, "eth0"): 100,
        (Purpose.CONTROL, "eth0"): 50,
        (Purpose.LIVE, "wwan0"): 100,
        (Purpose.CONTROL, "wwan0"): 20,
    }


def test_keep_alives_are_charged_when_the_next_batch_goes(spool: Spool, echo: Echo) -> None:
    publisher, ledger = MemoryPublisher(), Ledger()
    link = metered(spool, publisher, ledger)

    async def work() -> None:
        fill(spool, [echo(0)])
        assert await link.flush(5)
        publisher._traffic += Traffic(104, 104)
        assert await link.flush(5)

    asyncio.run(work())
    assert ledger.total == publisher.traffic().both
