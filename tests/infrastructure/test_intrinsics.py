"""Intrinsic functions resolve as the CloudFormation user guide has it ("Intrinsic function reference")."""

from __future__ import annotations

from typing import Any

import pytest

from infrastructure.local.deployment.intrinsics import Resolver, TemplateError


class Stack:
    """A stack in which everything has a predictable name."""

    def physical_id(self, logical_id: str) -> str:
        return f"id-of-{logical_id}"

    def attribute(self, logical_id: str, name: str) -> str:
        return f"{name}-of-{logical_id}"


@pytest.fixture
def resolver() -> Resolver:
    document = {
        "Conditions": {
            "Yes": {"Fn::Equals": [{"Ref": "Stage"}, "dev"]},
            "No": {"Fn::Not": [{"Condition": "Yes"}]},
        }
    }
    return Resolver(document, {"Stage": "dev"}, "000000000000", "a-stack", Stack())


@pytest.mark.parametrize(
    ("written", "resolved"),
    [
        ({"Ref": "Stage"}, "dev"),
        ({"Ref": "Table"}, "id-of-Table"),
        ({"Ref": "AWS::AccountId"}, "000000000000"),
        ({"Ref": "AWS::StackName"}, "a-stack"),
        ({"Fn::GetAtt": ["Table", "Arn"]}, "Arn-of-Table"),
        ({"Fn::GetAtt": "Table.Arn"}, "Arn-of-Table"),
        (
            {"Fn::Sub": "${Stage}/${Table}/${Table.Arn}/${AWS::Region}"},
            "dev/id-of-Table/Arn-of-Table/us-east-1",
        ),
        ({"Fn::Sub": "a-${!iot:Connection.Thing.ThingName}"}, "a-${iot:Connection.Thing.ThingName}"),
        ({"Fn::Sub": ["${Own}-${Stage}", {"Own": {"Ref": "Table"}}]}, "id-of-Table-dev"),
        ({"Fn::If": ["Yes", 1, 2]}, 1),
        ({"Fn::If": ["No", 1, {"Ref": "Stage"}]}, "dev"),
        ({"Fn::Join": ["-", ["a", {"Ref": "Stage"}]]}, "a-dev"),
        ({"Fn::Select": ["1", {"Fn::Split": [",", "a,b"]}]}, "b"),
        ({"Fn::And": [{"Condition": "Yes"}, {"Condition": "No"}]}, False),
        ({"Fn::Or": [{"Condition": "Yes"}, {"Condition": "No"}]}, True),
        ("${topic(2)}", "${topic(2)}"),
        ({"A": [{"Ref": "Stage"}, 1]}, {"A": ["dev", 1]}),
    ],
)
def test_a_function_gives_its_value(resolver: Resolver, written: Any, resolved: Any) -> None:
    assert resolver.resolve(written) == resolved


def test_no_value_removes_a_property_and_an_element(resolver: Resolver) -> None:
    nothing = {"Fn::If": ["No", "x", {"Ref": "AWS::NoValue"}]}
    assert resolver.resolve({"A": nothing, "B": [1, nothing]}) == {"B": [1]}


def test_a_condition_block_of_a_policy_is_no_function(resolver: Resolver) -> None:
    block = {"Condition": {"Bool": {"aws:SecureTransport": "false"}}}
    assert resolver.resolve(block) == block


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ({"Fn::Cidr": ["a", 1]}, "Fn::Cidr is not understood"),
        ({"Condition": "Maybe"}, "Maybe is not defined"),
    ],
)
def test_what_is_not_understood_is_an_error(resolver: Resolver, written: Any, named: str) -> None:
    with pytest.raises(TemplateError, match=named):
        resolver.resolve(written)
