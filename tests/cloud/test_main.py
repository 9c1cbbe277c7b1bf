"""`linkview` from the command line to the table: what people see, what machines get, how it fails."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from cloud import __main__ as linkview
from cloud import queries
from cloud.registry_metadata import LinkMetadata, Metadata, pack
from cloud.target import Target
from edge_agent.contract import KINDS, Flag, Link, Reading, row
from tests.cloud.conftest import STACK
from tests.cloud.records import batch, denied, echo, envelope, interface, records

if TYPE_CHECKING:
    from tests.cloud.conftest import Cloud


class View:
    """linkview on the test stack."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        code = linkview.main([*arguments, "--stack", STACK])
        said = self._capsys.readouterr()
        return code, said.out, said.err

    def json(self, *arguments: str) -> Any:
        code, out, _ = self(*arguments, "--json")
        assert code == 0
        return json.loads(out)


@pytest.fixture
def view(capsys: pytest.CaptureFixture[str]) -> View:
    return View(capsys)


@pytest.fixture
def now() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
def filled(cloud: Cloud, now: int) -> Cloud:
    """One gateway with a lossy, a dead, a busy and an unmeasurable link; a direct one with a fast link."""
    links = [Link("lossy", peer="hill", medium="radio"), Link("dead", peer="[red]valley\x1b[2J")]
    for minute in range(10, 0, -1):
        at = now - minute * 60_000 + 30_000
        readings = [
            echo("lossy", at, 20_000 + 1_000 * minute, received=4),
            echo("dead", at + 1, received=0),
            interface("busy", at + 2),
            denied("denied", at + 3),
        ]
        sealed = batch("gw-1", readings, sequence=4 * (10 - minute), links=links if minute == 10 else ())
        assert cloud.ingest(records(envelope(sealed, rx=at + 500)), now_ms=now) == []
    fast = batch("gw-2", [echo("fast", now - 10_000, 900), echo("lossy", now - 9_000, 900)])
    assert cloud.ingest(records(envelope(fast, rx=now, direct=True)), now_ms=now, allow_direct=True) == []
    return cloud


def test_links_are_shown_worst_first_with_their_units(view: View, filled: Cloud) -> None:
    code, out, _ = view("links")
    assert code == 0
    for header in ("loss %", "p50 ms", "p95 / max ms", "p50, last hour"):
        assert header in out
    lines = [line for line in out.splitlines() if "gw-" in line]
    assert [line.split()[0] for line in lines] == ["dead", "denied", "lossy", "fast", "lossy", "busy"]
    dead, lossy = lines[0], next(line for line in lines if "hill" in line)
    assert "down" in dead
    assert "100.0" in dead
    assert "20.0" in lossy
    assert "radio" in lossy
    assert "21.0" in lossy
    assert any(bar in lossy for bar in "▂▃▄▅▆▇█")
    assert "\x1b" not in out


def test_what_was_not_measured_is_a_dash_and_says_why(view: View, filled: Cloud) -> None:
    _, out, _ = view("links")
    line = next(line for line in out.splitlines() if line.lstrip().startswith("denied"))
    assert "not measured: denied" in line
    assert "0.0" not in line
    assert "100" not in line
    assert "–" in line


def test_links_for_machines_are_raw_integers_with_units_in_the_names(view: View, filled: Cloud) -> None:
    found = view.json("links")
    assert {(each["gateway"], each["link"]) for each in found} == {
        *(("gw-1", name) for name in ("lossy", "dead", "busy", "denied")),
        *(("gw-2", name) for name in ("fast", "lossy")),
    }
    by_name = {(each["gateway"], each["link"]): each for each in found}
    lossy = by_name["gw-1", "lossy"]
    assert (lossy["sent"], lossy["lost"], lossy["p50_us"], lossy["p95_us"]) == (5, 1, 21_000, None)
    assert (lossy["peer"], lossy["medium"], lossy["state"]) == ("hill", "radio", "degraded")
    assert by_name["gw-1", "denied"]["p50_us"] is None
    assert by_name["gw-1", "busy"]["readings"][0]["rx_bytes"] == 125_000


