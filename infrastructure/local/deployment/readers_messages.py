"""Reads what sends messages to people as it exists, in the form of its CloudFormation properties."""

from __future__ import annotations

import json

from infrastructure.local.deployment.readers_data import Found, present
from infrastructure.local.engine import Clients


def event_rule(clients: Clients, identifier: str) -> Found:
    """AWS::Events::Rule on the default bus, with its targets."""
    name = identifier.rpartition("|")[2]
    found = clients.events.describe_rule(Name=name)
    targets = clients.events.list_targets_by_rule(Rule=name)["Targets"]
    return Found(
        present(
            Name=name,
            Description=found.get("Description"),
            State=found.get("State"),
            EventPattern=json.loads(found["EventPattern"]),
            Targets=targets,
        ),
        {"Arn": found["Arn"]},
    )


def topic_policy(clients: Clients, identifier: str) -> Found:
    """AWS::SNS::TopicPolicy of the one topic that has a rule as its sender."""
    for each in clients.sns.list_topics()["Topics"]:
        attributes = clients.sns.get_topic_attributes(TopicArn=each["TopicArn"])["Attributes"]
        policy = json.loads(attributes.get("Policy") or "{}")
        if "events.amazonaws.com" in json.dumps(policy):
            return Found(present(Topics=[each["TopicArn"]], PolicyDocument=policy))
    raise LookupError(f"no topic has {identifier}")


def topic(clients: Clients, arn: str) -> Found:
    """AWS::SNS::Topic with its subscriptions; its physical id is its ARN."""
    attributes = clients.sns.get_topic_attributes(TopicArn=arn)["Attributes"]
    subscriptions = clients.sns.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"]
    pairs = [{"Protocol": each["Protocol"], "Endpoint": each["Endpoint"]} for each in subscriptions]
    name = arn.rpartition(":")[2]
    return Found(
        present(TopicName=name, DisplayName=attributes.get("DisplayName"), Subscription=pairs),
        {"TopicArn": arn, "TopicName": name},
    )
