"""Who may do what in a deployed stack: nothing by a wildcard, nothing for everybody, its own to a gateway."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from tests.infrastructure.policies import IOT, listed, statements, strings
from tests.translated import Template, properties, translated

THING = "${!iot:Connection.Thing.ThingName}"


@pytest.fixture(scope="module")
def template() -> Template:
    return translated()


def test_the_gateway_policy_allows_one_client_id_and_its_own_topics_and_nothing_else(
    template: Template,
) -> None:
    connect, publish, subscribe, receive = properties(template, "GatewayPolicy")["PolicyDocument"][
        "Statement"
    ]
    assert connect == {
        "Effect": "Allow",
        "Action": "iot:Connect",
        "Resource": {"Fn::Sub": f"{IOT}client/{THING}"},
        "Condition": {"Bool": {"iot:Connection.Thing.IsAttached": "true"}},
    }
    assert publish == {
        "Effect": "Allow",
        "Action": "iot:Publish",
        "Resource": [
            {"Fn::Sub": f"{IOT}topic/$aws/rules/linkpulse_${{Stage}}_ingest/v1/{THING}/m"},
            {"Fn::Sub": f"{IOT}topic/linkpulse/v1/{THING}/gone"},
        ],
    }
    assert subscribe == {
        "Effect": "Allow",
        "Action": "iot:Subscribe",
        "Resource": {"Fn::Sub": f"{IOT}topicfilter/linkpulse/v1/{THING}/resend"},
    }
    assert receive == {
        "Effect": "Allow",
        "Action": "iot:Receive",
        "Resource": {"Fn::Sub": f"{IOT}topic/linkpulse/v1/{THING}/resend"},
    }


WILDCARDS = {
    # The rule makes a new name for each message.
    ("RuleRole", "${DeadLetters.Arn}/rule-errors/*"),
    # Lambda makes the names: the mapping's, and the time.
    ("IngestRole", "${DeadLetters.Arn}/aws/lambda/*"),
    # One of the levels is the gateway, whose name is not known to the template.
    ("RollupRole", f"{IOT}topic/linkpulse/v1/*/resend"),
    # Service authorization reference, AWS IoT: DescribeEndpoint knows no resource.
    ("RollupRole", "*"),
    # Deny: whoever it is, whatever is asked for, without TLS it is refused.
    ("DeadLettersPolicy", "${DeadLetters.Arn}/*"),
    ("DeadLettersPolicy", "s3:*"),
}
"""Every wildcard in an action or resource of the template, with its reason; a new one needs a new line."""


def documents(template: Template) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every statement of every policy of any kind, with the resource that it stands in."""

    def found(value: Any) -> Iterator[dict[str, Any]]:
        if isinstance(value, dict):
            yield from (each for each in listed(value.get("Statement", [])) if "Effect" in each)
            yield from itertools.chain.from_iterable(map(found, value.values()))
        elif isinstance(value, list):
            yield from itertools.chain.from_iterable(map(found, value))

    for name, resource in template["Resources"].items():
        yield from ((name, statement) for statement in found(resource))


def wildcards(template: Template) -> set[tuple[str, str]]:
    return {
        (name, text)
        for name, statement in documents(template)
        for text in strings([statement.get("Action", []), statement.get("Resource", [])])
        # `?` is a wildcard too (IAM user guide, "Using wildcards in resource ARNs").
        if "*" in text or "?" in text
    }


def test_no_wildcard_stands_where_an_arn_or_an_action_can_stand_but_for_the_listed_ones(
    template: Template,
) -> None:
    assert wildcards(template) == WILDCARDS


@pytest.mark.parametrize("text", ["*", "arn:aws:s3:::*", "arn:aws:s3:::b/?"])
def test_a_new_wildcard_is_found_wherever_it_stands(text: str) -> None:
    template = translated()
    statements(template, "RollupScheduleRole")[0]["Resource"] = [text]
    assert wildcards(template) - WILDCARDS == {("RollupScheduleRole", text)}


def test_nothing_is_granted_by_exclusion(template: Template) -> None:
    found = list(documents(template))
    assert len(found) > 15
    for _, statement in found:
        assert not {"NotAction", "NotResource", "NotPrincipal"} & set(statement)


def test_only_the_bucket_s_denial_is_for_everybody(template: Template) -> None:
    everybody = [
        (name, statement["Effect"])
        for name, statement in documents(template)
        if "*" in strings(statement.get("Principal", []))
    ]
    assert everybody == [("DeadLettersPolicy", "Deny")]
