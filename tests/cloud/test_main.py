"""`linkview` from the command line to the table: what people see, what machines get, how it fails."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cloud.registry_metadata import LinkMetadata, Metadata, pack
from tests.cloud.records import batch, echo, envelope, interface, records
from tests.cloud.views import View

if TYPE_CHECKING:
    from tests.cloud.conftest import Cloud


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
