"""Rounds of metered links: booked before they begin, refused before their first byte."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from edge_agent.budget import Purpose
from edge_agent.budget.budgeted import LOOKUP_BYTES, Budgeted
from edge_agent.clock import ManualClock
from edge_agent.contract import Outcome, row
from edge_agent.probes import Measurement, ProbeError
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.capacity_settings import CapacitySettings
from edge_agent.probes.echo_settings import EchoSettings
from edge_agent.probes.resolve import Resolver
from edge_agent.schedule import Scheduler, Series
from edge_agent.taken import Taken
from tests.edge_agent.netns import needs_netns, run_in_netns
from tests.edge_agent.profile_rig import Account, Roads, config, link, meters


class Enough(Exception):
    """Ends a run."""


class Rounds:
    """A probe that measures, or not, as told."""

    def __init__(self, kind: str = "echo", ends: BaseException | None = None, spent: int = 0) -> None:
        self.kind = kind
        self.ends = ends
        self.spent = spent
        self.count = 0
        self.closed = 0

    async def __call__(self, link: ProbedLink) -> Measurement | Sequence[Measurement]:
        self.count += 1
        if self.ends:
            raise self.ends
        values = row("capacity", spent_bytes=self.spent) if self.kind == "capacity" else row(self.kind)
        return Measurement(self.kind, values)

    def close(self) -> None:
        self.closed += 1


def budgeted(
    tmp_path: Path, probe: Rounds, account: Account, settings: EchoSettings | CapacitySettings
) -> Budgeted:
    configured = config(tmp_path, link("a", 'metered=true\ninterface="wwan0"'))
    return Budgeted(probe, settings, account, meters(configured, Roads()), Resolver())


DEAR = ProbedLink("a", target="192.0.2.1", interface="wwan0")


def test_a_round_is_booked_before_it_begins_and_refused_before_its_first_byte(tmp_path: Path) -> None:
    probe, account = Rounds(), Account(limit=840)
    kept = budgeted(tmp_path, probe, account, EchoSettings())
    asyncio.run(_once(kept, DEAR))
    assert account.asked == [(Purpose.PROBE, 5 * 2 * 84, "wwan0")]
    with pytest.raises(ProbeError) as caught:
        asyncio.run(_once(kept, DEAR))
    assert caught.value.outcome is Outcome.OVER_BUDGET
    assert probe.count == 1
    asyncio.run(_once(kept, ProbedLink("b", target="192.0.2.1", interface="eth0")))  # free
    assert probe.count == 2


async def _once(probe: Budgeted, link: ProbedLink) -> object:
    return await probe(link)


@pytest.mark.parametrize(
    ("target", "size"),
    [("192.0.2.1", 840), ("2001:db8::1", 1_040), ("far.example", 1_040 + LOOKUP_BYTES)],
)
def test_ipv6_and_names_cost_more(tmp_path: Path, target: str, size: int) -> None:
    account = Account()
    kept = budgeted(tmp_path, Rounds(), account, EchoSettings())
    asyncio.run(_once(kept, ProbedLink("a", target=target, interface="wwan0")))
    assert account.asked[0][1] == size


@pytest.mark.parametrize(
    ("outcome", "cost"),
    [(Outcome.UNRESOLVED, 0), (Outcome.OFF_PATH, 0), (Outcome.NO_INTERFACE, 0), (Outcome.UNREACHABLE, 840)],
)
def test_what_was_not_sent_is_given_back(tmp_path: Path, outcome: Outcome, cost: int) -> None:
    account = Account()
    kept = budgeted(tmp_path, Rounds(ends=ProbeError(outcome, "")), account, EchoSettings())
    with pytest.raises(ProbeError):
        asyncio.run(_once(kept, DEAR))
    assert account.total == cost


def test_a_train_costs_what_it_says_and_comes_last(tmp_path: Path) -> None:
    account = Account()
    kept = budgeted(tmp_path, Rounds("capacity", spent=120_000), account, CapacitySettings())
    asyncio.run(_once(kept, DEAR))
    assert account.asked == [(Purpose.SPEED, 300_000, "wwan0")]
    assert account.total == 120_000


def test_a_spent_budget_leaves_free_counters_running_and_rounds_recorded(tmp_path: Path) -> None:
    account, clock = Account(limit=3 * 840), ManualClock()
    kept = budgeted(tmp_path, Rounds(), account, EchoSettings())
    taken: list[Taken] = []

    async def sleep(seconds: float) -> None:
        clock.advance(seconds)
        if clock.monotonic() > 3_000:
            raise Enough
        await asyncio.sleep(0)

    async def main() -> None:
        series = [Series(DEAR, "echo", kept, 300, 10), Series(DEAR, "interface", Rounds("interface"), 300, 2)]
        with pytest.raises(Enough):
            await Scheduler(series, clock, random.Random(1), taken.append, sleep).run()

    asyncio.run(main())
    outcomes = {
        kind: [each.reading.outcome for each in taken if each.reading.kind == kind]
        for kind in ("echo", "interface")
    }
    assert outcomes["echo"][:3] == [Outcome.MEASURED] * 3
    assert set(outcomes["echo"][3:]) == {Outcome.OVER_BUDGET}
    assert set(outcomes["interface"]) == {Outcome.MEASURED}
    assert len(outcomes["interface"]) > 3


@needs_netns
def test_series_of_a_metered_link_book_and_measure_for_real() -> None:
    said = run_in_netns("""
        import tempfile, pathlib
        from edge_agent.budget import Purpose
        from edge_agent.config_load import load
        from edge_agent.series import close_probes, make_series
        class Account:
            asked = []
            def book(self, purpose, size, meter):
                self.asked.append((purpose.name, size, meter))
                return True
            def correct(self, purpose, more, meter):
                self.asked.append(("correct", more))
        holder = veth()
        path = pathlib.Path(tempfile.mkdtemp()) / "agent.toml"
        path.write_text('''
        [gateway]
        name = "g"
        [mqtt]
        endpoint = "b"
        rule = "r"
        ca = "a"
        certificate = "c"
        key = "k"
        [metered.echo]
        count = 3
        spacing_ms = 10
        [[link]]
        id = "a"
        metered = true
        target = "10.9.0.2"
        probes = ["echo", "connect", "interface"]
        interface = "v0"
        [[link]]
        id = "b"
        target = "127.0.0.1"
        probes = ["echo"]
        ''')
        async def main():
            series = make_series(load(path, {}, with_files=False), Account())
            for each in series:
                await each.probe(each.link)
            close_probes(series)
        asyncio.run(main())
        print(Account.asked)
        holder.kill()
    """)
    assert said.strip() == "[('PROBE', 360, 'v0'), ('PROBE', 688, 'v0')]"
