"""When and what a name server is asked."""

from __future__ import annotations

from dataclasses import dataclass

from edge_agent.probes.dns_message import Query, question
from edge_agent.probes.probe import UDP_HEADER, Cadence, require_between

SPACING_S = 0.1
LONGEST_ANSWER = 512


@dataclass(frozen=True, slots=True)
class DnsSettings(Cadence):
    """What is asked of the name server that is the link's target."""

    period_s: float = 60
    timeout_s: float = 5
    """Of the whole round."""
    count: int = 3
    port: int = 53
    name: str = "."
    """What is asked for; the root's name servers are known to every resolver."""
    record: str = "NS"
    """NS, A or AAAA."""

    def __post_init__(self) -> None:
        section = "probe.dns"
        self.check_cadence(section)
        require_between(section, "count", self.count, 1, 100)
        require_between(section, "port", self.port, 1, 65_535)
        if self.count * SPACING_S > self.timeout_s / 2:
            raise ValueError(f"{section}: {self.count} queries 100 ms apart do not fit timeout_s")
        for setting, name, record in (("record", ".", self.record), ("name", self.name, "NS")):
            try:
                question(name, record)
            except ValueError as exc:
                raise ValueError(f"{section}: {setting} is not good: {exc}") from exc

    def round_bytes(self, ip_header: int) -> int:
        """Every query, and the longest answer to one without EDNS (RFC 1035 section 2.3.4)."""
        query = len(Query(0, question(self.name, self.record)).message)
        return self.count * (2 * (ip_header + UDP_HEADER) + query + LONGEST_ANSWER)
