"""One local cloud for all end-to-end tests: random ports, a state folder of its own, ended at the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@dataclass(frozen=True)
class Cloud:
    state: Path
    connection: dict[str, Any]

    def run(self, module: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            env={**os.environ, "LINKPULSE_STATE": str(self.state)},
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        assert not (check and done.returncode), f"{module} {arguments}: {done.stdout}\n{done.stderr}"
        return done

    def client(self, service: str) -> Any:
        session: Any = boto3.Session(  # the service is known only when it runs
            region_name=self.connection["region"],
            aws_access_key_id=self.connection["access_key_id"],
            aws_secret_access_key=self.connection["secret_access_key"],
        )
        return session.client(service, endpoint_url=self.connection["endpoint_url"])

    def output(self, key: str) -> str:
        stack = self.client("cloudformation").describe_stacks(StackName=self.connection["stack"])["Stacks"][0]
        return str(next(each["OutputValue"] for each in stack["Outputs"] if each["OutputKey"] == key))


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    state = tmp_path_factory.mktemp("cloud")
    subprocess.run(
        [sys.executable, "-m", "infrastructure.local", "up", "--state", str(state)], check=True, timeout=110
    )
    try:
        yield Cloud(state, json.loads((state / "connection.json").read_text()))
    finally:
        subprocess.run(
            [sys.executable, "-m", "infrastructure.local", "down", "--state", str(state)],
            check=True,
            timeout=60,
        )


@pytest.fixture(scope="session")
def enrolled(cloud: Cloud) -> Callable[[str], Path]:
    """Enrol a gateway once; returns the folder of its key, certificate and config."""

    def enrol(name: str) -> Path:
        folder = cloud.state / "gateways"
        if not (folder / name).exists():
            cloud.run("cloud", "gateways", "add", name, "--output", str(folder))
        return folder / name

    return enrol