def test_links_can_be_limited_sorted_and_of_one_gateway(view: View, filled: Cloud) -> None:
    assert [each["link"] for each in view.json("links", "--limit", "1")] == ["dead"]
    assert [each["link"] for each in view.json("links", "--gateway", "gw-2", "--sort", "name")] == [
        "fast",
        "lossy",
    ]
    _, out, _ = view("links", "--limit", "2")
    assert "4 more: --limit 0 shows all" in out


def test_history_shows_each_reading_with_utc_time_and_units(view: View, filled: Cloud) -> None:
    code, out, _ = view("history", "dead")
    assert code == 0
    assert "min ms" in out
    rows = [line for line in out.splitlines() if "Z " in line]
    assert len(rows) == 10
    assert all("100.0" in row and "–" in row for row in rows)


def test_history_for_machines_is_every_reading_as_measured(view: View, filled: Cloud) -> None:
    found = view.json("history", "lossy", "--gateway", "gw-1", "--kind", "echo")
    assert [each["rtt_p50_us"] for each in found] == [20_000 + 1_000 * minute for minute in range(10, 0, -1)]
    assert {each["gateway"] for each in found} == {"gw-1"}
    assert found[0]["rtt_p95_us"] is None


def test_history_keeps_to_its_time_and_kind(view: View, filled: Cloud, now: int) -> None:
    assert len(view.json("history", "dead", "--since", "5m")) == 5
    assert len(view.json("history", "dead", "--since", "10m", "--until", "5m")) == 5
    assert view.json("history", "busy", "--kind", "echo") == []
    _, out, _ = view("history", "busy", "--since", "2m")
    assert "in Mbit/s" in out
    assert "0.100" in out
    assert "0.200" in out


def test_history_without_readings_in_the_time_says_so(view: View, filled: Cloud) -> None:
    code, out, _ = view("history", "dead", "--since", "20h", "--until", "10h")
    assert code == 0
    assert "nothing of dead of gw-1" in out


def test_an_unknown_link_is_one_line_and_exit_1(view: View, filled: Cloud) -> None:
    for arguments in (["nolink"], ["fast", "--gateway", "gw-1"]):
        code, out, err = view("history", *arguments)
        assert (code, out) == (1, "")
        assert err.startswith("linkview: no link ")
        assert err.count("\n") == 1


def test_a_link_of_several_gateways_asks_which_is_meant(view: View, filled: Cloud) -> None:
    code, _, err = view("history", "lossy")
    assert code == 1
    assert "gw-1, gw-2" in err
    assert "--gateway" in err


def test_an_unknown_gateway_is_one_line_and_exit_1(view: View, filled: Cloud) -> None:
    code, _, err = view("links", "--gateway", "nobody")
    assert code == 1
    assert "no gateway nobody" in err


def test_gateways_are_listed_with_what_they_sent(view: View, filled: Cloud, now: int) -> None:
    enrolled = {"p": {"S": "gw-3"}, "s": {"S": "GATEWAY"}, "added_ms": {"N": str(now)}, "site": {"S": "roof"}}
    filled.client.put_item(TableName=filled.settings.registry_table, Item=enrolled)
    found = {each["gateway"]: each for each in view.json("gateways")}
    assert set(found) == {"gw-1", "gw-2", "gw-3"}
    assert (found["gw-1"]["links"], found["gw-1"]["direct"]) == (4, False)
    assert found["gw-1"]["readings_in_epoch"] == 10 * 4
    assert found["gw-2"]["direct"] is True
    assert (found["gw-3"]["last_seen_ms"], found["gw-3"]["site"]) == (None, "roof")
    code, out, _ = view("gateways", "list")
    assert code == 0
    assert "roof" in out
    assert "direct" in out


def test_quarantined_records_are_listed_and_told_of_everywhere(view: View, filled: Cloud, now: int) -> None:
    spoof = records(envelope(batch("victim"), thing="gw-1", rx=now), first=900)
    filled.ingest(spoof, now_ms=now)
    (found,) = view.json("quarantine", "list")
    assert (found["thing"], found["rule"], found["sequence"]) == ("gw-1", "identity", "900")
    assert "victim" in found["reason"]
    _, out, _ = view("quarantine", "list")
    assert "'victim'" in out
    for command in ("links", "gateways"):
        _, out, _ = view(command)
        assert "1 record is quarantined today: linkview quarantine list" in out
    counts = {each["gateway"]: each["quarantined_today"] for each in view.json("gateways")}
    assert counts == {"gw-1": 1, "gw-2": 0}


