"""The folder of an enrolled gateway: its key, certificate, CA and a config that runs as it is."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from cloud.target import Broker, TargetError

KEY = "gateway.key"
CERTIFICATE = "gateway.pem"
CA = "ca.pem"
CONFIG = "agent.toml"
AMAZON_ROOT = Path("/etc/ssl/certs/Amazon_Root_CA_1.pem")
"""Root of AWS IoT's servers where Debian's ca-certificates puts it (amazontrust.com/repository)."""
_DRAFT = ".part"

_SAMPLE = """\
# Each link to measure: copy this table, take the # away and describe the link.
# [[link]]
# id = "{gateway}:eth0"     # a site and port, never an address
# peer = "tower-1"          # the node at the other end
# interface = "eth0"
# target = "192.0.2.1"      # what the probes speak to
# medium = "radio"
# metered = false           # true on paths that are paid by volume
# probes = ["echo", "interface"]
"""


class GatewayFolder:
    """Writes under draft names first and renames at the end: a failed enrolment leaves the folder as it was.

    Raises TargetError, naming the file, for whatever the disk does not allow.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._new = not path.exists()

    @property
    def holds_key(self) -> bool:
        """Whether a gateway's key is there already."""
        return (self.path / KEY).exists()

    def stage_key(self, key_pem: bytes) -> None:
        """Write the key's draft, readable by its owner alone."""
        with _explained():
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._write(KEY, key_pem, 0o600)

    def commit(self, certificate_pem: str, ca: Path | None, config: str) -> None:
        """Write the rest and put everything in place; an existing config is the operator's and stays."""
        with _explained():
            self._write(CERTIFICATE, certificate_pem.encode(), 0o644)
            if ca is not None:
                self._write(CA, ca.read_bytes(), 0o644)
            if not (self.path / CONFIG).exists():
                self._write(CONFIG, config.encode(), 0o644)
            for draft in self.path.glob(f"*{_DRAFT}"):
                draft.replace(draft.with_suffix(""))

    def discard(self) -> None:
        """Remove the drafts, and the folder when it is new."""
        for draft in self.path.glob(f"*{_DRAFT}"):
            draft.unlink(missing_ok=True)
        if self._new:
            with contextlib.suppress(OSError):
                self.path.rmdir()

    def _write(self, name: str, content: bytes, mode: int) -> None:
        draft = self.path / f"{name}{_DRAFT}"
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)


def agent_config(gateway: str, broker: Broker, rule: str) -> str:
    """The text of agent.toml; paths without a folder are beside it, so the folder may be moved as a whole."""
    on_aws = broker.ca is None
    settings: dict[str, str | int] = {
        "endpoint": broker.endpoint,
        "port": broker.port,
        "rule": rule,
        "ca": str(AMAZON_ROOT) if on_aws else CA,
        "certificate": CERTIFICATE,
        "key": KEY,
    }
    lines = "\n".join(f"{name} = {json.dumps(value)}" for name, value in settings.items())
    spool = "/var/lib/edge-agent/spool" if on_aws else "spool"
    return (
        f'[gateway]\nname = "{gateway}"\n\n'
        f'[mqtt]\npublisher = "paho"\n{lines}\n\n'
        f'[spool]\npath = "{spool}"\n\n' + _SAMPLE.format(gateway=gateway)
    )


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise TargetError(f"{exc.filename}: {exc.strerror}") from exc
