"""Rows of the capacity and bulk probes: rate, error bar and cost beside the wire's own figures.

Capacity is of IP packets: the wire serialises Ethernet frames, which are 14 bytes longer, and the truth takes
that into account.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from tests.truth.lab import Lab
from tests.truth.passage import Passage
from tests.truth.probing import Round, rounds
from tests.truth.report import Case, Row, judge, unmeasured, wire_late_us
from tests.truth.shape import Shape

PACKET_BYTES, ETHERNET_BYTES = 1_400, 14
IP_SHARE = PACKET_BYTES / (PACKET_BYTES + ETHERNET_BYTES)
BUDGET_BYTES = 300_000
BOUND = 0.05
BURST_BOUND = 0.10
PORT = 8_620
BACK = Shape(delay_ms=10)
CLUMPED = 1
TCP_ACK_HEADER = 52

RESPONDER = """
import asyncio
from edge_agent.reflector.reflector import Reflector
from edge_agent.reflector.settings import ReflectorSettings

async def main():
    reflector = Reflector(ReflectorSettings(enabled=True, bulk=True))
    await reflector.start()
    print("ready", flush=True)
    await reflector.run()

asyncio.run(main())
"""


def cases() -> list[Case]:
    """Every rate, and what is not a plain line."""
    return [
        *(partial(line, mbps) for mbps in (1, 2, 5, 10, 20, 50, 100)),
        *(partial(bucket, mbps) for mbps in (2, 10, 50)),
        kernels_bucket,
        deep_bucket,
        deeper_bucket,
        partial(
            not_a_wire, "slots of 10 ms", Shape(delay_ms=10, rate_kbps=10_000, slot_ms=10), _slotted_kbps()
        ),
        partial(
            not_a_wire,
            "aggregates of 4 ms",
            Shape(delay_ms=10, rate_kbps=20_000, aggregate_ms=4),
            20_000 * IP_SHARE,
        ),
        lossy,
        partial(bulk, 10),
        partial(bulk, 50),
    ]


def line(mbps: float) -> Iterator[Row]:
    """A plain line: rate and cost."""
    taken, log = _measure(Shape(delay_ms=10, rate_kbps=mbps * 1000))
    condition = f"{mbps:g} Mbit/s, 20 ms"
    yield _rate(condition, taken, mbps * IP_SHARE, log)
    spent = _udp_bytes(log)
    told = _told(taken, "spent_bytes")
    row = judge("capacity cost", condition, told, spent, "B", 0, wire_late_us=wire_late_us(log))
    yield replace(row, reached=row.reached and spent <= BUDGET_BYTES, note=f"at most {BUDGET_BYTES:,} B")


def bucket(mbps: float) -> Iterator[Row]:
    """A token bucket of 64 kB before a lower rate."""
    shape = Shape(delay_ms=10, rate_kbps=mbps * 1000, bucket_bytes=64_000, bucket_peak_kbps=200_000)
    taken, log = _measure(shape)
    yield from _bucket(f"{mbps:g} Mbit/s behind a 64 kB bucket", taken, mbps, log)


def kernels_bucket() -> Iterator[Row]:
    """The same by the kernel's own shaper, on the sender's interface."""
    with Lab(BACK, BACK) as lab:
        words = "qdisc add dev near0 root tbf rate 10mbit burst 64000 latency 3s"
        lab.near.run(["tc", *words.split()])
        taken, log = _taken(lab)
    yield from _bucket("10 Mbit/s by tbf, burst 64 kB", taken, 10, log)


def deep_bucket() -> Iterator[Row]:
    """A bucket that is nearly as deep as the train: a hint, whose error bar has to hold the truth."""
    shape = Shape(delay_ms=10, rate_kbps=10_000, bucket_bytes=266_000, bucket_peak_kbps=200_000)
    taken, log = _measure(shape)
    yield _within_bar("10 Mbit/s behind a 266 kB bucket", taken, 10 * IP_SHARE, log, trusted=False)


def deeper_bucket() -> Iterator[Row]:
    """A bucket deeper than the train cannot be seen: what was spent is a bound of what it may hold."""
    shape = Shape(delay_ms=10, rate_kbps=10_000, bucket_bytes=400_000, bucket_peak_kbps=100_000)
    taken, log = _measure(shape)
    bound, truth = _told(taken, "spent_bytes"), 400_000 * IP_SHARE
    row = judge("capacity burst bound", "10 Mbit/s behind a 400 kB bucket", bound, truth, "B", truth)
    is_bound = bound is not None and bound <= truth and _told(taken, "burst_bytes") is None
    note = f"no bucket of less; {_bar(taken)} Mbit/s for as much"
    yield replace(row, reached=is_bound, note=note, wire_late_us=wire_late_us(log))


def not_a_wire(condition: str, shape: Shape, truth_kbps: float) -> Iterator[Row]:
    """A radio's way of sending: it has to be said, and the error bar has to hold the truth."""
    taken, log = _measure(shape)
    row = _within_bar(condition, taken, truth_kbps / 1000, log, trusted=False)
    yield replace(row, reached=row.reached and _told(taken, "trust") == CLUMPED)


