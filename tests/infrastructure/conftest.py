"""Real parts for the tests of the local cloud: an engine, a broker, and a whole cloud, each on free ports."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from infrastructure import package
from infrastructure.local import engine
from infrastructure.local.deployment import deploy, differences
from infrastructure.local.deployment.deploy import Deployment, Plan
from infrastructure.local.deployment.intrinsics import Resolver
from infrastructure.local.iot import broker, certificates, policy
from infrastructure.local.iot.policy import BrokerPolicy
from infrastructure.local.process import free_port
from infrastructure.local.state import StateFolder
from tests.infrastructure.parts import (
    Broker,
    Engine,
    Identity,
    LocalCloud,
    NothingDeployed,
    state_folder,
    write_identity,
)


@pytest.fixture(scope="session")
def running_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """One engine for all tests that bring their own names."""
    port = free_port()
    child = engine.start(port, state_folder(tmp_path_factory.mktemp("engine")))
    try:
        url = f"http://127.0.0.1:{port}"
        engine.wait_ready(url, child.failure)
        yield Engine(url, engine.connect(url))
    finally:
        child.stop(0.5)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, bytes]:
    """The function's archive, under the folder that the template names."""
    made = package.build(tmp_path_factory.mktemp("build"))
    return {package.BUILD / "lambda": made.archive.read_bytes()}


@pytest.fixture(scope="session")
def plan(built: dict[Path, bytes]) -> Plan:
    """The real template, translated."""
    return deploy.plan(deploy.TEMPLATE, {}, built)


@pytest.fixture(scope="session")
def deployment(running_engine: Engine, plan: Plan) -> Deployment:
    """The real template, deployed and compared."""
    return deploy.deploy(running_engine.clients, plan, differences.load())


@pytest.fixture(scope="session")
def rights(plan: Plan) -> BrokerPolicy:
    """What the policy of the real template grants, for the stage local."""
    written = plan.document["Resources"]["GatewayPolicy"]["Properties"]["PolicyDocument"]
    resolver = Resolver(plan.document, plan.parameters, engine.ACCOUNT, plan.stack, NothingDeployed())
    document = json.dumps(resolver.resolve(written))
    return policy.translate(document, "us-east-1", engine.ACCOUNT)


@pytest.fixture(scope="session")
def devices() -> certificates.Issued:
    """A CA that stands for the one that signs gateways' certificates."""
    return certificates.make_ca("devices", datetime.datetime.now(datetime.UTC))


@pytest.fixture(scope="module")
def running_broker(
    tmp_path_factory: pytest.TempPathFactory, rights: BrokerPolicy, devices: certificates.Issued
) -> Iterator[Broker]:
    """A broker of the module's own."""
    state = state_folder(tmp_path_factory.mktemp("broker"))
    pem = devices.certificate.public_bytes(serialization.Encoding.PEM)
    files = certificates.write_broker_files(state.certificates, pem, datetime.datetime.now(datetime.UTC))
    port = free_port()
    child = broker.start(port, files, rights, state)
    try:
        broker.wait_ready(port, files, child.failure)
        yield Broker(port, files, rights)
    finally:
        child.stop()


@pytest.fixture
def gateway(tmp_path: Path, devices: certificates.Issued) -> Callable[[str], Identity]:
    """Makes gateways' certificates that the broker accepts."""

    def make(name: str) -> Identity:
        issued = certificates.issue(devices, name, (), datetime.datetime.now(datetime.UTC))
        return write_identity(
            tmp_path, name, issued.certificate.public_bytes(serialization.Encoding.PEM), issued.key
        )

    return make


@pytest.fixture
def stopped_cloud(tmp_path: Path) -> Iterator[LocalCloud]:
    """A folder for a cloud of the test's own; whatever it starts is ended."""
    cloud = LocalCloud(StateFolder(tmp_path / "cloud"))
    yield cloud
    cloud.run("down")


@pytest.fixture(scope="session")
def local_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """A whole local cloud, for tests that leave it as it is."""
    cloud = LocalCloud(StateFolder(tmp_path_factory.mktemp("cloud") / "state"))
    up = cloud.run("up")
    assert up.returncode == 0, up.stderr
    yield cloud
    assert cloud.run("down").returncode == 0
