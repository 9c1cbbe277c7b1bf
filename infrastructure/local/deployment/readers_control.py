"""Reads resources that act or guard as they exist, in the form of their CloudFormation properties."""

from __future__ import annotations

import base64
import json
from typing import Any

from infrastructure.local.deployment.readers_data import Found, present
from infrastructure.local.deployment.template import ARTIFACTS
from infrastructure.local.engine import Clients


def topic_rule(clients: Clients, name: str) -> Found:
    """AWS::IoT::TopicRule."""
    answer = clients.iot.get_topic_rule(ruleName=name)
    payload = {key: value for key, value in answer["rule"].items() if key not in ("ruleName", "createdAt")}
    return Found(present(RuleName=name, TopicRulePayload=_capitalised(payload)), {"Arn": answer["ruleArn"]})


def _capitalised(value: Any) -> Any:
    """The IoT API writes camelCase what CloudFormation writes in PascalCase."""
    if isinstance(value, dict):
        return {key[:1].upper() + key[1:]: _capitalised(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_capitalised(each) for each in value]
    return value


def iot_policy(clients: Clients, name: str) -> Found:
    """AWS::IoT::Policy."""
    answer = clients.iot.get_policy(policyName=name)
    return Found(
        present(PolicyName=answer["policyName"], PolicyDocument=json.loads(answer["policyDocument"])),
        {"Arn": answer["policyArn"], "Id": name},
    )


def role(clients: Clients, name: str) -> Found:
    """AWS::IAM::Role with its inline and attached policies."""
    found = clients.iam.get_role(RoleName=name)["Role"]
    names = clients.iam.list_role_policies(RoleName=name)["PolicyNames"]
    attached = clients.iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    policies = [
        {
            "PolicyName": each,
            "PolicyDocument": clients.iam.get_role_policy(RoleName=name, PolicyName=each)["PolicyDocument"],
        }
        for each in names
    ]
    return Found(
        present(
            RoleName=found["RoleName"],
            Description=found.get("Description"),
            Path=found.get("Path"),
            MaxSessionDuration=found.get("MaxSessionDuration"),
            AssumeRolePolicyDocument=found["AssumeRolePolicyDocument"],
            Policies=policies,
            ManagedPolicyArns=[each["PolicyArn"] for each in attached],
            Tags=found.get("Tags"),
        ),
        {"Arn": found["Arn"], "RoleId": found["RoleId"]},
    )


def function(clients: Clients, name: str) -> Found:
    """AWS::Lambda::Function; its code reads as the artifact with its hash."""
    answer = clients.lambda_.get_function(FunctionName=name)
    found: dict[str, Any] = dict(answer["Configuration"])
    code_hash = base64.b64decode(found["CodeSha256"]).hex()
    same = (
        "FunctionName",
        "Description",
        "Handler",
        "Runtime",
        "MemorySize",
        "Timeout",
        "Role",
        "Architectures",
        "Environment",
        "LoggingConfig",
        "EphemeralStorage",
        "TracingConfig",
        "PackageType",
    )
    tags = [{"Key": key, "Value": value} for key, value in answer.get("Tags", {}).items()]
    return Found(
        present(
            **{key: found.get(key) for key in same},
            Code={"S3Bucket": ARTIFACTS, "S3Key": code_hash},
            Tags=tags,
        ),
        {"Arn": found["FunctionArn"]},
    )


def event_source_mapping(clients: Clients, uuid: str) -> Found:
    """AWS::Lambda::EventSourceMapping."""
    found: dict[str, Any] = dict(clients.lambda_.get_event_source_mapping(UUID=uuid))
    same = (
        "EventSourceArn",
        "BatchSize",
        "MaximumBatchingWindowInSeconds",
        "MaximumRetryAttempts",
        "MaximumRecordAgeInSeconds",
        "BisectBatchOnFunctionError",
        "ParallelizationFactor",
        "TumblingWindowInSeconds",
        "StartingPosition",
        "FunctionResponseTypes",
        "DestinationConfig",
        "FilterCriteria",
        "MetricsConfig",
    )
    return Found(
        present(
            **{key: found.get(key) for key in same},
            FunctionName=found["FunctionArn"].rpartition(":")[2],
            Enabled=found.get("State") in ("Enabled", "Enabling", "Creating"),
        ),
        {"Id": uuid},
    )


def event_invoke_config(clients: Clients, identifier: str) -> Found:
    """AWS::Lambda::EventInvokeConfig; its physical id is the function and the qualifier."""
    name, _, qualifier = identifier.rpartition(":")
    found = clients.lambda_.get_function_event_invoke_config(FunctionName=name, Qualifier=qualifier)
    properties = present(
        FunctionName=name,
        Qualifier=qualifier,
        MaximumRetryAttempts=found.get("MaximumRetryAttempts"),
        MaximumEventAgeInSeconds=found.get("MaximumEventAgeInSeconds"),
    )
    # SAM writes an empty one out.
    properties["DestinationConfig"] = {
        kind: to for kind, to in found.get("DestinationConfig", {}).items() if to
    }
    return Found(properties)


def schedule(clients: Clients, name: str) -> Found:
    """AWS::Scheduler::Schedule."""
    found = clients.scheduler.get_schedule(Name=name)
    return Found(
        present(**{key: value for key, value in found.items() if key != "Arn"}), {"Arn": found["Arn"]}
    )


def log_group(clients: Clients, name: str) -> Found:
    """AWS::Logs::LogGroup."""
    groups = clients.logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    found = next(each for each in groups if each["logGroupName"] == name)
    arn = found["arn"].removesuffix(":*") + ":*"
    return Found(present(LogGroupName=name, RetentionInDays=found.get("retentionInDays")), {"Arn": arn})


def alarm(clients: Clients, name: str) -> Found:
    """AWS::CloudWatch::Alarm, of one metric or of an expression."""
    found = clients.cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]
    return Found(present(**found), {"Arn": found["AlarmArn"]})


def dashboard(clients: Clients, name: str) -> Found:
    """AWS::CloudWatch::Dashboard."""
    found = clients.cloudwatch.get_dashboard(DashboardName=name)
    return Found(present(DashboardName=name, DashboardBody=found["DashboardBody"]))
