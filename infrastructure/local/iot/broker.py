"""The broker: mosquitto on 127.0.0.1 with mutual TLS, refusing what the deployed IoT policy refuses."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from infrastructure.local.process import Child
from infrastructure.local.state import StateFolder

if TYPE_CHECKING:
    from infrastructure.local.iot.certificates import BrokerFiles
    from infrastructure.local.iot.policy import BrokerPolicy

SYSTEM_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")
"""Not on every user's PATH."""
INSTALL = "mosquitto is not installed: apt-get install mosquitto (macOS: brew install mosquitto)"
MAX_PACKET = 131_072 + 512
"""AWS IoT Core quotas: 128 KB a message; and its topic and header."""
MAX_UNACKED = 2_000
"""Messages on their way to the bridge: enough to fill several calls of PutRecords."""
MAX_QUEUED = 100_000


class BrokerError(Exception):
    """The broker is not installed or did not start."""


def search_path() -> str:
    """Where to look for mosquitto: PATH, and where packages put a daemon."""
    return os.pathsep.join((os.environ.get("PATH", ""), *SYSTEM_FOLDERS))


def executable(search: str) -> str:
    """The path of mosquitto; raises BrokerError saying what to install."""
    path = shutil.which("mosquitto", path=search)
    if path is None:
        raise BrokerError(INSTALL)
    return path


def configuration(port: int, files: BrokerFiles, acl: Path) -> str:
    """The configuration file (mosquitto.conf(5)).

    It keeps the rights of whoever starts it, so that keys stay readable by their owner alone. The client id
    is replaced by the certificate's name, since the policy allows no other. QoS 2 does not exist in AWS IoT.
    """
    # Started as root it would become another user, who cannot read them; for others the line has no meaning.
    owner = ["user root"] if os.geteuid() == 0 else []
    return "\n".join(
        (
            *owner,
            f"listener {port} 127.0.0.1",
            "max_qos 1",
            f"cafile {files.client_cas}",
            f"certfile {files.server}",
            f"keyfile {files.server_key}",
            "tls_version tlsv1.2",
            "require_certificate true",
            "use_identity_as_username true",
            "use_username_as_clientid true",
            "allow_anonymous false",
            f"acl_file {acl}",
            "persistence false",
            f"max_packet_size {MAX_PACKET}",
            f"max_inflight_messages {MAX_UNACKED}",
            f"max_queued_messages {MAX_QUEUED}",
            "log_dest stderr",
            "log_type error",
            "log_type warning",
            "log_type notice",
            "log_timestamp_format %Y-%m-%dT%H:%M:%S",
            "",
        )
    )


def start(port: int, files: BrokerFiles, policy: BrokerPolicy, state: StateFolder) -> Child:
    """Write the configuration and start mosquitto on 127.0.0.1:port; see wait_ready."""
    folder = state.path / "broker"
    folder.mkdir(mode=0o700, exist_ok=True)
    acl = folder / "acl"
    settings = folder / "mosquitto.conf"
    for path, content in ((acl, policy.acl(files.bridge_name)), (settings, configuration(port, files, acl))):
        path.write_text(content)
        path.chmod(0o600)
    command = [executable(search_path()), "-c", str(settings)]
    return Child(command, state.log("broker"), {"PATH": os.environ.get("PATH", "")}, folder)


def wait_ready(port: int, files: BrokerFiles, failure: Callable[[], str], timeout_s: float = 10.0) -> None:
    """Return when the broker takes TLS connections; raise BrokerError when it ends or stays silent."""
    deadline = time.monotonic() + timeout_s
    context = ssl.create_default_context(cafile=str(files.ca))
    context.load_cert_chain(files.bridge, files.bridge_key)
    while not _takes_connections(port, context):
        if ended := failure():
            raise BrokerError(ended)
        if time.monotonic() > deadline:
            raise BrokerError(f"no TLS connection on 127.0.0.1:{port} within {timeout_s:.0f} s")
        time.sleep(0.02)


def _takes_connections(port: int, context: ssl.SSLContext) -> bool:
    """It binds its port before it reads its certificates: only a handshake tells that it is ready."""
    try:
        with (
            socket.create_connection(("127.0.0.1", port), 1.0) as plain,
            context.wrap_socket(plain, server_hostname="localhost"),
        ):
            return True
    except OSError:
        return False
