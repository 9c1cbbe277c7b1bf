"""The template deployed into an engine of its own, for tests that speak to a stack."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cloud.target import Connection
from infrastructure.local import engine
from infrastructure.local.deployment import deploy, differences


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@contextmanager
def deployed(folder: Path) -> Iterator[Connection]:
    """An engine with the template as stage "local" and no code; its broker's port has no broker."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "ministack"],
            env=engine.environment(port, folder, os.environ),
            stdout=log,
            stderr=log,
        )
    try:
        engine.wait_ready(url, lambda: "" if process.poll() is None else "the engine ended")
        ca = folder / "ca.pem"
        ca.write_bytes(engine.device_ca(url))
        connection = Connection(
            url, "us-east-1", "test", "test", "linkpulse-local", "127.0.0.1", free_port(), str(ca)
        )
        _deploy(url)
        yield connection
    finally:
        process.terminate()
        process.wait(10)


def _deploy(url: str) -> None:
    """As the local cloud deploys it, with a function that does nothing."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as code:
        code.writestr("cloud/ingest.py", "")
    built = {(deploy.TEMPLATE.parent / "../build/lambda").resolve(): archive.getvalue()}
    deploy.deploy(engine.connect(url), deploy.plan(deploy.TEMPLATE, {}, built), differences.load())
