"""When and what is asked of a web service."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edge_agent.probes.probe import SYN_HEADER, TCP_HEADER, Cadence, require_between

RECEIVE_BUFFER = 8192
"""Keeps a server from sending much of a page, which is not read, over a link that may be metered."""
HANDSHAKE_BYTES, REQUEST_BYTES = 8_000, 400
"""TLS in both directions; a request and its host's name, without the path."""
_PATH = re.compile(r"/[!-~]*")
_HOST = re.compile(r"([A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?|[0-9A-Fa-f:.]{2,45}|")


@dataclass(frozen=True, slots=True)
class HttpSettings(Cadence):
    """What is asked of the link's target; redirects are not followed."""

    period_s: float = 60
    timeout_s: float = 10
    """Of the whole round."""
    port: int = 443
    path: str = "/"
    tls: bool = True
    verify: bool = True
    """Refuse a certificate that the system does not trust, or of another host."""
    host: str = ""
    """The name to ask for and to find in the certificate, where it is not the link's target."""

    def __post_init__(self) -> None:
        section = "probe.http"
        self.check_cadence(section)
        require_between(section, "port", self.port, 1, 65_535)
        if len(self.path) > 1024 or not _PATH.fullmatch(self.path):
            raise ValueError(f"{section}: path is {self.path!r}, not /... of printable ASCII without spaces")
        if len(self.host) > 253 or not _HOST.fullmatch(self.host):
            raise ValueError(f"{section}: host is {self.host!r}, not a host name")

    def round_bytes(self, ip_header: int) -> int:
        """A chain of certificates, the request, and as much of the page as two turns of the buffer hold."""
        syns = int(self.timeout_s + 1).bit_length()
        segments = 24 * (ip_header + TCP_HEADER)
        received = 4 * RECEIVE_BUFFER + (HANDSHAKE_BYTES if self.tls else 0)
        return 2 * syns * (ip_header + SYN_HEADER) + segments + received + len(self.path) + REQUEST_BYTES
