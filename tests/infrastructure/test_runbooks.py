"""Whoever is woken by an alarm finds what it means, what to look at, what to do and when it is over."""

from __future__ import annotations

import re

import pytest

from cloud import gaps_watch, rollup_pass
from cloud.latest_telling import Taken
from infrastructure.package import FILES, ROOT
from tests.translated import Template, of_type, translated, written

RUNBOOKS = (ROOT / "infrastructure" / "runbooks.md").read_text()
ALARMS = sorted(of_type(written(), "AWS::CloudWatch::Alarm"))
CODE = "\n".join((ROOT / name).read_text() for name in FILES)


def sections() -> dict[str, str]:
    """Text of each section, by its heading."""
    found = re.split(r"^#{1,2} (.+)$", RUNBOOKS, flags=re.M)[1:]
    return dict(zip(found[::2], found[1::2], strict=True))


def rows(table: str) -> list[str]:
    """First column of a table of the last part, by its heading."""
    text = sections()["Logs and metrics"]
    return re.findall(r"^\| `([\w ]+)` \|", text.split(f"| {table} |")[1].split("\n\n")[0], flags=re.M)


@pytest.fixture(scope="module")
def template() -> Template:
    return translated()


def test_every_alarm_has_its_section_and_every_section_its_alarm() -> None:
    assert sorted(re.findall(r"^## (.+)$", RUNBOOKS, flags=re.M)) == ALARMS


@pytest.mark.parametrize("alarm", ALARMS)
def test_a_section_says_what_it_means_what_to_look_at_what_to_do_and_when_it_is_over(alarm: str) -> None:
    text = sections()[alarm]
    positions = [text.find(part) for part in ("**Means.**", "**Look at.**", "```sh", "**Over when**")]
    assert min(positions) > 0
    assert positions == sorted(positions)


@pytest.mark.parametrize("alarm", ALARMS)
def test_an_alarm_s_message_leads_to_its_section(template: Template, alarm: str) -> None:
    description = template["Resources"][alarm]["Properties"]["AlarmDescription"]["Fn::Sub"]
    assert description.endswith(f"${{RunbookUrl}}#{alarm.lower()}")


@pytest.mark.parametrize("alarm", ALARMS)
def test_commands_name_resources_that_the_stack_has(template: Template, alarm: str) -> None:
    assert set(re.findall(r"\$\(name (\w+)\)", sections()[alarm])) <= set(template["Resources"])


def test_the_events_of_the_logs_are_those_that_the_code_writes() -> None:
    assert sorted(rows("event")) == sorted(set(re.findall(r'"event": "([\w ]+)"', CODE)))


def test_the_metrics_that_are_explained_are_sent() -> None:
    assert [name for name in rows("metric") if f'"{name}"' not in CODE] == []


def test_the_metrics_that_are_sent_are_explained() -> None:
    sent = {*Taken().counts, *gaps_watch.COUNTS, *rollup_pass.COUNTS}
    assert sent - set(rows("metric")) == set()


def test_the_metrics_of_alarms_and_dashboard_are_explained(template: Template) -> None:
    alarms = of_type(template, "AWS::CloudWatch::Alarm").values()
    watched = {each["Properties"].get("MetricName") for each in alarms if own(each)}
    dashboard = template["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    shown = set(re.findall(r'"Linkpulse", "(\w+)"', dashboard))
    assert watched <= set(rows("metric"))
    assert shown == set(rows("metric"))


def own(alarm: dict[str, dict[str, str]]) -> bool:
    return alarm["Properties"].get("Namespace") == "Linkpulse"
