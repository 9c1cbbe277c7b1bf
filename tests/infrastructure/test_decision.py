"""What AWS IoT lets a gateway do by the policy of the real template, and what it refuses.

AWS IoT developer guide, "Thing policy variables", "Action resources" and "AWS IoT Core policies".
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infrastructure.local import engine
from infrastructure.local.deployment.deploy import Plan
from infrastructure.local.deployment.intrinsics import Resolver
from infrastructure.local.iot.decision import Connection, Policy, parse
from infrastructure.local.iot.policy import BrokerPolicy, PolicyError
from tests.infrastructure.parts import NothingDeployed

PREFIX = f"arn:aws:iot:us-east-1:{engine.ACCOUNT}:"
THING = "${iot:Connection.Thing.ThingName}"
OWN = Connection("tower-7", frozenset({"tower-7"}))
UNATTACHED = Connection("tower-7", frozenset())
BATCHES = "$aws/rules/linkpulse_local_ingest/v1/{}/m"


@pytest.fixture(scope="session")
def policy(plan: Plan) -> Policy:
    """The policy of gateways, for the stage local."""
    written = plan.document["Resources"]["GatewayPolicy"]["Properties"]["PolicyDocument"]
    resolver = Resolver(plan.document, plan.parameters, engine.ACCOUNT, plan.stack, NothingDeployed())
    return parse(json.dumps(resolver.resolve(written)), "us-east-1", engine.ACCOUNT)


def made(*statements: dict[str, Any]) -> Policy:
    return parse(json.dumps({"Statement": list(statements)}), "us-east-1", engine.ACCOUNT)


def statement(action: str, resource: str, effect: str = "Allow", **more: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": action, "Resource": resource, **more}


# --- the policy of the template -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "name"),
    [
        ("iot:Connect", "tower-7"),
        ("iot:Publish", BATCHES.format("tower-7")),
        ("iot:Publish", "linkpulse/v1/tower-7/gone"),
        ("iot:Subscribe", "linkpulse/v1/tower-7/resend"),
        ("iot:Receive", "linkpulse/v1/tower-7/resend"),
    ],
)
def test_a_gateway_may_do_what_it_needs(policy: Policy, action: str, name: str) -> None:
    assert policy.allows(OWN, action, name)


@pytest.mark.parametrize(
    ("action", "name"),
    [
        ("iot:Connect", "tower-8"),
        ("iot:Connect", "tower-7x"),
        ("iot:Publish", BATCHES.format("tower-8")),
        ("iot:Publish", BATCHES.format("tower-7") + "/x"),
        ("iot:Publish", BATCHES.format("tower-7").replace("local", "prod")),
        ("iot:Publish", "v1/tower-7/m"),
        ("iot:Publish", "linkpulse/v1/tower-7/resend"),
        ("iot:Publish", "linkpulse/v1/tower-8/gone"),
        ("iot:Subscribe", "linkpulse/v1/tower-8/resend"),
        ("iot:Receive", "linkpulse/v1/tower-8/resend"),
        ("iot:Receive", "linkpulse/v1/tower-7/gone"),
    ],
)
def test_another_client_id_and_another_topic_are_refused(policy: Policy, action: str, name: str) -> None:
    assert not policy.allows(OWN, action, name)


@pytest.mark.parametrize(
    "name", ["#", "+", "linkpulse/#", "linkpulse/v1/+/resend", "linkpulse/v1/*/resend", "$aws/#"]
)
def test_a_subscription_with_a_wildcard_is_refused(policy: Policy, name: str) -> None:
    assert not policy.allows(OWN, "iot:Subscribe", name)


@pytest.mark.parametrize(
    ("action", "name"),
    [
        ("iot:Connect", "tower-7"),
        ("iot:Publish", BATCHES.format("tower-7")),
        ("iot:Subscribe", "linkpulse/v1/tower-7/resend"),
        ("iot:Receive", "linkpulse/v1/tower-7/resend"),
        # "If the certificate is not associated with the thing, this variable won't be resolved."
        ("iot:Publish", BATCHES.format("")),
        ("iot:Publish", BATCHES.format(THING)),
    ],
)
def test_a_certificate_that_is_not_attached_to_the_thing_may_nothing(
    policy: Policy, action: str, name: str
) -> None:
    assert not policy.allows(UNATTACHED, action, name)


def test_a_certificate_of_two_things_is_the_one_that_its_client_id_names(policy: Policy) -> None:
    both = Connection("b", frozenset({"a", "b"}))
    assert policy.allows(both, "iot:Publish", BATCHES.format("b"))
    assert not policy.allows(both, "iot:Publish", BATCHES.format("a"))


@pytest.mark.parametrize("name", ["*", "?", "+", "#", "tower-*"])
def test_a_client_id_that_is_a_wildcard_gains_nothing_over_others(policy: Policy, name: str) -> None:
    posing = Connection(name, frozenset({name}))
    assert not policy.allows(posing, "iot:Publish", BATCHES.format("tower-7"))
    assert not policy.allows(posing, "iot:Connect", "tower-7")


@given(st.text(alphabet="ab/$+#*?.", max_size=12), st.sampled_from(["a", "b", "ab"]))
def test_the_broker_s_rules_and_the_decision_agree_on_who_may_publish_where(
    policy: Policy, rights: BrokerPolicy, tail: str, thing: str
) -> None:
    connection = Connection(thing, frozenset({thing}))
    for topic in (tail, BATCHES.format(tail), f"linkpulse/v1/{tail}/gone", BATCHES.format(thing) + tail):
        assert policy.allows(connection, "iot:Publish", topic) is (rights.publisher(topic) == thing)


# --- the language -------------------------------------------------------------------------------------


def test_what_no_statement_allows_is_denied() -> None:
    assert not made().allows(OWN, "iot:Connect", "tower-7")


def test_a_denial_wins_over_what_allows() -> None:
    policy = made(statement("iot:*", "*"), statement("iot:Publish", f"{PREFIX}topic/a", "Deny"))
    assert not policy.allows(OWN, "iot:Publish", "a")
    assert policy.allows(OWN, "iot:Publish", "b")


def test_wildcards_of_a_resource_are_star_and_question_mark_and_mqtt_s_are_plain() -> None:
    policy = made(statement("iot:Subscribe", f"{PREFIX}topicfilter/a/+/b*?"))
    assert policy.allows(OWN, "iot:Subscribe", "a/+/bc")
    assert not policy.allows(OWN, "iot:Subscribe", "a/x/bc")
    assert not policy.allows(OWN, "iot:Subscribe", "a/+/b")


def test_the_client_id_has_a_value_without_a_thing() -> None:
    policy = made(statement("iot:Publish", f"{PREFIX}topic/${{iot:ClientId}}"))
    assert policy.allows(UNATTACHED, "iot:Publish", "tower-7")
    assert not policy.allows(UNATTACHED, "iot:Publish", "tower-8")


@pytest.mark.parametrize(
    ("wanted", "attached", "unattached"), [("true", True, False), ("false", False, True)]
)
def test_the_condition_asks_whether_the_certificate_is_attached(
    wanted: str, attached: bool, unattached: bool
) -> None:
    condition = {"Bool": {"iot:Connection.Thing.IsAttached": wanted}}
    policy = made(statement("iot:Connect", "*", Condition=condition))
    assert policy.allows(OWN, "iot:Connect", "x") is attached
    assert policy.allows(UNATTACHED, "iot:Connect", "x") is unattached


def test_a_resource_of_another_region_or_account_is_another_one() -> None:
    policy = made(statement("iot:Publish", "arn:aws:iot:eu-west-1:000000000000:topic/a"))
    assert not policy.allows(OWN, "iot:Publish", "a")


@pytest.mark.parametrize(
    ("given_statement", "named"),
    [
        (statement("iot:Publish", "*", "Maybe"), "Effect Maybe"),
        (statement("iot:UpdateThingShadow", "*"), "action iot:UpdateThingShadow"),
        (statement("iot:Publish", "${iot:Certificate.Subject.CommonName}"), "iot:Certificate.Subject"),
        (statement("iot:Publish", f"{PREFIX}topic/{THING}", "Deny"), "a denial with a variable"),
        (statement("iot:Publish", "*", NotAction="x"), "NotAction"),
        (statement("iot:Publish", "*", Condition={"IpAddress": {"aws:SourceIp": "::1"}}), "IpAddress"),
        ({"Effect": "Allow"}, "not a policy document"),
    ],
)
def test_what_is_not_understood_is_an_error_that_names_it(
    given_statement: dict[str, Any], named: str
) -> None:
    with pytest.raises(PolicyError, match=named):
        made(given_statement)


@pytest.mark.parametrize("document", ["", "[]", "{}", '{"Statement": 1}'])
def test_what_is_no_policy_document_is_an_error(document: str) -> None:
    with pytest.raises(PolicyError, match="not a policy document"):
        parse(document, "us-east-1", engine.ACCOUNT)


def test_an_action_that_is_none_of_a_connection_is_an_error() -> None:
    with pytest.raises(PolicyError, match="iot:UpdateThing is no action"):
        made().allows(OWN, "iot:UpdateThing", "x")
