"""The engine: ministack as the stand-in for Kinesis, DynamoDB, S3, IoT's registry and CloudFormation."""

from __future__ import annotations

import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from infrastructure.local.process import Child
from infrastructure.local.state import REGION, StateFolder

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_iot import IoTClient
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client

ACCESS_KEY_ID = "linkpulse-local"
SECRET_ACCESS_KEY = "not-a-secret"
ACCOUNT = "000000000000"
SERVICES = (
    "cloudformation,cloudwatch,dynamodb,events,iam,iot,iot-data,kinesis,kms,lambda,logs,s3,scheduler,"
    "sns,sqs,sts"
)


class EngineError(Exception):
    """The engine did not start or does not answer."""


def environment(port: int, folder: Path, inherited: Mapping[str, str]) -> dict[str, str]:
    """What ministack is told: one port, on 127.0.0.1, nothing that opens another, no files, no Docker.

    Nothing of the caller's AWS settings is passed on.
    """
    kept = {name: inherited[name] for name in ("PATH", "LANG", "LC_ALL") if name in inherited}
    return kept | {
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_REGION": REGION,
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "SERVICES": SERVICES,
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "PERSIST_STATE": "0",
        "S3_PERSIST": "0",
        "DOCKER_HOST": f"unix://{folder}/no-docker.sock",
        "LOG_LEVEL": "WARNING",
    }


def start(port: int, state: StateFolder) -> Child:
    """Start ministack on 127.0.0.1:port; see wait_ready."""
    folder = state.path / "engine"
    folder.mkdir(mode=0o700, exist_ok=True)
    command = [sys.executable, "-P", "-m", "ministack"]
    return Child(command, state.log("engine"), environment(port, folder, os.environ), folder)


def wait_ready(url: str, failure: Callable[[], str], timeout_s: float = 30.0) -> None:
    """Return when the engine answers; raise EngineError when it ends or stays silent."""
    deadline = time.monotonic() + timeout_s
    while not _answers(f"{url}/_ministack/health"):
        if ended := failure():
            raise EngineError(ended)
        if time.monotonic() > deadline:
            raise EngineError(f"no answer from {url} within {timeout_s:.0f} s")
        time.sleep(0.05)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1.0) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def device_ca(url: str) -> bytes:
    """The CA certificate (PEM) with which the engine signs devices' certificates."""
    try:
        with urllib.request.urlopen(f"{url}/_ministack/iot/ca.pem", timeout=10.0) as response:
            return bytes(response.read())
    except urllib.error.URLError as exc:
        raise EngineError(f"the engine does not give its device CA: {exc}") from exc


@dataclass(frozen=True, slots=True)
class Clients:
    """One boto3 client of each service that is used; they may be shared by threads."""

    cloudformation: CloudFormationClient
    dynamodb: DynamoDBClient
    iot: IoTClient
    kinesis: KinesisClient
    lambda_: LambdaClient
    s3: S3Client
    cloudwatch: Any
    events: Any
    iam: Any
    logs: Any
    scheduler: Any
    sns: Any


def connect(url: str) -> Clients:
    """Clients that speak to the engine alone, with its own credentials."""
    session = boto3.Session(
        aws_access_key_id=ACCESS_KEY_ID, aws_secret_access_key=SECRET_ACCESS_KEY, region_name=REGION
    )
    # Retries are the callers' business: they know what may be repeated and how long to wait.
    config = Config(
        retries={"total_max_attempts": 1},
        connect_timeout=5,
        read_timeout=30,
        max_pool_connections=16,
        proxies={},
    )

    def client(service: str) -> Any:
        return session.client(service, endpoint_url=url, config=config)  # type: ignore[call-overload]

    return Clients(
        cloudformation=client("cloudformation"),
        dynamodb=client("dynamodb"),
        iot=client("iot"),
        kinesis=client("kinesis"),
        lambda_=client("lambda"),
        s3=client("s3"),
        cloudwatch=client("cloudwatch"),
        events=client("events"),
        iam=client("iam"),
        logs=client("logs"),
        scheduler=client("scheduler"),
        sns=client("sns"),
    )
