"""Running install.sh, and where it puts what."""

import os
import stat
import subprocess
import sys
from pathlib import Path

SYSTEMD = Path(__file__).parents[2] / "systemd"
SCRIPT = SYSTEMD / "install.sh"

CONFIG = Path("etc/edge-agent/agent.toml")
KEY = Path("etc/edge-agent/gateway.key")
SPOOL = Path("var/lib/edge-agent/spool")
FORMER_SPOOL = Path("var/lib/edge-agent/spool.db")
"""Where the readings lay before the spool was a folder."""
PYTHON = Path("opt/edge-agent/venv/bin/python")
UNIT = Path("etc/systemd/system/edge-agent.service")


def install(*options: str | Path, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    """Run the installer."""
    return subprocess.run(
        [str(SCRIPT), *map(str, options)],
        env={**os.environ, "PYTHON": python},
        capture_output=True,
        text=True,
        timeout=110,
    )


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
