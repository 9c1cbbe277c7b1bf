"""Every kind of reading by name; its code on the wire is its own for ever."""

from __future__ import annotations

from collections.abc import Mapping

from edge_agent.contract.column import Kind
from edge_agent.contract.kinds_gateway import GATEWAY_KINDS
from edge_agent.contract.kinds_round_trip import ROUND_TRIP_KINDS
from edge_agent.contract.kinds_surroundings import SURROUNDING_KINDS
from edge_agent.contract.kinds_throughput import THROUGHPUT_KINDS

BY_CODE: Mapping[int, Kind] = {
    kind.code: kind
    for kind in sorted(
        (*ROUND_TRIP_KINDS, *THROUGHPUT_KINDS, *SURROUNDING_KINDS, *GATEWAY_KINDS), key=lambda kind: kind.code
    )
}
KINDS: Mapping[str, Kind] = {kind.name: kind for kind in BY_CODE.values()}
