"""The kinds of reading of what is around a link: its interface, path and neighbours, and the host."""

from __future__ import annotations

from edge_agent.contract.column import Column, Kind, address, ascii_text, count, micros, rate, total

SURROUNDING_KINDS = (
    Kind(
        "interface",
        3,
        (
            Column("up", 1, "1", 1, "the interface is gone"),
            Column("speed_kbps", 4, "bit/s", 1e3, "not reported by the driver"),
            Column("full_duplex", 1, "1", 1, "not reported by the driver"),
            Column("mtu", 4, "B", 1, "the interface is gone"),
            Column("period_ms", 4, "s", 1e-3, "first round, or the counter was reset"),
            total("rx_bytes", "B"),
            total("tx_bytes", "B"),
            total("rx_packets"),
            total("tx_packets"),
            total("rx_errors"),
            total("tx_errors"),
            total("rx_dropped"),
            total("tx_dropped"),
            Column("signal_dbm", 1, "dBm", -1, "no Wi-Fi, or not associated"),
            rate("rx_bitrate_kbps", "no Wi-Fi, or not associated"),
            rate("tx_bitrate_kbps", "no Wi-Fi, or not associated"),
        ),
    ),
    Kind(
        "path",
        10,
        (
            Column("hop", 1, "1", 1, "not measured"),
            Column("hops", 1, "1", 1, "the target did not answer"),
            count("sent"),
            count("answered"),
            *address(),
            micros("rtt_min_us", "no answer"),
            Column("changed", 1, "1", 1, "no round before"),
        ),
    ),
    Kind(
        "neighbour",
        11,
        (
            Column("protocol", 1, "1", 1, "nothing was heard"),
            Column("mac", 8, "1", 1, "not told"),
            *address(),
            *ascii_text("port", 4),
            *ascii_text("name", 4),
            Column("ttl_s", 2, "s", 1, "not told"),
        ),
    ),
    Kind(
        "host",
        12,
        (
            Column("period_ms", 4, "s", 1e-3, "first round"),
            Column("cpu_permille", 2, "1", 1e-3, "first round"),
            Column("load_1min_centi", 4, "1", 1e-2, "not told"),
            Column("memory_total_kib", 4, "B", 1024, "not told"),
            Column("memory_available_kib", 4, "B", 1024, "not told"),
            Column("swap_used_kib", 4, "B", 1024, "not told"),
            Column("disk_total_kib", 8, "B", 1024, "not told"),
            Column("disk_free_kib", 8, "B", 1024, "not told"),
            Column("temperature_ck", 4, "K", 1e-2, "no sensor"),
            Column("frequency_mhz", 4, "Hz", 1e6, "not told"),
            Column("uptime_s", 4, "s", 1, "not told"),
            Column("throttled", 4, "1", 1, "not a Raspberry Pi"),
            Column("supply_mv", 4, "V", 1e-3, "no sensor"),
            Column("battery_permille", 2, "1", 1e-3, "no battery"),
            Column("mains", 1, "1", 1, "not told"),
            Column("agent_rss_kib", 4, "B", 1024, "not told"),
            Column("agent_cpu_permille", 2, "1", 1e-3, "first round"),
        ),
    ),
)
