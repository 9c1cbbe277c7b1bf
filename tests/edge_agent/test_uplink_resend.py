"""What the cloud asks for again is sent with the same bytes, and costs no more than that."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from edge_agent.mqtt_memory import MemoryPublisher
from edge_agent.publisher import PublishError
from edge_agent.spool import Spool
from edge_agent.uplink.resends import MAX_ASKED, CommandError, Range, Resends, parse_command
from tests.edge_agent.uplink_rig import QUICK, Echo, fill, run_until, sequences, spool_in_memory, uplink


def command(epoch: int, first: int, last: int) -> bytes:
    return json.dumps({"epoch": f"{epoch:016x}", "first": first, "last": last}).encode()


def test_a_range_asked_for_is_sent_again_with_the_same_bytes(
    spool: Spool, echo: Echo, eventually_async: Any
) -> None:
    fill(spool, [echo(number) for number in range(300)])
    publisher = MemoryPublisher()
    link = uplink(spool, publisher)

    async def work() -> None:
        running = asyncio.create_task(link.run())
        await eventually_async(lambda: spool.stats().held == 0)
        first = {*publisher.received}
        publisher.received.clear()
        link.command(command(spool.stats().epoch, 95, 204))
        await eventually_async(lambda: len(publisher.received) >= 12)
        assert {*publisher.received} < first
        running.cancel()

    asyncio.run(work())
    assert sorted(sequences(publisher)) == list(range(90, 210, 10))
    assert link.counts().resent == 120
    assert spool.stats().acked == 300, "a repeat is not counted again"


@pytest.mark.parametrize(("epoch", "first", "last"), [(5, 0, 10**18), (None, 10**9, 10**18)])
def test_a_range_that_is_not_held_costs_nothing_and_ends(
    spool: Spool, echo: Echo, eventually_async: Any, epoch: int | None, first: int, last: int
) -> None:
    fill(spool, [echo(0)])
    publisher = MemoryPublisher()
    link = uplink(spool, publisher)

    async def work() -> None:
        link.ask(spool.stats().epoch if epoch is None else epoch, first, last)
        await run_until(link, lambda: spool.stats().held == 0, eventually_async)
        assert await link.flush(5)

    asyncio.run(work())
    assert (len(publisher.received), link.counts().resent) == (1, 0)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff",
        b"[]",
        b"[" * 900,
        b'{"epoch": "12", "first": 0, "last": 1}',
        b'{"epoch": "0000000000000001", "first": -1, "last": 1}',
        b'{"epoch": "0000000000000001", "first": 0, "last": true}',
        b'{"epoch": "0000000000000001", "first": 0, "last": 9223372036854775808}',
        b'{"epoch": "0000000000000001", "first": 2, "last": 1}',
        b'{"epoch": "0000000000000001", "first": 0}',
    ],
)
def test_a_command_that_makes_no_sense_is_told_once_and_changes_nothing(
    spool: Spool, payload: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(CommandError):
        parse_command(payload)
    link = uplink(spool, MemoryPublisher())
    for _ in range(3):
        link.command(payload)
    assert len([each for each in caplog.records if "not understood" in each.message]) == 1


def test_no_more_than_a_few_ranges_wait() -> None:
    resends = Resends()
    assert all(resends.ask(Range(1, each, each)) for each in range(MAX_ASKED))
    assert resends.ask(Range(1, 0, 0)), "the same again is nothing new"
    assert not resends.ask(Range(1, 10**6, 10**6))
    assert len(resends) == MAX_ASKED


def test_a_long_range_comes_in_pieces_that_cover_it_once() -> None:
    resends = Resends()
    resends.ask(Range(1, 5, 10**18))
    pieces = []
    while piece := resends.next_piece(1, 200):
        pieces += [*range(piece.first, piece.last + 1)]
    assert pieces == [*range(5, 200)]


def test_a_spool_that_gives_out_again_what_has_arrived_does_not_cost_a_data_plan(echo: Echo) -> None:
    class Broken(Spool):
        def ack(self, first_sequence: int) -> None:
            """Forgets it."""

    spool = spool_in_memory(made=Broken)
    fill(spool, [echo(number) for number in range(30)])
    publisher = MemoryPublisher()
    assert asyncio.run(uplink(spool, publisher).flush(5))
    assert sequences(publisher) == [0, 10, 20]
    spool.close()


def test_a_lost_connection_is_not_counted_as_a_refusal(spool: Spool, echo: Echo) -> None:
    class Lost(MemoryPublisher):
        async def publish(self, topic: str, payload: bytes) -> None:
            raise PublishError("lost")

    fill(spool, [echo(0)])
    link = uplink(spool, Lost(), QUICK)
    assert not asyncio.run(link.flush(5))
    counts = link.counts()
    assert (counts.state, counts.why, counts.failed, counts.refused) == ("unreachable", "lost", 1, 0)
