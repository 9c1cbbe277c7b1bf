"""Which cloud the fleet feeds: a stack on AWS or the local cloud, and the little that a sink needs of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError

DEFAULT_STACK = "linkpulse-dev"
DEFAULT_STATE = ".local-cloud"
STATE_VARIABLE = "LINKPULSE_STATE"
AWS_STATES = Path(".linkpulse")
"""Holds a state folder for each stack on AWS."""
AMAZON_ROOT = Path("/etc/ssl/certs/Amazon_Root_CA_1.pem")
"""Root of AWS IoT's servers, where Debian's ca-certificates puts it."""
MQTTS_PORT = 8883
_CLIENT = Config(connect_timeout=5, read_timeout=20, retries={"total_max_attempts": 3, "mode": "standard"})


class SimulatorError(Exception):
    """The run cannot go on; the message is one line for the user, ``code`` the exit code."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Broker:
    """Where gateways connect with MQTT over TLS."""

    endpoint: str
    port: int
    ca: Path


@dataclass(frozen=True, slots=True)
class Connection:
    """The local cloud's ``connection.json``."""

    endpoint_url: str
    region: str
    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    stack: str
    mqtt_endpoint: str
    mqtt_port: int
    ca: str


@dataclass(frozen=True, slots=True)
class Target:
    """One deployed stack and the folder where the fleet keeps its certificates and truth."""

    stack: str
    state: Path
    connection: Connection | None = None
    """Set for the local cloud."""

    @property
    def place(self) -> str:
        """The target in words."""
        return f"stack {self.stack} {'on AWS' if self.connection is None else 'of the local cloud'}"

    @property
    def options(self) -> tuple[str, str]:
        """The options that make another of our commands speak to the same target."""
        return ("--stack", self.stack) if self.connection is None else ("--local", str(self.state))

    def client(self, service: str) -> Any:
        """A boto3 client; the local cloud's uses its own credentials and no profile of the user."""
        with self.failures():
            if self.connection is None:
                return cast(Any, boto3.Session(region_name=os.environ.get("AWS_REGION") or None)).client(
                    service, config=_CLIENT
                )
            bare = botocore.session.Session(session_vars={"profile": (None, None, None, None)})
            session = boto3.Session(
                botocore_session=bare,
                aws_access_key_id=self.connection.access_key_id,
                aws_secret_access_key=self.connection.secret_access_key,
                region_name=self.connection.region,
            )
            return cast(Any, session).client(
                service, endpoint_url=self.connection.endpoint_url, config=_CLIENT
            )

    def outputs(self) -> Mapping[str, str]:
        """The stack's outputs by name; raises SimulatorError when there is no such stack."""
        with self.failures():
            stacks = self.client("cloudformation").describe_stacks(StackName=self.stack)["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in stacks[0].get("Outputs", ())}

    def output(self, name: str) -> str:
        """One output of the stack; raises SimulatorError when the stack has none of that name."""
        try:
            return self.outputs()[name]
        except KeyError:
            raise SimulatorError(f"{self.place} has no output {name}: is it a Linkpulse stack?") from None

    def broker(self) -> Broker:
        """Where this target's gateways connect."""
        if self.connection is not None:
            return Broker(self.connection.mqtt_endpoint, self.connection.mqtt_port, Path(self.connection.ca))
        with self.failures():
            found = self.client("iot").describe_endpoint(endpointType="iot:Data-ATS")
        return Broker(found["endpointAddress"], MQTTS_PORT, AMAZON_ROOT)

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Translate what boto3 raises inside the block to a SimulatorError of one line."""
        try:
            yield
        except (ClientError, BotoCoreError) as exc:
            raise SimulatorError(self._explain(exc)) from exc

    def _explain(self, exc: Exception) -> str:
        if isinstance(exc, (ConnectionError, HTTPClientError)) and self.connection is not None:
            where = f"{self.connection.endpoint_url} ({self.state})"
            return f"the local cloud at {where} does not answer: see `local-cloud status`"
        text = " ".join(str(exc).split())
        if "does not exist" in text and "DescribeStacks" in text:
            return f"there is no {self.place}: deploy it, or name another with --stack"
        return f"{self.place}: {text}"


def resolve(stack: str | None, local: str | None, environment: Mapping[str, str]) -> Target:
    """The target of ``--stack`` and ``--local`` ("" is the default state folder, None not given).

    Raises SimulatorError when both are given, which is wrong usage, or the local cloud is not there.
    """
    if stack is not None and local is not None:
        raise SimulatorError("give --stack or --local, not both", 2)
    state = state_folder(local, environment)
    if stack is not None or (local is None and not (state / "connection.json").exists()):
        name = stack or DEFAULT_STACK
        return Target(name, AWS_STATES / name)
    connection = _read_connection(state)
    return Target(connection.stack, state, connection)


def state_folder(local: str | None, environment: Mapping[str, str]) -> Path:
    """The state folder of the local cloud."""
    return Path(local or environment.get(STATE_VARIABLE) or DEFAULT_STATE)


def _read_connection(state: Path) -> Connection:
    path = state / "connection.json"
    try:
        given = json.loads(path.read_text())
        return Connection(**{name: given[name] for name in Connection.__slots__})
    except FileNotFoundError:
        raise SimulatorError(f"no local cloud in {state}: start one with `local-cloud up`") from None
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise SimulatorError(f"{path} cannot be read ({exc!r}): restart the local cloud") from exc
