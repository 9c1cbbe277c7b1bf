"""Which cloud a command speaks to: a stack on AWS or the local cloud, resolved once and frozen."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

DEFAULT_STACK = "linkpulse-dev"
STATE_VARIABLE = "LINKPULSE_STATE"
DEFAULT_STATE = Path(".local-cloud")
MQTTS_PORT = 8883
_AWS = Config(connect_timeout=5, read_timeout=20, retries={"total_max_attempts": 4, "mode": "standard"})
_LOCAL = _AWS.merge(Config(retries={"total_max_attempts": 2, "mode": "standard"}))


class TargetError(Exception):
    """The cloud meant by the user cannot be used; the message is one line, ``code`` the exit code."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Broker:
    """Where gateways connect with MQTT over TLS."""

    endpoint: str
    port: int
    ca: Path | None
    """CA that signs the broker's certificate; None for AWS, whose CA is Amazon's root."""


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach the local cloud: its ``connection.json``."""

    endpoint_url: str
    region: str
    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    stack: str
    mqtt_endpoint: str
    mqtt_port: int
    ca: str
    iot_data_url: str = ""
    """Where IoT Data answers (Publish), "" in a local cloud that has none."""


@dataclass(frozen=True, slots=True)
class Target:
    """One deployed stack, on AWS or on the local cloud; nothing is asked of it until it is needed."""

    stack: str
    connection: Connection | None = None
    """Set for the local cloud."""
    state: Path | None = None
    """State folder of the local cloud."""
    _made: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def is_local(self) -> bool:
        """Whether this is the local cloud."""
        return self.connection is not None

    @property
    def place(self) -> str:
        """The target in words, for messages."""
        return f"stack {self.stack} {'of the local cloud' if self.is_local else 'on AWS'}"

    def session(self) -> boto3.Session:
        """A boto3 session; the local cloud's holds its own credentials and no profile of the user."""
        if self.connection is None:
            # boto3 itself reads only AWS_DEFAULT_REGION; the CLI's newer AWS_REGION counts as well.
            return boto3.Session(region_name=os.environ.get("AWS_REGION") or None)
        bare = botocore.session.Session(session_vars={"profile": (None, None, None, None)})
        return boto3.Session(
            botocore_session=bare,
            aws_access_key_id=self.connection.access_key_id,
            aws_secret_access_key=self.connection.secret_access_key,
            region_name=self.connection.region,
        )

    def client(self, service: str) -> Any:
        """A boto3 client of a service, made once; safe to share between threads."""
        if service not in self._made:
            self._make(service, self.connection.endpoint_url if self.connection else None)
        return self._made[service]

    def _make(self, service: str, endpoint: str | None) -> None:
        config = _LOCAL if self.is_local else _AWS
        with failures(self):
            made = cast(Any, self.session()).client(service, endpoint_url=endpoint, config=config)
        self._made[service] = made

    def dynamodb(self) -> DynamoDBClient:
        """The DynamoDB client."""
        return cast("DynamoDBClient", self.client("dynamodb"))

    def iot_data(self) -> Any:
        """A client of AWS IoT Data at the endpoint of this account; raises TargetError when there is none.

        "For production code it is strongly recommended to use the custom endpoint for your account" (AWS
        CLI reference, iot-data publish).
        """
        if "iot-data" not in self._made:
            if self.connection is None:
                url = f"https://{self._iot_endpoint()}"
            elif not (url := self.connection.iot_data_url):
                raise TargetError(f"{self.place} cannot publish to gateways: restart it")
            self._make("iot-data", url)
        return self._made["iot-data"]

    def _iot_endpoint(self) -> str:
        with failures(self):
            found = self.client("iot").describe_endpoint(endpointType="iot:Data-ATS")
        return str(found["endpointAddress"])

    def outputs(self) -> Mapping[str, str]:
        """The stack's outputs by name, fetched once; raises TargetError when there is no such stack."""
        if "outputs" not in self._made:
            self._made["outputs"] = self._describe()
        return cast(Mapping[str, str], self._made["outputs"])

    def output(self, name: str) -> str:
        """One output of the stack; raises TargetError when the stack has none of that name."""
        try:
            return self.outputs()[name]
        except KeyError:
            raise TargetError(f"{self.place} has no output {name}: is it a Linkpulse stack?") from None

    def _describe(self) -> dict[str, str]:
        with failures(self):
            stacks = self.client("cloudformation").describe_stacks(StackName=self.stack)["Stacks"]
        if not stacks:
            raise TargetError(_no_such_stack(self))
        return {output["OutputKey"]: output["OutputValue"] for output in stacks[0].get("Outputs", ())}

    def broker(self) -> Broker:
        """Where this target's gateways connect."""
        if (local := self.connection) is not None:
            return Broker(local.mqtt_endpoint, local.mqtt_port, Path(local.ca).absolute())
        return Broker(self._iot_endpoint(), MQTTS_PORT, None)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--stack`` and ``--local``; absent ones leave no attribute, so a subcommand keeps its parent's."""
    parser.add_argument(
        "--stack", metavar="NAME", default=argparse.SUPPRESS, help="a stack on AWS, with your credentials"
    )
    parser.add_argument(
        "--local",
        metavar="STATE",
        nargs="?",
        const="",
        default=argparse.SUPPRESS,
        help=f"the local cloud with this state folder (${STATE_VARIABLE} or ./{DEFAULT_STATE}); "
        f"with neither option: the local cloud if one is up, else stack {DEFAULT_STACK} on AWS",
    )


