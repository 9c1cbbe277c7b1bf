"""A status with something in every field."""

from __future__ import annotations

from edge_agent.contract import Flag, Reading, row
from edge_agent.status import Delivery, Held, Meter, Problem, Seen, Status

ECHO = Reading("north", "echo", 5, row("echo", sent=5, received=5, rtt_min_us=900), Flag.CLOCK_SYNCED)
DOWN = Reading("north", "state", 5, row("state", up=0, was_up=1))
STATUS = Status(
    gateway="gw-1",
    pid=4242,
    boot="boot",
    since_boot_s=1000.0,
    uptime_s=7300.0,
    written_ms=1_795_300_000_000,
    clock_error_us=1250,
    delivery=Delivery("delivering", 7_200.0, "", 12, 11, 0, 1, 2, 0),
    spool=Held(
        "/var/lib/edge-agent/spool",
        True,
        "",
        2,
        3,
        4,
        1_234,
        13 << 20,
        64 << 20,
        7_260.0,
        20_000,
        18_766,
        {"full": 60, "memory": 0},
    ),
    meters=(Meter("wwan0", 120_000, 950_000, 21_000_000, 30_000_000, 518_400.0),),
    seen=(Seen(ECHO, 3.0), Seen(DOWN, 61.0)),
    problems=(Problem("the broker is out of reach", "check the way out"),),
)
