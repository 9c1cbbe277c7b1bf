"""Every way to lose or hold up readings wakes somebody."""

from __future__ import annotations

from typing import Any

import pytest

from tests.translated import Template, of_type, translated


@pytest.fixture(scope="module")
def template() -> Template:
    return translated()


def watched(template: Template) -> dict[tuple[str, str], dict[str, Any]]:
    """(namespace, metric) -> dimensions of all alarms."""
    alarms = [each["Properties"] for each in of_type(template, "AWS::CloudWatch::Alarm").values()]
    return {
        (each["Namespace"], each["MetricName"]): {d["Name"]: d["Value"] for d in each["Dimensions"]}
        for each in alarms
    }


def test_every_way_to_lose_or_hold_up_readings_has_an_alarm(template: Template) -> None:
    function = {"FunctionName": {"Ref": "IngestFunction"}}
    mapping = {"EventSourceMappingUUID": {"Ref": "IngestFunctionMapping"}}
    rule = {"RuleName": {"Ref": "Rule"}}
    assert watched(template) == {
        ("AWS/Lambda", "IteratorAge"): function,
        ("AWS/Lambda", "Errors"): function,
        ("AWS/Lambda", "Throttles"): function,
        ("AWS/Lambda", "DestinationDeliveryFailures"): function,
        ("AWS/Lambda", "PolledEventCount"): mapping,
        ("AWS/Lambda", "OnFailureDestinationDeliveredEventCount"): mapping,
        ("AWS/IoT", "Failure"): {**rule, "ActionType": "Kinesis"},
        ("AWS/IoT", "ErrorActionFailure"): {**rule, "ActionType": "S3"},
        ("AWS/IoT", "RuleNotFound"): rule,
        ("AWS/IoT", "RuleMessageThrottled"): rule,
        ("Linkpulse", "Quarantined"): {"Stage": {"Ref": "Stage"}},
    }


def test_every_alarm_is_sent_when_there_is_an_address(template: Template) -> None:
    for alarm in of_type(template, "AWS::CloudWatch::Alarm").values():
        assert alarm["Properties"]["AlarmActions"] == {
            "Fn::If": ["Notified", [{"Ref": "AlarmTopic"}], {"Ref": "AWS::NoValue"}]
        }
        assert alarm["Properties"]["AlarmDescription"]
    assert template["Resources"]["AlarmTopic"]["Condition"] == "Notified"


def test_only_a_silent_mapping_alarms_on_missing_data(template: Template) -> None:
    alarms = of_type(template, "AWS::CloudWatch::Alarm")
    silent = {n for n, each in alarms.items() if each["Properties"]["TreatMissingData"] != "notBreaching"}
    assert silent == {"MappingStoppedAlarm"}