def from_arguments(args: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> Target:
    """The target that the options of ``add_options`` name."""
    return resolve(getattr(args, "stack", None), getattr(args, "local", None), environment)


def resolve(stack: str | None, local: str | None, environment: Mapping[str, str] = os.environ) -> Target:
    """The target meant by ``--stack`` and ``--local`` ("" is the default state folder, None not given).

    Raises TargetError when both are given (usage) or the local cloud is not there.
    """
    if stack is not None and local is not None:
        raise TargetError("give --stack or --local, not both", 2)
    if stack is not None:
        return Target(stack)
    state = Path(local or environment.get(STATE_VARIABLE) or DEFAULT_STATE)
    if local is None and not (state / "connection.json").exists():
        return Target(DEFAULT_STACK)
    connection = _read_connection(state)
    return Target(connection.stack, connection, state)


def _read_connection(state: Path) -> Connection:
    path = state / "connection.json"
    try:
        given = json.loads(path.read_text())
        given.setdefault("iot_data_url", "")  # a local cloud of an older version has none
        fields = {name: given[name] for name in Connection.__slots__}
    except FileNotFoundError:
        raise TargetError(f"no local cloud in {state}: start one with `local-cloud up`") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise TargetError(f"{path} cannot be read ({exc!r}): restart the local cloud") from exc
    return Connection(**fields)


@contextmanager
def failures(target: Target) -> Iterator[None]:
    """Translate what boto3 raises inside the block to a TargetError of one line."""
    try:
        yield
    except (ClientError, BotoCoreError) as exc:
        raise TargetError(_explain(target, exc)) from exc


def _explain(target: Target, exc: ClientError | BotoCoreError) -> str:
    if isinstance(exc, NoCredentialsError):
        return "no AWS credentials: run `aws configure`, or start the local cloud with `local-cloud up`"
    if isinstance(exc, NoRegionError):
        return "no AWS region: set AWS_REGION, or start the local cloud with `local-cloud up`"
    if isinstance(exc, (ConnectionError, HTTPClientError)):
        if target.connection is None:
            return f"AWS does not answer: {_line(exc)}"
        at = f"{target.connection.endpoint_url} ({target.state})"
        return f"the local cloud at {at} does not answer: see `local-cloud status`"
    if isinstance(exc, ClientError):
        error = exc.response.get("Error", {})
        if error.get("Code") == "ValidationError" and "does not exist" in error.get("Message", ""):
            return _no_such_stack(target)
        return f"{target.place}: {exc.operation_name}: {error.get('Code')}: {_line(error.get('Message', ''))}"
    return f"{target.place}: {_line(exc)}"


def _no_such_stack(target: Target) -> str:
    return f"there is no {target.place}: deploy it, or name another with --stack"


def _line(text: object) -> str:
    return " ".join(str(text).split())
