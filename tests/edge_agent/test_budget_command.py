"""`edge-agent budget`: the ledger as a technician reads it, while the agent runs or not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_agent import budget_command
from edge_agent.budget import Purpose
from edge_agent.budget.budget import Budget
from edge_agent.budget.calendar_windows import DAY_S, HOUR_S
from edge_agent.budget.ledger_file import LedgerFile, place
from edge_agent.clock import ManualClock
from edge_agent.config import Config
from edge_agent.config_load import load
from edge_agent.profile import Profile

NOON_MS = 1_700_049_600_000
"""2023-11-15 12:00 UTC."""
HEAD = (
    '[gateway]\nname="g"\n[mqtt]\nendpoint="b"\nrule="r"\nca="a"\ncertificate="c"\nkey="k"\n'
    '[spool]\npath="spool"\n'
)
LINK = '[[link]]\nid="l"\ntarget="192.0.2.1"\ninterface="wwan0"\nprobes=["echo"]\n'


def config(folder: Path, more: str = "metered=true\n") -> Config:
    path = folder / "agent.toml"
    path.write_text(HEAD + LINK + more)
    return load(path, {}, with_files=False)


def budget(config: Config, clock: ManualClock) -> Budget:
    profile = Profile(config)
    file = LedgerFile(place(config.spool.path))
    return Budget(file, clock, profile.limits, sorted(profile.meters), counters=lambda name: None)


def printed(
    config: Config, capsys: pytest.CaptureFixture[str], now_s: float, as_json: bool = False
) -> tuple[int, str]:
    status = budget_command.run(config, as_json, {}, now_s)
    return status, capsys.readouterr().out


def test_the_table_shows_each_class_in_each_window(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configured, clock = config(tmp_path), ManualClock(NOON_MS)
    spend = budget(configured, clock)
    for purpose, size in ((Purpose.PROBE, 200_000), (Purpose.SPEED, 300_000)):
        assert spend.book(purpose, size, "wwan0")
    clock.advance(HOUR_S)
    for purpose, size in ((Purpose.PROBE, 2_400), (Purpose.LIVE, 800), (Purpose.CONTROL, 5_500)):
        assert spend.book(purpose, size, "wwan0")
    spend.close()
    status, text = printed(configured, capsys, clock.wall_ms() / 1000 + 60)
    assert status == 0
    assert text.splitlines() == [
        "wwan0: lasts to the end of the month, 2023-12-01",
        "                      this hour       today  this month",
        "  alarms                  0.000       0.000       0.000",
        "  readings                0.001       0.001       0.001",
        "  connections             0.005       0.005       0.005",
        "  probes                  0.002       0.202       0.202",
        "  back-fill               0.000       0.000       0.000",
        "  trains, bulk            0.000       0.300       0.300",
        "  reflected               0.000       0.000       0.000",
        "  total                   0.009       0.509       0.509",
        "  limit                   0.750       3.000      30.000",
        "  left                    0.704       2.341      27.991",
        "  interface counted           -           -           -",
        "",
        "MB of 1,000,000 B, both directions, UTC; written 60 s ago",
    ]


def test_json_has_the_same_in_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configured, clock = config(tmp_path), ManualClock(NOON_MS)
    assert budget(configured, clock).book(Purpose.PROBE, 40_000, "wwan0")  # and the agent goes on
    status, text = printed(configured, capsys, NOON_MS / 1000, as_json=True)
    told = json.loads(text)
    (wwan,) = told["interfaces"]
    assert (status, told["metered"], told["unsaved_at_most"], wwan["interface"]) == (0, True, 32_768, "wwan0")
    assert wwan["hour"]["classes"]["probe"] == wwan["month"]["total"] == 40_000
    assert wwan["month"]["limit"] == 30_000_000


def test_a_spent_month_says_so_and_is_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configured, clock = config(tmp_path), ManualClock(NOON_MS)
    budget(configured, clock).correct(Purpose.CONTROL, 29_000_000, "wwan0")
    status, text = printed(configured, capsys, NOON_MS / 1000)
    assert status == 1
    assert "spent: only alarms are sent, from the reserve, until 2023-12-01" in text
    assert "at most 0.033 MB more since on each interface" in text


def test_a_forecast_names_the_day(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configured, clock = config(tmp_path), ManualClock(NOON_MS - 14 * DAY_S * 1000 - 12 * HOUR_S * 1000)
    spend = budget(configured, clock)
    for _ in range(5):
        for _ in range(4):
            assert spend.book(Purpose.PROBE, 500_000, "wwan0")
            clock.advance(6 * HOUR_S)
    spend.close()
    assert (
        "wwan0: lasts until 2023-11-15 at the pace" in printed(configured, capsys, clock.wall_ms() / 1000)[1]
    )


def test_what_the_agent_has_not_written_yet_is_of_an_hour_that_is_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configured, clock = config(tmp_path), ManualClock(NOON_MS)
    assert budget(configured, clock).book(Purpose.PROBE, 40_000, "wwan0")
    _, text = printed(configured, capsys, NOON_MS / 1000 + 2 * HOUR_S)
    assert "  probes                  0.000       0.040       0.040" in text


def test_where_nothing_is_metered_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(config(tmp_path, ""), capsys, 0) == (
        0,
        "nothing is metered: no link has metered = true, and [budget] names no interface\n",
    )
    status, text = printed(config(tmp_path, ""), capsys, 0, as_json=True)
    assert (status, json.loads(text)) == (0, {"metered": False, "interfaces": []})


def test_a_ledger_that_is_not_there_or_damaged_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configured = config(tmp_path)
    assert budget_command.run(configured, False, {}) == 66
    assert "there is no ledger in" in capsys.readouterr().err
    place(configured.spool.path).write_text("?")
    assert budget_command.run(configured, False, {}) == 66
    assert "counts what it does not know as spent" in capsys.readouterr().err