def lossy() -> Iterator[Row]:
    """Packets lost behind the line: the rate is the line's, the count is exact."""
    with Lab(Shape(delay_ms=10, rate_kbps=10_000, loss=0.05), BACK, seed=5) as lab:
        taken, log = _taken(lab)
    condition = "10 Mbit/s, 5 % lost"
    yield _rate(condition, taken, 10 * IP_SHARE, log)
    cars = [each for each in _datagrams(log, "out") if each.length == PACKET_BYTES + ETHERNET_BYTES]
    truth = sum(each.fate == "passed" for each in cars if each.key.payload[4] == _CAR)
    yield judge("capacity received", condition, _told(taken, "received"), truth, "packets", 0)


def bulk(mbps: float) -> Iterator[Row]:
    """One TCP connection: payload a second as it came there, and its cost."""
    with Lab(Shape(delay_ms=10, rate_kbps=mbps * 1000), BACK) as lab:
        taken, log = _taken(lab, "bulk")
    condition = f"{mbps:g} Mbit/s, 20 ms, 3 MB"
    truth = _goodput_mbps(log)
    late = wire_late_us(log)
    estimate = _mbps(taken, "goodput_kbps")
    yield judge("bulk goodput", condition, estimate, truth, "Mbit/s", BOUND * truth, wire_late_us=late)
    spent = sum(each.length - ETHERNET_BYTES for each in log if each.key.protocol == "tcp")
    told = _told(taken, "spent_bytes")
    row = judge("bulk cost", condition, told, spent, "B", 0.01 * spent, wire_late_us=late)
    yield replace(row, reached=row.reached and spent <= 3_000_000)


def _measure(shape: Shape) -> tuple[list[Round], list[Passage]]:
    with Lab(shape, BACK) as lab:
        return _taken(lab)


def _taken(lab: Lab, kind: str = "capacity") -> tuple[list[Round], list[Passage]]:
    responder = lab.far.popen([sys.executable, "-c", RESPONDER])
    assert responder.stdout
    if responder.stdout.readline() != "ready\n":
        raise RuntimeError("the responder did not start; its message is above")
    taken = rounds(lab.near, kind, 1)
    lab.settle()
    return taken, lab.log()


def _rate(condition: str, taken: list[Round], truth_mbps: float, log: Sequence[Passage]) -> Row:
    estimate = _mbps(taken, "capacity_kbps")
    late = wire_late_us(log)
    row = judge("capacity", condition, estimate, truth_mbps, "Mbit/s", BOUND * truth_mbps, wire_late_us=late)
    return replace(row, note=_bar(taken), reached=row.reached and _told(taken, "trust") == 0)


def _bucket(condition: str, taken: list[Round], mbps: float, log: Sequence[Passage]) -> Iterator[Row]:
    yield _rate(condition, taken, mbps * IP_SHARE, log)
    burst, truth = _told(taken, "burst_bytes"), 64_000 * IP_SHARE
    late = wire_late_us(log)
    yield judge("capacity burst", condition, burst, truth, "B", BURST_BOUND * truth, wire_late_us=late)


def _within_bar(
    condition: str, taken: list[Round], truth_mbps: float, log: Sequence[Passage], trusted: bool
) -> Row:
    """A row that is reached when the error bar holds the truth, and trust is what it should be."""
    estimate = _mbps(taken, "capacity_kbps")
    low, high = _mbps(taken, "low_kbps"), _mbps(taken, "high_kbps")
    if estimate is None or low is None or high is None:
        return unmeasured(f"capacity, {condition}", str(taken[0]))
    bound = max(estimate - low, high - estimate)
    row = judge("capacity", condition, estimate, truth_mbps, "Mbit/s", bound, wire_late_us=wire_late_us(log))
    says = (_told(taken, "trust") == 0) is trusted
    return replace(row, reached=low <= truth_mbps <= high and says, note=_bar(taken))


def _bar(taken: list[Round]) -> str:
    low, high = _mbps(taken, "low_kbps"), _mbps(taken, "high_kbps")
    trust = _told(taken, "trust")
    if low is None or high is None:
        return str(taken[0].get("error", "no error bar"))
    return f"{low:.4g} to {high:.4g}" + (f", trust {trust:g}" if trust else "")


def _told(taken: list[Round], column: str) -> float | None:
    value = taken[0].get(column)
    return None if value is None else float(value)


def _mbps(taken: list[Round], column: str) -> float | None:
    value = _told(taken, column)
    return None if value is None else value / 1000


def _slotted_kbps() -> float:
    """Whole packets alone fit a slot: 12,500 B hold 8 frames of 1,414 B."""
    return 12_500 // (PACKET_BYTES + ETHERNET_BYTES) * PACKET_BYTES * 8 / 10


def _datagrams(log: Sequence[Passage], direction: str) -> list[Passage]:
    return [
        each
        for each in log
        if each.direction == direction and each.key.protocol == "udp" and PORT in each.key.numbers
    ]


def _udp_bytes(log: Sequence[Passage]) -> int:
    return sum(each.length - ETHERNET_BYTES for way in ("out", "back") for each in _datagrams(log, way))


def _goodput_mbps(log: Sequence[Passage]) -> float:
    """Payload of the segments that carry data, from the first to the last that left the wire."""
    header = ETHERNET_BYTES + TCP_ACK_HEADER
    data = [
        each
        for each in log
        if each.direction == "out" and each.key.protocol == "tcp" and each.written_ns and each.length > header
    ]
    data = data[1:]  # the first one is the request
    took_ns = data[-1].written_ns[0] - data[0].written_ns[0]
    return sum(each.length - header for each in data) * 8_000 / took_ns


_CAR = 3
