"""What the agent tells systemd: ready, alive, reloading, stopping (sd_notify(3)), without its library."""

from __future__ import annotations

import socket
from collections.abc import Mapping


def send(address: str, *states: str) -> None:
    """Send states such as READY=1 to NOTIFY_SOCKET; nothing without an address.

    An address that begins with @ is in the abstract namespace. That nobody listens is no error: the
    agent works without a service manager.
    """
    if not address:
        return
    name = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        try:
            channel.connect(name)
            channel.send("\n".join(states).encode())
        except OSError:
            return


def watchdog_s(environment: Mapping[str, str], pid: int) -> float | None:
    """How often to report, half of what systemd allows; None when it does not watch this process."""
    allowed = environment.get("WATCHDOG_USEC", "")
    if not allowed.isdigit() or int(allowed) == 0:
        return None
    if environment.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    return int(allowed) / 2_000_000
