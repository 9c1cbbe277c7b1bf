"""The columns of every kind as they lie on the wire, for the audit alone: written again, not shared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_TIMES = """rtt_min_us:4 rtt_p50_us:4+rtt_min_us rtt_p95_us:4+rtt_min_us rtt_max_us:4+rtt_min_us
    rtt_mean_us:4+rtt_min_us rtt_stddev_us:4 ipdv_mean_us:4"""
_ADDRESS = "address_high:8 address_low:8"
_ECHO = f"sent:2 received:2 late:2 duplicate:2 corrupt:2 in_flight:2 {_TIMES} foreign:2 reply_ttl:1"
_CONNECT = """sent:2 connected:2 refused:2 timed_out:2 connect_min_us:4 connect_p50_us:4+connect_min_us
    connect_max_us:4+connect_min_us connect_mean_us:4+connect_min_us"""
_INTERFACE = """up:1 speed_kbps:4 full_duplex:1 mtu:4 period_ms:4 rx_bytes:8 tx_bytes:8 rx_packets:8
    tx_packets:8 rx_errors:8 tx_errors:8 rx_dropped:8 tx_dropped:8 signal_dbm:1 rx_bitrate_kbps:4
    tx_bitrate_kbps:4"""
_HTTP = """sent:2 answered:2 refused:2 timed_out:2 status:2 resolve_us:4 connect_us:4 tls_us:4 wait_us:4
    first_byte_us:4"""
_DNS = """sent:2 answered:2 timed_out:2 corrupt:2 rcode:1 lookup_min_us:4 lookup_p50_us:4+lookup_min_us
    lookup_max_us:4+lookup_min_us lookup_mean_us:4+lookup_min_us"""
_STAMP = f"""sent:2 received:2 late:2 duplicate:2 corrupt:2 in_flight:2 lost_out:2 lost_back:2 {_TIMES}
    ipdv_out_mean_us:4 ipdv_back_mean_us:4 out_min_us:4 out_p50_us:4+out_min_us out_max_us:4+out_min_us
    back_min_us:4 back_p50_us:4+back_min_us back_max_us:4+back_min_us one_way_error_us:4 foreign:2
    reply_ttl:1"""
_CAPACITY = """sent:2 received:2 spent_bytes:4 capacity_kbps:4 low_kbps:4 high_kbps:4 sender_kbps:4
    lower_bound:1 trust:1 burst_bytes:4 peak_kbps:4"""
_BULK = """spent_bytes:4 duration_us:8 goodput_kbps:4 retransmitted:4 rtt_min_us:4 rtt_max_us:4+rtt_min_us"""
_LOAD = """reference_kbps:4 idle_echoes:4 idle_p50_us:4 idle_p95_us:4 idle_kbps:4 loaded_echoes:4
    loaded_p50_us:4 loaded_p95_us:4 loaded_kbps:4 busy_echoes:4 busy_p50_us:4 busy_p95_us:4 busy_kbps:4"""
_PATH = f"hop:1 hops:1 sent:2 answered:2 {_ADDRESS} rtt_min_us:4 changed:1"
_NEIGHBOUR = f"""protocol:1 mac:8 {_ADDRESS} port_1:8 port_2:8 port_3:8 port_4:8 name_1:8 name_2:8 name_3:8
    name_4:8 ttl_s:2"""
_HOST = """period_ms:4 cpu_permille:2 load_1min_centi:4 memory_total_kib:4 memory_available_kib:4
    swap_used_kib:4 disk_total_kib:8 disk_free_kib:8 temperature_ck:4 frequency_mhz:4 uptime_s:4
    throttled:4 supply_mv:4 battery_permille:2 mains:1 agent_rss_kib:4 agent_cpu_permille:2"""
_GAP = "reason:1 epoch:8 first_sequence:8 count:8 from_ms:8 until_ms:8"
_STATE = "up:1 was_up:1 lasted_s:4 rounds:2"
_AGENT = """uptime_s:4 clock_error_us:4 waiting:4 unsealed:4 batches:4 spool_kib:4 spool_max_kib:4 oldest_s:4
    accepted:8 acked:8 dropped_full:8 dropped_thinned:8 dropped_damaged:8 dropped_memory:8 dropped_refused:8
    published:4 refused:4 failed:4 connects:4 resent:4 hour_kib:4 day_kib:4 month_kib:4 month_limit_kib:4
    lasts_s:4"""
_DESCRIPTIONS = {
    1: ("echo", _ECHO),
    2: ("connect", _CONNECT),
    3: ("interface", _INTERFACE),
    4: ("http", _HTTP),
    5: ("dns", _DNS),
    6: ("stamp", _STAMP),
    7: ("capacity", _CAPACITY),
    8: ("bulk", _BULK),
    9: ("load", _LOAD),
    10: ("path", _PATH),
    11: ("neighbour", _NEIGHBOUR),
    12: ("host", _HOST),
    13: ("gap", _GAP),
    14: ("state", _STATE),
    15: ("agent", _AGENT),
}
"""By its code on the wire: a kind's name and its columns, each NAME:BYTES, a difference with +BASE."""


@dataclass(frozen=True, slots=True)
class Field:
    """A column as it lies in the body: its bytes, and the position of the column it is a difference to."""

    name: str
    width: int
    over: int | None


def _fields(description: str) -> tuple[Field, ...]:
    positions: dict[str, int] = {}
    fields: list[Field] = []
    for position, entry in enumerate(description.split()):
        name, _, rest = entry.partition(":")
        width, _, over = rest.partition("+")
        positions[name] = position
        fields.append(Field(name, int(width), positions[over] if over else None))
    return tuple(fields)


KINDS: Mapping[int, tuple[str, tuple[Field, ...]]] = {
    code: (name, _fields(description)) for code, (name, description) in _DESCRIPTIONS.items()
}
COLUMNS: Mapping[str, tuple[str, ...]] = {
    name: tuple(field.name for field in fields) for name, fields in KINDS.values()
}
