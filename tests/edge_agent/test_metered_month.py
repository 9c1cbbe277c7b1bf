"""A month of the metered profile, added up from the real schedules, sizes and batches: at most 30 MB."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edge_agent.budget import Purpose
from edge_agent.budget.budget import Budget
from edge_agent.budget.budgeted import LOOKUP_BYTES, SPEED
from edge_agent.budget.calendar_windows import DAY_S, HOUR_S, Span
from edge_agent.budget.ledger_file import LedgerFile
from edge_agent.clock import ManualClock
from edge_agent.config import Config
from edge_agent.config_load import load
from edge_agent.contract import KINDS, Batch, Flag, Reading, encode
from edge_agent.grid import phases
from edge_agent.profile import Profile
from edge_agent.profile_way_out import METERED_FLUSH_S, REMEMBERED_S
from edge_agent.publisher import CONNECTION_BYTES, wire_bytes
from edge_agent.series import METERED_REMEMBERED_S, make_series

START_MS = 1_790_812_800_000
"""2026-10-01 00:00 UTC: the first of a month of 31 days."""
DAYS = 31
KEEPALIVE_BYTES = 2 * (2 + 22 + 52) + 52
"""PINGREQ, PINGRESP and a bare acknowledgement: MQTT, a TLS record, IP and TCP headers."""
CONNECTIONS_A_DAY = 3
"""More than one: carriers and cells drop connections."""
USUAL = '"echo", "capacity", "interface"'
ALL = USUAL + ', "connect", "http", "dns", "stamp", "load", "path", "neighbour"'

Event = tuple[float, int, str, float, Purpose, int]
"""When, a tie-breaker, what, its period in s, and what is booked."""


@dataclass
class Month:
    """The ledger of one month, by line."""

    cost: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    largest_batch: int = 0

    @property
    def total(self) -> int:
        return self.cost.total()


def configuration(folder: Path, probes: str, more: str) -> Config:
    path = folder / "agent.toml"
    path.write_text(
        '[gateway]\nname="remote-station-7"\nprobes=["host"]\n'
        '[mqtt]\nendpoint="broker.example"\nrule="linkpulse_prod_ingest"\nca="a"\ncertificate="c"\nkey="k"\n'
        f'{more}\n[[link]]\nid="uplink:wwan0"\nmedium="lte"\ninterface="wwan0"\ntarget="far.example"\n'
        f"probes=[{probes}]\n"
    )
    return load(path, {}, with_files=False)


def events(config: Config, ip_header: int) -> Iterator[Event]:
    """The first of each kind of event of a month."""
    series = make_series(config)
    begins = phases([each.period_s for each in series], 0.37)
    for number, (each, begin) in enumerate(zip(series, begins, strict=True)):
        is_speed = each.name in SPEED
        size = config.metered[each.name].round_bytes(ip_header) + LOOKUP_BYTES * (each.name == "http")
        # One train at the very beginning: then five fall into the month.
        at_s = 0.0 if is_speed else begin
        yield at_s, number, each.name, each.period_s, Purpose.SPEED if is_speed else Purpose.PROBE, size
    fixed = (
        ("connections", DAY_S / CONNECTIONS_A_DAY, CONNECTION_BYTES + LOOKUP_BYTES),
        ("keep-alives", config.mqtt.keepalive_s, KEEPALIVE_BYTES),
        ("names", METERED_REMEMBERED_S, LOOKUP_BYTES),
        ("names of the broker", REMEMBERED_S, LOOKUP_BYTES),
    )
    for number, (name, period_s, size) in enumerate(fixed, 100):
        yield 1.0, number, name, float(period_s), Purpose.CONTROL, size
    yield 600.0, 200, "batches", METERED_FLUSH_S, Purpose.LIVE, 0


def live_through(config: Config, budget: Budget, clock: ManualClock, ip_header: int) -> Month:
    """Run the month's events in their order against the budget."""
    month, rng, waiting = Month(), random.Random(4), []
    queue = list(events(config, ip_header))
    heapq.heapify(queue)
    while queue[0][0] < DAYS * DAY_S:
        at_s, number, name, period_s, purpose, size = heapq.heappop(queue)
        clock.advance(at_s - clock.monotonic())
        if name == "batches":
            waiting.append(_reading("host", "agent", clock.wall_ms(), rng))
            payload = encode(Batch(config.gateway.name, 7**20, number, clock.wall_ms(), tuple(waiting)))
            waiting.clear()
            size = wire_bytes(config.topic, payload)
            month.largest_batch = max(month.largest_batch, size)
        elif name in config.metered:
            rows = 12 if name in ("path", "neighbour") else 1
            waiting += [_reading("uplink:wwan0", name, clock.wall_ms(), rng) for _ in range(rows)]
        if budget.book(purpose, size, "wwan0"):
            month.cost[name] += size
        elif size:
            month.refused[name] += 1
        heapq.heappush(queue, (at_s + period_s, number, name, period_s, purpose, size))
    return month


def _reading(link: str, kind: str, at_ms: int, rng: random.Random) -> Reading:
    """One that does not compress better than a real one."""
    columns = KINDS[kind].columns
    values = tuple(rng.randrange(min(column.maximum, 40_000) + 1) for column in columns)
    return Reading(link, kind, at_ms, values, Flag.CLOCK_SYNCED)


@pytest.mark.parametrize(
    ("probes", "more", "ip_header"),
    [(USUAL, "", 20), (ALL, "", 20), (USUAL, "[metered.echo]\nsize=18\n", 40)],
    ids=["usual", "every probe", "IPv6"],
)
def test_a_month_of_a_metered_target_takes_at_most_30_mb_and_nothing_is_refused(
    tmp_path: Path, probes: str, more: str, ip_header: int
) -> None:
    config = configuration(tmp_path, probes, more)
    assert config.warnings == ()
    profile, clock = Profile(config), ManualClock(START_MS)
    budget = Budget(LedgerFile(tmp_path / "budget"), clock, profile.limits, profile.meters)
    month = live_through(config, budget, clock, ip_header)
    for name, size in month.cost.most_common():
        print(f"{name:20} {size / 1e6:8.3f} MB")
    print(f"{'total':20} {month.total / 1e6:8.3f} MB; largest batch {month.largest_batch} B")
    assert not month.refused
    assert 20_000_000 < month.total <= 30_000_000
    assert month.cost["echo"] == DAYS * 288 * 20 * 2 * (60 if ip_header == 20 else 66)
    (summary,) = budget.summary()
    assert summary.spans[Span.MONTH].total in (month.total, 0)  # the next month may have begun


def test_the_pace_of_the_profile_is_forecast_to_last(tmp_path: Path) -> None:
    config = configuration(tmp_path, ALL, "")
    profile, clock = Profile(config), ManualClock(START_MS)
    budget = Budget(LedgerFile(tmp_path / "budget"), clock, profile.limits, profile.meters)
    day = sum(each.round_bytes(20) * DAY_S / each.period_s for each in config.metered.values())
    assert day < 1_000_000
    for _ in range(48):
        assert budget.book(Purpose.PROBE, 18_000, "wwan0")
        clock.advance(HOUR_S)
    assert budget.summary()[0].lasts_s is None
