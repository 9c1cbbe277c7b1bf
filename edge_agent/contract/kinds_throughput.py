"""The kinds of reading of how much a link carries."""

from __future__ import annotations

from edge_agent.contract.column import Column, Kind, count, micros, rate

THROUGHPUT_KINDS = (
    Kind(
        "capacity",
        7,
        (
            count("sent"),
            count("received"),
            Column("spent_bytes", 4, "B", 1, "not measured"),
            rate("capacity_kbps", "no estimate could be made"),
            rate("low_kbps", "no estimate could be made"),
            rate("high_kbps", "no estimate, or only a lower bound"),
            rate("sender_kbps", "no train was sent"),
            Column("lower_bound", 1, "1", 1, "no estimate could be made"),
            Column("trust", 1, "1", 1, "no estimate could be made"),
            Column("burst_bytes", 4, "B", 1, "no token bucket was recognised"),
            rate("peak_kbps", "no token bucket was recognised"),
        ),
    ),
    Kind(
        "bulk",
        8,
        (
            Column("spent_bytes", 4, "B", 1, "not measured"),
            Column("duration_us", 8, "s", 1e-6, "nothing was delivered"),
            rate("goodput_kbps", "nothing was delivered"),
            Column("retransmitted", 4, "1", 1, "not told by the kernel"),
            micros("rtt_min_us", "not told by the kernel"),
            micros("rtt_max_us", "not told by the kernel", over="rtt_min_us"),
        ),
    ),
    Kind(
        "load",
        9,
        (
            rate("reference_kbps", "nothing to compare the traffic with"),
            *(
                column
                for name in ("idle", "loaded", "busy")
                for column in (
                    Column(f"{name}_echoes", 4, "1", 1, "not measured"),
                    micros(f"{name}_p50_us", "no echo at such a load"),
                    micros(f"{name}_p95_us", "fewer than 20 echoes at such a load"),
                    rate(f"{name}_kbps", "no echo at such a load"),
                )
            ),
        ),
    ),
)
