"""The key that both ends of a link share, to sign what they send each other."""

from __future__ import annotations

import logging
import stat
from pathlib import Path

from edge_agent.contract import Outcome
from edge_agent.probes.probe import ProbeError

SHORTEST, LONGEST = 16, 1_024

log = logging.getLogger(__name__)


class NoKeyFile(ProbeError):
    """There is no such file."""


def read_key(path: Path) -> bytes:
    """The bytes of the file without white space around them; raises ProbeError when it is of no use."""
    try:
        with path.open("rb") as file:
            key = file.read(LONGEST + 1).strip()
    except PermissionError as exc:
        raise ProbeError(Outcome.DENIED, f"cannot read key_file {path}: {exc.strerror}") from exc
    except FileNotFoundError as exc:
        raise NoKeyFile(Outcome.FAILED, f"cannot read key_file {path}: {exc.strerror}") from exc
    except OSError as exc:
        raise ProbeError(Outcome.FAILED, f"cannot read key_file {path}: {exc.strerror}") from exc
    if not SHORTEST <= len(key) <= LONGEST:
        message = f"key_file {path} holds {len(key)} bytes, not {SHORTEST} to {LONGEST}"
        raise ProbeError(Outcome.FAILED, f"{message}: make one with 'openssl rand -hex 32'")
    return key


def check_key_file(path: Path | None) -> None:
    """Warn of a key that others can read; raises ProbeError when it is of no use."""
    if path is None:
        return
    read_key(path)
    if exposure := exposed(path):
        log.warning("warning: key_file %s", exposure)


def exposed(path: Path) -> str:
    """That others can read the file, and what to do, as the end of a sentence; or nothing."""
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return f"{path} can be read by others; chmod 600 it"
    return ""
