"""Reads resources that hold data as they exist, in the form of their CloudFormation properties."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from infrastructure.local.engine import Clients

Properties = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """A resource as it exists: properties as the template would write them, and what Fn::GetAtt gives."""

    properties: Properties
    attributes: dict[str, str] = field(default_factory=dict)


def present(**properties: Any) -> Properties:
    """The properties that have a value: what is not there must read as not there."""
    return {name: value for name, value in properties.items() if value not in (None, [], {}, "")}


def stream(clients: Clients, name: str) -> Found:
    """AWS::Kinesis::Stream."""
    summary = clients.kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
    encrypted = summary.get("EncryptionType", "NONE") != "NONE"
    encryption = present(EncryptionType=summary.get("EncryptionType"), KeyId=summary.get("KeyId"))
    return Found(
        present(
            Name=summary["StreamName"],
            ShardCount=summary["OpenShardCount"],
            RetentionPeriodHours=summary["RetentionPeriodHours"],
            StreamModeDetails=summary.get("StreamModeDetails"),
            StreamEncryption=encryption if encrypted else None,
            Tags=clients.kinesis.list_tags_for_stream(StreamName=name)["Tags"],
        ),
        {"Arn": summary["StreamARN"]},
    )


def table(clients: Clients, name: str) -> Found:
    """AWS::DynamoDB::Table."""
    found = clients.dynamodb.describe_table(TableName=name)["Table"]
    expiry = clients.dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    backups = clients.dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    recovery = backups.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus")
    arn = found["TableArn"]
    expires = expiry.get("TimeToLiveStatus") in ("ENABLED", "ENABLING")
    return Found(
        present(
            TableName=found["TableName"],
            BillingMode=found.get("BillingModeSummary", {}).get("BillingMode"),
            AttributeDefinitions=found["AttributeDefinitions"],
            KeySchema=found["KeySchema"],
            DeletionProtectionEnabled=found.get("DeletionProtectionEnabled"),
            TimeToLiveSpecification={"AttributeName": expiry.get("AttributeName"), "Enabled": True}
            if expires
            else None,
            PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": recovery == "ENABLED"},
            SSESpecification={"SSEEnabled": found.get("SSEDescription", {}).get("Status") == "ENABLED"},
            Tags=clients.dynamodb.list_tags_of_resource(ResourceArn=arn).get("Tags"),
        ),
        {"Arn": arn},
    )


def bucket(clients: Clients, name: str) -> Found:
    """AWS::S3::Bucket."""
    s3 = clients.s3
    encryption = _optional(s3.get_bucket_encryption, name).get("ServerSideEncryptionConfiguration", {})
    lifecycle = _optional(s3.get_bucket_lifecycle_configuration, name)
    return Found(
        present(
            BucketName=name,
            BucketEncryption=_rename(
                encryption,
                "Rules",
                "ServerSideEncryptionConfiguration",
                {"ApplyServerSideEncryptionByDefault": "ServerSideEncryptionByDefault"},
            ),
            OwnershipControls=_optional(s3.get_bucket_ownership_controls, name).get("OwnershipControls"),
            PublicAccessBlockConfiguration=_optional(s3.get_public_access_block, name).get(
                "PublicAccessBlockConfiguration"
            ),
            VersioningConfiguration=present(Status=s3.get_bucket_versioning(Bucket=name).get("Status")),
            LifecycleConfiguration={"Rules": [_lifecycle_rule(rule) for rule in lifecycle.get("Rules", [])]},
            Tags=_optional(s3.get_bucket_tagging, name).get("TagSet"),
        ),
        {"Arn": f"arn:aws:s3:::{name}"},
    )


def _rename(holder: Properties, old: str, new: str, keys: dict[str, str]) -> Properties:
    return present(
        **{new: [{keys.get(key, key): value for key, value in each.items()} for each in holder.get(old, [])]}
    )


def _lifecycle_rule(rule: Properties) -> Properties:
    """The API nests what CloudFormation writes flat: Expiration.Days is ExpirationInDays."""
    return present(
        Id=rule.get("ID"),
        Status=rule.get("Status"),
        Prefix=rule.get("Filter", {}).get("Prefix") or rule.get("Prefix"),
        ExpirationInDays=rule.get("Expiration", {}).get("Days"),
        NoncurrentVersionExpiration=rule.get("NoncurrentVersionExpiration"),
        AbortIncompleteMultipartUpload=rule.get("AbortIncompleteMultipartUpload"),
    )


def bucket_policy(clients: Clients, name: str) -> Found:
    """AWS::S3::BucketPolicy; the engine calls it after its bucket, with ``-policy`` behind."""
    bucket = name.removesuffix("-policy")
    policy = _optional(clients.s3.get_bucket_policy, bucket).get("Policy")
    return Found(present(Bucket=bucket, PolicyDocument=json.loads(policy) if policy else None))


def _optional(call: Any, name: str) -> Properties:
    """The answer about a bucket's setting, empty when it has none (S3 answers with an error then)."""
    try:
        return dict(call(Bucket=name))
    except ClientError as exc:
        if exc.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        return {}