def test_an_empty_stack_says_so_and_is_no_failure(view: View, cloud: Cloud) -> None:
    for command, said in (
        (["links"], "no links yet"),
        (["gateways"], "no gateways yet"),
        (["quarantine", "list"], "nothing is quarantined"),
    ):
        code, out, _ = view(*command)
        assert code == 0
        assert said in out
        assert view.json(*command) == []


def test_a_stored_batch_of_a_newer_version_is_said_and_hides_nothing(
    view: View, filled: Cloud, target: Target, now: int
) -> None:
    newest = max(filled.items("readings"), key=lambda item: item["s"]["S"] * (item["p"]["S"][:4] == "gw-1"))
    changed = {**newest, "b": {"B": b"\x09" + bytes(newest["b"]["B"])[1:]}}
    filled.client.put_item(TableName=filled.settings.readings_table, Item=changed)
    code, out, err = view("history", "dead", "--json")
    assert code == 1
    assert len(json.loads(out)) == 9
    assert "1 stored batches could not be read" in err
    assert queries.history(target, "gw-1", now - 3_600_000, now).unreadable == 1


def test_a_latest_state_of_a_newer_version_hides_no_other_and_is_said(view: View, filled: Cloud) -> None:
    (item,) = (each for each in filled.items("latest") if each["gateway"]["S"] == "gw-1")
    filled.client.put_item(TableName=filled.settings.latest_table, Item={**item, "b": {"B": b"\x63"}})
    for arguments in (["links"], ["links", "--json"], ["gateways"]):
        code, out, err = view(*arguments)
        assert (code, "gw-2" in out) == (0, True)
        assert "left out: gateway gw-1: its latest state has format 63" in err
    code, out, err = view("links", "--gateway", "gw-1")
    assert (code, out) == (1, "")
    assert "its latest state has format 63: is there a newer linkview?" in err


