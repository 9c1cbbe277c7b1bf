"""The certificates of virtual gateways: missing ones are enrolled as any gateway is, by linkview."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from simulator.target import SimulatorError, Target


@dataclass(frozen=True, slots=True)
class Identity:
    """Where the key and the certificate of one gateway lie, as enrolment writes them."""

    certificate: Path
    key: Path

    @classmethod
    def of(cls, folder: Path, gateway: str) -> Identity:
        """The files of a gateway below the folder of all."""
        return cls(folder / gateway / "gateway.pem", folder / gateway / "gateway.key")


def missing(folder: Path, gateways: Iterable[str], ca: Path) -> list[str]:
    """The gateways that have no certificate there, or one from the time of another CA."""
    return [gateway for gateway in gateways if not _is_usable(folder, gateway, ca)]


def _is_usable(folder: Path, gateway: str, ca: Path) -> bool:
    identity, enrolled_ca = Identity.of(folder, gateway), folder / gateway / "ca.pem"
    if not (identity.certificate.is_file() and identity.key.is_file()):
        return False
    return not (enrolled_ca.is_file() and ca.is_file()) or enrolled_ca.read_bytes() == ca.read_bytes()


def enrol(target: Target, folder: Path, gateways: Sequence[str]) -> None:
    """Enrol the gateways in one call of linkview; raises SimulatorError with its last line when it fails."""
    # On the local cloud a gateway may be known from a fleet whose files are gone; on AWS it may be real.
    renew = ["--renew"] if target.connection is not None else []
    options = ["--output", str(folder), *target.options, *renew]
    command = [sys.executable, "-m", "cloud", "gateways", "add", *gateways, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
        raise SimulatorError(f"cannot enrol {len(gateways)} gateways: {said}")
