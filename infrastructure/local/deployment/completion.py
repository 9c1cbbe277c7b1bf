"""Sets through the API what the engine's CloudFormation left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from infrastructure.local.deployment.differences import DifferencesError
from infrastructure.local.engine import Clients

Completion = Callable[[Clients, str, Any], object]


def _table_expiry(clients: Clients, table: str, value: Any) -> None:
    clients.dynamodb.update_time_to_live(
        TableName=table,
        TimeToLiveSpecification={"AttributeName": value["AttributeName"], "Enabled": value["Enabled"]},
    )


def _table_recovery(clients: Clients, table: str, value: Any) -> None:
    clients.dynamodb.update_continuous_backups(TableName=table, PointInTimeRecoverySpecification=value)


def _table_encryption(clients: Clients, table: str, value: Any) -> None:
    clients.dynamodb.update_table(TableName=table, SSESpecification={"Enabled": value["SSEEnabled"]})


def _stream_encryption(clients: Clients, stream: str, value: Any) -> None:
    clients.kinesis.start_stream_encryption(
        StreamName=stream, EncryptionType=value["EncryptionType"], KeyId=value["KeyId"]
    )


def _bucket_lifecycle(clients: Clients, bucket: str, value: Any) -> None:
    rules = [_lifecycle_rule(rule) for rule in value["Rules"]]
    clients.s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})


def _lifecycle_rule(rule: dict[str, Any]) -> Any:
    """CloudFormation writes flat what the API nests; a rule without a prefix is for the whole bucket."""
    made = {name: value for name, value in rule.items() if name not in ("Id", "Prefix", "ExpirationInDays")}
    made["Filter"] = {"Prefix": rule.get("Prefix", "")}
    if "Id" in rule:
        made["ID"] = rule["Id"]
    if "ExpirationInDays" in rule:
        made["Expiration"] = {"Days": int(rule["ExpirationInDays"])}
    return made


COMPLETIONS: Mapping[tuple[str, str], Completion] = {
    ("AWS::DynamoDB::Table", "TimeToLiveSpecification"): _table_expiry,
    ("AWS::DynamoDB::Table", "PointInTimeRecoverySpecification"): _table_recovery,
    ("AWS::DynamoDB::Table", "SSESpecification"): _table_encryption,
    ("AWS::Kinesis::Stream", "StreamEncryption"): _stream_encryption,
    ("AWS::S3::Bucket", "LifecycleConfiguration"): _bucket_lifecycle,
}


def complete(clients: Clients, kind: str, name: str, physical_id: str, value: Any) -> None:
    """Set one property of one resource; raises DifferencesError when nothing here knows how."""
    completion = COMPLETIONS.get((kind, name))
    if completion is None:
        raise DifferencesError(
            f"differences.toml says {kind} {name} is applied, but completion.py does not set it"
        )
    completion(clients, physical_id, value)
