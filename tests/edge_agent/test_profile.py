"""Profiles: what is metered, by which settings it is measured, and how the uplink follows a failover."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from edge_agent.budget import Purpose
from edge_agent.budget.budgeted import LOOKUP_BYTES, Budgeted
from edge_agent.budget.limits import Limits
from edge_agent.budget.meters import Meters
from edge_agent.clock import ManualClock
from edge_agent.config import Config
from edge_agent.config_load import load
from edge_agent.contract import Outcome, row
from edge_agent.probes import Measurement, ProbeError
from edge_agent.probes.binding import ProbedLink
from edge_agent.probes.capacity import CapacitySettings
from edge_agent.probes.echo import EchoSettings
from edge_agent.probes.resolve import Endpoint, Resolver, _numeric
from edge_agent.probes.route import Question, Route
from edge_agent.profile import Profile
from edge_agent.profile_way_out import RETRY_S, WayOut, broker_host
from edge_agent.schedule import Scheduler, Series
from edge_agent.series import make_series
from edge_agent.taken import Taken
from tests.edge_agent.netns import needs_netns, run_in_netns

HEAD = '[mqtt]\nendpoint="192.0.2.9"\nrule="r"\nca="a"\ncertificate="c"\nkey="k"\n'
NAMES = {2: "eth0", 3: "wwan0", 4: "eth1.100"}


class Enough(Exception):
    """Ends a run."""


class Roads:
    """Routes that lead by one interface, or nowhere."""

    def __init__(self, index: int = 2) -> None:
        self.index = index
        self.asked: list[Question] = []

    def ask(self, question: Question) -> Route:
        self.asked.append(question)
        if not self.index:
            raise OSError("no route")
        return Route(self.index)

    def close(self) -> None:
        pass


def config(folder: Path, links: str = "", gateway: str = "", more: str = "") -> Config:
    path = folder / "agent.toml"
    path.write_text(f'[gateway]\nname="g"\n{gateway}\n{HEAD}{more}\n{links}')
    return load(path, {}, with_files=False)


def link(name: str, more: str = "", probes: str = '"echo"') -> str:
    return f'[[link]]\nid="{name}"\ntarget="192.0.2.1"\nprobes=[{probes}]\n{more}\n'


def meters(configured: Config, roads: Roads) -> Meters:
    return Meters(Profile(configured), roads, lambda index: NAMES.get(index, ""))


# --- what is metered ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "more",
    [
        "metered=true",
        'medium="LTE"',
        'medium="vsat (Ku)"',
        'medium="4g/lte"',
        'interface="wwan0"',
        'interface="eth1"\nvlan="100"',
    ],
)
def test_auto_takes_a_link_for_metered_by_its_mark_its_medium_or_its_interface(
    tmp_path: Path, more: str
) -> None:
    budget = '[budget]\ninterfaces=["wwan0", "eth1"]\n'
    configured = config(tmp_path, link("a", more) + link("b", 'medium="fibre"'), more=budget)
    assert Profile(configured).metered_links == {"a"}
    assert [each.period_s for each in make_series(configured)] == [300, 10]


def test_a_profile_can_be_told(tmp_path: Path) -> None:
    links = link("a", "metered=true") + link("b")
    told = {
        kind: Profile(config(tmp_path, links, f'profile="{kind}"')).metered_links
        for kind in ("auto", "open", "metered")
    }
    assert told == {"auto": {"a"}, "open": set(), "metered": {"a", "b"}}


def test_an_open_gateway_has_no_budget_unless_an_interface_is_named(tmp_path: Path) -> None:
    links = link("a", "metered=true")
    assert not Profile(config(tmp_path, links, 'profile="open"')).is_anything_metered
    named = config(tmp_path, links, 'profile="open"', '[budget]\ninterfaces=["wwan0"]\n')
    assert Profile(named).is_anything_metered
    assert Profile(config(tmp_path, "", 'profile="metered"')).is_anything_metered


def test_each_profile_has_settings_of_its_own(tmp_path: Path) -> None:
    more = "[probe.echo]\ncount=7\n[metered.echo]\nperiod_s=600\n"
    configured = config(tmp_path, link("a", "metered=true") + link("b"), more=more)
    open_echo, metered_echo = configured.probes["echo"], configured.metered["echo"]
    assert isinstance(open_echo, EchoSettings)
    assert isinstance(metered_echo, EchoSettings)
    assert (open_echo.count, open_echo.period_s, open_echo.size) == (7, 10, 56)
    assert (metered_echo.count, metered_echo.period_s, metered_echo.size) == (20, 600, 32)
    assert metered_echo.round_bytes(20) == 20 * 2 * 60
    series = make_series(configured)
    assert [each.period_s for each in series] == [600, 10]
    assert series[0].probe is not series[1].probe


def test_the_gateways_own_readings_are_rare_where_nothing_is_open(tmp_path: Path) -> None:
    gateway = 'probes=["host"]'
    for links, period_s in ((link("a", "metered=true"), 900), (link("a"), 60), ("", 60)):
        assert make_series(config(tmp_path, links, gateway))[0].period_s == period_s


def test_limits_follow_the_links_of_an_interface(tmp_path: Path) -> None:
    links = link("a", 'metered=true\ninterface="wwan0"') + link("b", 'metered=true\ninterface="wwan0"')
    profile = Profile(config(tmp_path, links + link("c", 'metered=true\ninterface="ppp0"')))
    assert profile.meters == {"wwan0", "ppp0"}
    assert (profile.limits("wwan0").month, profile.limits("ppp0").month) == (60_000_000, 30_000_000)
    told = Profile(config(tmp_path, links, more="[budget]\nmonth_mb=100\nhour_mb=1\nreserve=0.2\n"))
    assert told.limits("wwan0") == Limits(100_000_000, 10_000_000, 1_000_000, 0.2)


def test_what_will_not_last_the_month_is_warned_about(tmp_path: Path) -> None:
    place = tmp_path / "agent.toml"
    dear = link("a", 'metered=true\ninterface="wwan0"')
    assert config(tmp_path, dear).warnings == ()
    assert config(tmp_path, dear, more="[metered.echo]\nperiod_s=200\n").warnings == (
        f"{place}: [budget] the probes on wwan0 cost up to 31.1 MB a month, of the 30.0 MB allowed with "
        "everything: rounds will be left out",
    )


# --- by which interface ---------------------------------------------------------------------------


def test_a_metered_link_is_booked_on_its_interface_and_an_open_one_beside_it_is_not(tmp_path: Path) -> None:
    links = link("a", 'metered=true\ninterface="eth0"') + link("b", 'interface="eth0"')
    configured, roads = config(tmp_path, links), Roads()
    found = meters(configured, roads)
    assert [found.of_link(each.probed, None) for each in configured.links] == ["eth0", ""]
    assert Profile(configured).meters == frozenset()  # eth0 alone does not tell
    assert not roads.asked


def test_a_link_without_an_interface_is_booked_where_the_kernel_sends_it(tmp_path: Path) -> None:
    links = link("a", "metered=true") + link("b")
    configured, roads = config(tmp_path, links, more='[budget]\ninterfaces=["wwan0", "eth1"]\n'), Roads()
    found = meters(configured, roads)
    endpoint = _numeric("192.0.2.1")
    told = {}
    for roads.index in (0, 2, 3, 4):
        told[roads.index] = [found.of_link(each.probed, endpoint) for each in configured.links]
    assert told == {0: ["", ""], 2: ["eth0", ""], 3: ["wwan0", "wwan0"], 4: ["eth1", "eth1"]}


def test_where_links_are_metered_that_name_no_interface_all_that_leaves_as_they_do_costs(
    tmp_path: Path,
) -> None:
    """A gateway with one LTE stick and no word of its interface: its batches cost as much as its echoes."""
    for links, meter in (
        (link("a", 'medium="lte"'), "eth0"),
        (link("a", 'medium="lte"') + link("b"), ""),
        (link("a", 'medium="lte"') + link("b", 'interface="eth0"'), ""),
        (link("a", 'medium="lte"') + link("b", 'interface="eth1"'), "eth0"),
        (link("a", 'medium="lte"').replace("192.0.2.1", "far.example"), "eth0"),
    ):
        found = meters(config(tmp_path, links), Roads())
        assert found.of_target(_numeric("198.51.100.1")) == found.of_way(2) == meter, links
        assert found.of_way("198.51.100.1") == found.of_way("::ffff:198.51.100.1") == meter
        assert found.of_way(9) == ""


# --- booking of rounds ----------------------------------------------------------------------------


class Account:
    """A Spend that notes everything, and says no from some total on."""

    def __init__(self, limit: int = 10**9) -> None:
        self.limit = limit
        self.total = 0
        self.asked: list[tuple[Purpose, int, str]] = []

    def book(self, purpose: Purpose, size: int, meter: str) -> bool:
        self.asked.append((purpose, size, meter))
        if not meter or self.total + size > self.limit:
            return not meter
        self.total += size
        return True

    def correct(self, purpose: Purpose, more: int, meter: str) -> None:
        self.total += more


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


# --- the way to the broker ------------------------------------------------------------------------


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
