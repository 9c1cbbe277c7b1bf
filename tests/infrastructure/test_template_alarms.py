"""Every way to lose or hold up readings wakes somebody."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.translated import Template, of_type, translated


@pytest.fixture(scope="module")
def template() -> Template:
    return translated()


def watched(template: Template) -> dict[tuple[str, str], dict[str, Any]]:
    """(namespace, metric) -> dimensions of all alarms over one metric."""
    alarms = [each["Properties"] for each in of_type(template, "AWS::CloudWatch::Alarm").values()]
    return {
        (each["Namespace"], each["MetricName"]): {d["Name"]: d["Value"] for d in each["Dimensions"]}
        for each in alarms
        if "MetricName" in each
    }


def test_every_way_to_lose_or_hold_up_readings_has_an_alarm(template: Template) -> None:
    function = {"FunctionName": {"Ref": "IngestFunction"}}
    mapping = {"EventSourceMappingUUID": {"Ref": "IngestFunctionMapping"}}
    rule = {"RuleName": {"Ref": "Rule"}}
    stage = {"Stage": {"Ref": "Stage"}}
    assert watched(template) == {
        ("AWS/Lambda", "IteratorAge"): function,
        ("AWS/Lambda", "Errors"): function,
        ("AWS/Lambda", "Throttles"): function,
        ("AWS/Lambda", "DestinationDeliveryFailures"): function,
        ("AWS/Lambda", "PolledEventCount"): mapping,
        ("AWS/Lambda", "OnFailureDestinationDeliveredEventCount"): mapping,
        ("AWS/IoT", "Failure"): {**rule, "ActionType": "Kinesis"},
        ("AWS/IoT", "RuleNotFound"): rule,
        ("AWS/IoT", "RuleMessageThrottled"): rule,
        ("Linkpulse", "Quarantined"): stage,
        ("Linkpulse", "RollupSecondsBehind"): stage,
        ("Linkpulse", "RollupRefused"): stage,
        ("Linkpulse", "RollupUnreadable"): stage,
        ("Linkpulse", "GapsNotPublished"): stage,
        ("Linkpulse", "LatestUnreadable"): stage,
        ("Linkpulse", "ChangesWaiting"): stage,
        ("AWS/Events", "FailedInvocations"): {"RuleName": {"Ref": "ChangeRule"}},
    }


def test_a_missing_or_a_disabled_rule_raises_an_alarm_with_the_first_message(template: Template) -> None:
    # AWS IoT developer guide, "Rule metrics": RuleNotFound, with the dimension RuleName.
    alarm = template["Resources"]["RuleNotFoundAlarm"]["Properties"]
    assert (alarm["Statistic"], alarm["Threshold"], alarm["EvaluationPeriods"]) == ("Sum", 1, 1)
    assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
    assert template["Resources"]["Rule"]["Properties"]["RuleName"] == {"Fn::Sub": "linkpulse_${Stage}_ingest"}


def test_a_failed_error_action_rings_whatever_its_type_is_called(template: Template) -> None:
    (query,) = template["Resources"]["RuleErrorActionAlarm"]["Properties"]["Metrics"]
    assert query["Expression"] == {
        "Fn::Sub": "SELECT SUM(ErrorActionFailure) FROM \"AWS/IoT\" WHERE RuleName = '${Rule}'"
    }
    assert query["ReturnData"] is True


def test_every_alarm_is_sent_when_there_is_an_address(template: Template) -> None:
    for alarm in of_type(template, "AWS::CloudWatch::Alarm").values():
        assert alarm["Properties"]["AlarmActions"] == {
            "Fn::If": ["Notified", [{"Ref": "AlarmTopic"}], {"Ref": "AWS::NoValue"}]
        }
        assert alarm["Properties"]["AlarmDescription"]
    assert template["Resources"]["AlarmTopic"]["Condition"] == "Notified"


def test_silence_of_the_mapping_and_of_the_rollup_is_an_alarm_and_no_other(template: Template) -> None:
    alarms = of_type(template, "AWS::CloudWatch::Alarm")
    silent = {n for n, each in alarms.items() if each["Properties"]["TreatMissingData"] != "notBreaching"}
    assert silent == {"MappingStoppedAlarm", "RollupBehindAlarm"}


# --- the dashboard --------------------------------------------------------------------------------


def dashboard(template: Template) -> dict[str, Any]:
    text = template["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    body: dict[str, Any] = json.loads(text)
    return body


def widgets(template: Template, kind: str) -> list[dict[str, Any]]:
    return [each["properties"] for each in dashboard(template)["widgets"] if each["type"] == kind]


def test_the_dashboard_shows_every_alarm_that_is_always_there(template: Template) -> None:
    (shown,) = widgets(template, "alarm")
    alarms = of_type(template, "AWS::CloudWatch::Alarm").items()
    always = [name for name, alarm in alarms if "Condition" not in alarm]
    assert sorted(shown["alarms"]) == sorted(f"${{{name}.Arn}}" for name in always)
    assert {name for name, _ in alarms} - set(always) == {"ChangeMailAlarm"}


def test_changes_that_are_mailed_have_an_alarm_over_the_mailing(template: Template) -> None:
    # EventBridge user guide, "Monitoring": FailedInvocations, with the dimension RuleName.
    resources = template["Resources"]
    assert resources["ChangeMailAlarm"]["Condition"] == resources["ChangeRule"]["Condition"]


def test_the_dashboard_leads_to_the_runbooks(template: Template) -> None:
    (text,) = widgets(template, "text")
    assert "[runbooks](${RunbookUrl})" in text["markdown"]


def test_the_dashboard_shows_rule_stream_functions_tables_and_our_own_metrics(template: Template) -> None:
    rows = [row for each in widgets(template, "metric") for row in each["metrics"] if isinstance(row[0], str)]
    assert {row[0] for row in rows} == {"AWS/IoT", "AWS/Kinesis", "AWS/Lambda", "AWS/DynamoDB", "Linkpulse"}
    referenced = set(re.findall(r"\$\{(\w+)\}", json.dumps(dashboard(template))))
    kinds = ("AWS::DynamoDB::Table", "AWS::Lambda::Function", "AWS::Kinesis::Stream", "AWS::IoT::TopicRule")
    assert referenced >= {name for kind in kinds for name in of_type(template, kind)}


def test_the_dashboard_has_no_more_metrics_than_cost_nothing(template: Template) -> None:
    # CloudWatch pricing, "Free tier": three dashboards of up to 50 metrics each.
    assert sum(len(each["metrics"]) for each in widgets(template, "metric")) <= 50


def test_no_two_widgets_of_the_dashboard_overlap(template: Template) -> None:
    taken: set[tuple[int, int]] = set()
    for each in dashboard(template)["widgets"]:
        xs, ys = range(each["x"], each["x"] + each["width"]), range(each["y"], each["y"] + each["height"])
        cells = {(x, y) for x in xs for y in ys}
        assert not cells & taken
        assert max(xs) < 24
        taken |= cells
