"""The ingest function's own DynamoDB client over TLS: whom it believes, and what it says of others."""

from __future__ import annotations

from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import InvalidConfigError

from cloud.dynamo_http import Client
from cloud.store import Store, Write
from tests.cloud.conftest import patience
from tests.cloud.dynamo_endpoint import ENVIRONMENT, Endpoint, endpoint
from tests.edge_agent.certificates import Authority

if TYPE_CHECKING:
    from tests.cloud.conftest import Cloud


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


def failures(cloud: Cloud, environment: Mapping[str, str], authority: Authority) -> list[str]:
    """Why a record that is put with trust in this CA is not stored."""
    client = Client({**environment, "AWS_CA_BUNDLE": str(authority.ca)}, sleep=lambda _seconds: None)
    return stored(cloud, client)


def stored(cloud: Cloud, client: Client, times: int = 1) -> list[str]:
    item = {"p": {"S": "gw-1#20260101"}, "s": {"S": "1"}}
    writes = [Write(cloud.settings.readings_table, item, "7")]
    outcomes = [Store(client).put(writes, patience()) for _ in range(times)]  # type: ignore[arg-type]
    return [reason for each in outcomes for reason in each.failed.values()]


def test_the_ca_of_aws_ca_bundle_is_believed(cloud: Cloud, authority: Authority) -> None:
    with endpoint(cloud.client, authority.issue("dynamodb", server=True)) as there:
        client = Client(there.environment | {"AWS_CA_BUNDLE": str(authority.ca)})
        assert stored(cloud, client, times=3) == []
        assert there.connections == 1
    assert [item["s"]["S"] for item in cloud.items("readings")] == ["1"]


def refused(there: Endpoint, reasons: list[str], because: str, capfd: pytest.CaptureFixture[str]) -> bool:
    """Whether nothing was sent, and all that is said of it is one line."""
    (reason,) = reasons
    assert because in reason
    return there.bodies == [] and "\n" not in reason and capfd.readouterr() == ("", "")


def test_a_server_of_another_ca_is_told_nothing(
    cloud: Cloud, authority: Authority, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with endpoint(cloud.client, authority.issue("dynamodb", server=True)) as there:
        reasons = failures(cloud, there.environment, Authority(tmp_path / "another"))
        assert refused(
            there, reasons, f"SSL validation failed for https://localhost:{there.server_port} ", capfd
        )


def test_without_aws_ca_bundle_the_systems_cas_are_believed_and_with_it_they_are_not(
    cloud: Cloud, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SSL_CERT_FILE tells OpenSSL where the system's CAs are."""
    another = Authority(tmp_path / "another")
    with endpoint(cloud.client, authority.issue("dynamodb", server=True)) as there:
        for system, reasons in ((authority, 0), (another, 1)):
            monkeypatch.setenv("SSL_CERT_FILE", str(system.ca))
            client = Client(there.environment, sleep=lambda _seconds: None)
            assert len(stored(cloud, client)) == reasons
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
        (reason,) = failures(cloud, there.environment, another)
        assert "certificate verify failed" in reason


def test_a_certificate_of_another_host_is_refused(
    cloud: Cloud, authority: Authority, capfd: pytest.CaptureFixture[str]
) -> None:
    with endpoint(cloud.client, authority.issue("dynamodb", server=True)) as there:
        reasons = failures(cloud, there.named("127.0.0.1"), authority)
        assert refused(there, reasons, "IP address mismatch", capfd)


def test_a_certificate_that_is_over_is_refused(
    cloud: Cloud, authority: Authority, capfd: pytest.CaptureFixture[str]
) -> None:
    with endpoint(cloud.client, authority.issue("dynamodb", server=True, expired=True)) as there:
        assert refused(there, failures(cloud, there.environment, authority), "certificate has expired", capfd)


def test_a_server_without_tls_is_refused(
    cloud: Cloud, authority: Authority, capfd: pytest.CaptureFixture[str]
) -> None:
    with endpoint(cloud.client) as there:
        named = ENVIRONMENT | {"AWS_ENDPOINT_URL": f"https://localhost:{there.server_port}"}
        assert refused(there, failures(cloud, named, authority), "SSL validation failed", capfd)


def test_a_connection_that_was_closed_while_idle_is_made_anew(cloud: Cloud, authority: Authority) -> None:
    slept: list[float] = []
    with endpoint(cloud.client, authority.issue("dynamodb", server=True)) as there:
        client = Client(there.environment | {"AWS_CA_BUNDLE": str(authority.ca)}, sleep=slept.append)

        def last(handler: BaseHTTPRequestHandler) -> bool:
            handler.close_connection = True
            return False

        there.broken = last
        assert stored(cloud, client) == []
        assert there.ended.acquire(timeout=10)
        assert stored(cloud, client) == []
        assert (there.connections, slept) == (2, [])


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_a_bundle_that_is_none_ends_the_start(tmp_path: Path, content: str | None) -> None:
    """An empty name would mean the system's CAs to OpenSSL, and botocore refuses it as well."""
    bundle = tmp_path / "bundle.pem"
    if content:
        bundle.write_text(content)
    named = ENVIRONMENT | {"AWS_CA_BUNDLE": "" if content == "" else str(bundle)}
    with pytest.raises(InvalidConfigError, match="AWS_CA_BUNDLE"):
        Client(named)
