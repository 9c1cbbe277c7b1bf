"""The columns of a history, by kind of reading: header with its unit, and how a cell is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cloud import display
from cloud.cells import (
    Cell,
    added,
    celsius,
    decoded,
    dropped,
    duration,
    loss,
    mbps,
    milliseconds,
    protocol,
    round_trip,
    scaled,
    state,
    traffic,
)
from cloud.display import Column
from edge_agent.contract import Flag, Outcome, Reading
from edge_agent.contract.texts import (
    TRUSTS,
    address_of,
    before_of,
    gap_of,
    mac_of,
    text_of,
    throttles_of,
)

_SPARE = {
    "TTL": 7,
    "stddev ms": 6,
    "dup": 5,
    "out ipdv ms": 5,
    "back ipdv ms": 5,
    "signal dBm": 4,
    "connects": 6,
    "clock ms": 5,
    "failed": 4,
    "accepted": 3,
    "of MB": 2,
    "up": 2,
    "lasts": 1,
    "ipdv ms": 4,
    "late": 3,
    "MTU B": 3,
    "agent CPU %": 3,
    "battery %": 3,
    "V": 3,
    "min ms": 2,
    "idle echoes": 2,
    "loaded echoes": 2,
    "busy echoes": 2,
    "p95 ms": 1,
    "sent": 1,
}
"""What is left out first on a narrow terminal, the highest first."""
_FLAGGED = {
    Flag.RESTAMPED: "re-stamped",
    Flag.SIMULATED: "simulated",
    Flag.PATH_CHANGED: "path changed",
    Flag.CLOCK_STEPPED: "clock stepped",
}


def columns_of(kind: str) -> list[tuple[Column, Cell]]:
    """The columns of a kind."""
    figures = _FIGURES[kind]
    return [
        (Column("time"), lambda reading: display.utc(reading.at_ms)),
        *((Column(header, right=True, spare=_SPARE.get(header, 0)), cell) for header, cell in figures),
        (Column("notes", wraps=True), _notes),
    ]


def _notes(reading: Reading) -> str:
    """What a reader of the figures must know of how they were taken."""
    if reading.outcome is not Outcome.MEASURED:
        return f"not measured: {reading.outcome.name.lower().replace('_', ' ')}"
    kernel = Flag.KERNEL_SENT | Flag.KERNEL_RECEIVED
    by_user = reading.kind in ("echo", "stamp") and reading.flags & kernel != kernel
    notes = ["user-space stamps"] if by_user and not reading.flags & Flag.SIMULATED else []
    if not reading.flags & Flag.CLOCK_SYNCED:
        notes.append("clock not synchronised")
    notes += [note for flag, note in _FLAGGED.items() if flag in reading.flags]
    return ", ".join(notes + _own_notes(reading))


def _own_notes(reading: Reading) -> list[str]:
    """What a reading of this kind has to add."""
    if reading.kind == "capacity":
        doubt = [TRUSTS.get(reading["trust"], "not trusted")] if reading["trust"] else []
        return (["lower bound: the sender was the limit"] if reading["lower_bound"] else []) + doubt
    if reading.kind == "neighbour" and reading["protocol"] is None:
        return ["nothing was heard"]
    if reading.kind == "gap":
        return [gap_of(reading)]
    if reading.kind == "state":
        return [before_of(reading)]
    return throttles_of(reading) if reading.kind == "host" else []


_FIGURES: Mapping[str, Sequence[tuple[str, Cell]]] = {
    "echo": (
        ("sent", scaled("sent")),
        ("received", scaled("received")),
        ("loss %", loss),
        ("late", scaled("late")),
        ("dup", scaled("duplicate")),
        *round_trip(),
        ("ipdv ms", milliseconds("ipdv_mean_us")),
        ("TTL", scaled("reply_ttl")),
    ),
    "stamp": (
        ("sent", scaled("sent")),
        ("received", scaled("received")),
        ("lost out", scaled("lost_out")),
        ("lost back", scaled("lost_back")),
        *round_trip(),
        ("out p50 ms", milliseconds("out_p50_us")),
        ("back p50 ms", milliseconds("back_p50_us")),
        ("error ms", milliseconds("one_way_error_us")),
        ("out ipdv ms", milliseconds("ipdv_out_mean_us")),
        ("back ipdv ms", milliseconds("ipdv_back_mean_us")),
    ),
    "connect": (
        ("sent", scaled("sent")),
        ("connected", scaled("connected")),
        ("refused", scaled("refused")),
        ("timed out", scaled("timed_out")),
        ("min ms", milliseconds("connect_min_us")),
        ("p50 ms", milliseconds("connect_p50_us")),
        ("max ms", milliseconds("connect_max_us")),
    ),
    "http": (
        ("status", lambda reading: display.NOTHING if reading["status"] is None else str(reading["status"])),
        ("resolve ms", milliseconds("resolve_us")),
        ("connect ms", milliseconds("connect_us")),
        ("TLS ms", milliseconds("tls_us")),
        ("wait ms", milliseconds("wait_us")),
        ("first byte ms", milliseconds("first_byte_us")),
    ),
    "dns": (
        ("sent", scaled("sent")),
        ("answered", scaled("answered")),
        ("loss %", loss),
        ("corrupt", scaled("corrupt")),
        ("rcode", scaled("rcode")),
        ("min ms", milliseconds("lookup_min_us")),
        ("p50 ms", milliseconds("lookup_p50_us")),
        ("max ms", milliseconds("lookup_max_us")),
    ),
    "interface": (
        ("state", state),
        ("speed Mbit/s", scaled("speed_kbps", 1e-3)),
        ("MTU B", scaled("mtu")),
        ("in Mbit/s", traffic("rx_bytes")),
        ("out Mbit/s", traffic("tx_bytes")),
        ("errors", added("rx_errors", "tx_errors")),
        ("dropped", added("rx_dropped", "tx_dropped")),
        ("signal dBm", scaled("signal_dbm", -1)),
    ),
    "capacity": (
        ("Mbit/s", mbps("capacity_kbps")),
        ("low", mbps("low_kbps")),
        ("high", mbps("high_kbps")),
        ("sender Mbit/s", mbps("sender_kbps")),
        ("burst kB", scaled("burst_bytes", 1e-3, 1)),
        ("peak Mbit/s", mbps("peak_kbps")),
        ("spent kB", scaled("spent_bytes", 1e-3, 1)),
    ),
    "bulk": (
        ("goodput Mbit/s", mbps("goodput_kbps")),
        ("seconds", scaled("duration_us", 1e-6, 2)),
        ("spent kB", scaled("spent_bytes", 1e-3, 1)),
        ("sent again", scaled("retransmitted")),
        ("min ms", milliseconds("rtt_min_us")),
        ("max ms", milliseconds("rtt_max_us")),
    ),
    "load": (
        ("of Mbit/s", mbps("reference_kbps")),
        *(
            (f"{name} {header}", cell)
            for name in ("idle", "loaded", "busy")
            for header, cell in (
                ("echoes", scaled(f"{name}_echoes")),
                ("p50 ms", milliseconds(f"{name}_p50_us")),
                ("p95 ms", milliseconds(f"{name}_p95_us")),
            )
        ),
    ),
    "path": (
        ("hop", scaled("hop")),
        ("of", scaled("hops")),
        ("address", decoded(address_of)),
        ("answered", scaled("answered")),
        ("sent", scaled("sent")),
        ("min ms", milliseconds("rtt_min_us")),
    ),
    "neighbour": (
        ("by", protocol),
        ("address", decoded(address_of)),
        ("MAC", decoded(mac_of)),
        ("name", decoded(lambda reading: text_of(reading, "name"))),
        ("port", decoded(lambda reading: text_of(reading, "port"))),
        ("TTL s", scaled("ttl_s")),
    ),
    "host": (
        ("CPU %", scaled("cpu_permille", 0.1, 1)),
        ("load", scaled("load_1min_centi", 0.01, 2)),
        ("free MiB", scaled("memory_available_kib", 1 / 1024)),
        ("disk free MiB", scaled("disk_free_kib", 1 / 1024)),
        ("°C", celsius),
        ("V", scaled("supply_mv", 1e-3, 2)),
        ("battery %", scaled("battery_permille", 0.1)),
        ("agent MiB", scaled("agent_rss_kib", 1 / 1024, 1)),
        ("agent CPU %", scaled("agent_cpu_permille", 0.1, 1)),
    ),
    "gap": (
        ("lost", scaled("count")),
        ("first sequence", scaled("first_sequence")),
    ),
    "state": (
        ("state", state),
        ("after rounds", scaled("rounds")),
    ),
    "agent": (
        ("waiting", scaled("waiting")),
        ("oldest", duration("oldest_s")),
        ("spool MiB", scaled("spool_kib", 1 / 1024, 1)),
        ("of MiB", scaled("spool_max_kib", 1 / 1024)),
        ("accepted", scaled("accepted")),
        ("acknowledged", scaled("acked")),
        ("dropped", dropped),
        ("failed", scaled("failed")),
        ("connects", scaled("connects")),
        ("sent again", scaled("resent")),
        ("clock ms", milliseconds("clock_error_us")),
        ("month MB", scaled("month_kib", 1.024e-3, 1)),
        ("of MB", scaled("month_limit_kib", 1.024e-3, 1)),
        ("lasts", duration("lasts_s")),
        ("up", duration("uptime_s")),
    ),
}