def test_a_link_is_shown_with_its_use_and_an_estimated_opinion_score(view: View, filled: Cloud) -> None:
    said = Metadata("Hill", "North", -33.9, 18.4, {"busy": LinkMetadata("radio", 10_000)})
    filled.client.put_item(TableName=filled.settings.registry_table, Item=pack("gw-1", said))
    now_ms = time.time_ns() // 1_000_000
    sealed = batch("gw-1", [interface("busy", now_ms), echo("busy", now_ms, 20_000)], sequence=1000)
    assert filled.ingest(records(envelope(sealed, rx=now_ms)), now_ms=now_ms) == []
    found = {each["link"]: each for each in view.json("links", "--gateway", "gw-1")}
    busy = found["busy"]
    # 250,000 B in 10 s are 200 kbit/s.
    assert (busy["rate_kbps"], busy["capacity_kbps"], busy["utilisation"]) == (200, 10_000, 0.02)
    assert (busy["site"], busy["region"], busy["latitude"], busy["mos"]) == ("Hill", "North", -33.9, 4.37)
    assert (found["dead"]["mos"], found["dead"]["utilisation"]) == (None, None)
    assert busy["since_ms"] is not None


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], 2),
        (["nonsense"], 2),
        (["links", "--sort", "best"], 2),
        (["links", "--limit", "-1"], 2),
        # With 0 it would say that nothing is quarantined.
        (["quarantine", "list", "--limit", "0"], 2),
    ],
)
def test_a_wrong_command_line_is_exit_2(
    arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        linkview.main(arguments)
    assert raised.value.code == code
    assert "usage: linkview" in capsys.readouterr().err


def test_a_wrong_time_is_exit_2_before_anything_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert linkview.main(["history", "x", "--since", "soon", "--stack", "nowhere"]) == 2
    assert "'soon' is no time" in capsys.readouterr().err


def test_a_stack_that_is_not_there_is_one_line_and_exit_1(
    aws: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert linkview.main(["links", "--stack", "nowhere"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("linkview: there is no stack nowhere on AWS")
    assert said.err.count("\n") == 1


def test_a_reader_that_goes_away_ends_linkview_in_silence() -> None:
    code = (
        "import sys, types\nfrom cloud import __main__ as linkview\n"
        "fake = types.ModuleType('fake')\n"
        "fake.add_parser = lambda subparsers: subparsers.add_parser('talk')\n"
        "fake.run = lambda args: print('x' * 10_000_000) or 0\n"
        "sys.modules['fake'] = fake\nlinkview.COMMANDS['talk'] = 'fake'\n"
        "sys.exit(linkview.main(['talk']))"
    )
    talker = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert talker.stdout is not None
    assert talker.stderr is not None
    assert talker.stdout.read(1) == b"x"
    talker.stdout.close()
    assert talker.stderr.read() == b""
    talker.stderr.close()
    assert talker.wait(60) == 0


def test_only_the_command_that_is_meant_is_imported() -> None:
    code = (
        "import sys\nfrom cloud.__main__ import main\n"
        "main(['history', 'x', '--local', '/nonexistent'])\n"
        "assert 'cloud.history' in sys.modules and 'cloud.audit' not in sys.modules\n"
        "assert 'cryptography' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "no local cloud in /nonexistent" in done.stderr


def test_every_kind_of_reading_is_stored_shown_and_in_the_history(view: View, cloud: Cloud, now: int) -> None:
    at = now - 30_000
    hops = [
        Reading("a.b", "path", at, row("path", hop=hop, hops=2, sent=3, answered=3), Flag.CLOCK_SYNCED)
        for hop in (1, 2)
    ]
    plain = [Reading("a.b", kind, at, row(kind), Flag.CLOCK_SYNCED) for kind in KINDS if kind != "path"]
    host = Reading("host", "host", at + 1, row("host", cpu_permille=125, temperature_ck=32_215, throttled=1))
    given = [echo("a.b", at + 1), *plain, *hops, host]
    assert cloud.ingest(records(envelope(batch("gw-1", given), rx=now)), now_ms=now) == []
    (link,) = view.json("links")
    assert (link["link"], link["kind"]) == ("a.b", "echo")
    found = view.json("history", "a.b")
    assert sorted(each["kind"] for each in found) == sorted(each.kind for each in given if each.link == "a.b")
    assert [each["hop"] for each in view.json("history", "a.b", "--kind", "path")] == [1, 2]
    for kind in KINDS:
        code, out, _ = view("history", "host" if kind == "host" else "a.b", "--kind", kind)
        assert (code, f"{kind} of " in out) == (0, True)


def test_a_gateways_health_is_in_the_list_of_gateways_and_is_no_link(
    view: View, cloud: Cloud, now: int
) -> None:
    columns = row("host", cpu_permille=125, temperature_ck=32_215, throttled=1)
    host = Reading("host", "host", now - 9_000, columns, Flag.CLOCK_SYNCED)
    cloud.ingest(records(envelope(batch("gw-1", [host, echo("a.b", now - 8_000)]), rx=now)), now_ms=now)
    _, out, _ = view("gateways")
    assert "CPU 12 %, 49 °C, under-voltage" in " ".join(out.split())
    (found,) = view.json("gateways")
    assert (found["links"], found["host"]["cpu_permille"]) == (1, 125)
    assert [each["link"] for each in view.json("links")] == ["a.b"]


def test_what_waits_and_what_was_lost_in_a_gateway_is_in_the_list_of_gateways(
    view: View, cloud: Cloud, now: int
) -> None:
    columns = row("agent", spool_kib=13_107, spool_max_kib=65_536, oldest_s=7_300, dropped_full=60)
    agent = Reading("host", "agent", now - 9_000, columns)
    cloud.ingest(records(envelope(batch("gw-1", [agent, echo("a.b", now - 8_000)]), rx=now)), now_ms=now)
    _, out, _ = view("gateways")
    assert "spool 20 %, oldest 2 h, 60 dropped, clock not synchronised" in " ".join(out.split())
    (found,) = view.json("gateways")
    assert (found["links"], found["agent"]["dropped_full"]) == (1, 60)
