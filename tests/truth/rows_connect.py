"""Rows of the probes that are clients of a service: TCP connect, HTTP and DNS."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from tests.truth.flows import Flow, flows, queries_ns
from tests.truth.lab import Lab
from tests.truth.passage import Passage
from tests.truth.probing import Round, rounds, total
from tests.truth.report import Case, Row, judge, wire_late_us
from tests.truth.services import CLOSED_PORT, DNS_PORT, HTTP_PORT, TLS_PORT, serving
from tests.truth.shape import Shape

CONNECT_BOUND_MS, HTTP_BOUND_MS = 0.5, 1.0
"""User space takes these times, as any client does: one wake-up is part of a connect time, two of HTTP's."""
DNS_BOUND_MS = 0.25
"""The kernel stamps the answer, user space the query."""
ROUNDS = 8
WAY = Shape(delay_ms=10)
TIMES = {"period_s": 4, "timeout_s": 4}
LOST = (1, 4, 5)


def cases() -> list[Case]:
    """Every case of the three probes."""
    return [connecting, refused, unanswered, plain_page, secret_page, names]


def connecting() -> Iterator[Row]:
    """TCP connect time of a service that is there."""
    taken, log = _measured("connect", ROUNDS, WAY, port=HTTP_PORT, **TIMES)
    truth = [each.connect_ns for each in flows(log, HTTP_PORT)]
    yield _timed("connect p50", taken, "connect_p50_us", truth, log, CONNECT_BOUND_MS)
    yield _counted("connect connected", "20 ms", taken, "connected", len(truth), log)


def refused() -> Iterator[Row]:
    """A service that is not there, on a host that is."""
    taken, log = _measured("connect", 2, WAY, port=CLOSED_PORT, **TIMES)
    yield _counted("connect refused", "closed port", taken, "refused", len(flows(log, CLOSED_PORT)), log)


def unanswered() -> Iterator[Row]:
    """A host that does not answer."""
    taken, log = _measured("connect", 2, Shape(loss=1), port=HTTP_PORT, **TIMES)
    yield _counted("connect timed out", "all lost", taken, "timed_out", len(flows(log, HTTP_PORT)), log)


def plain_page() -> Iterator[Row]:
    """The phases of HTTP without TLS from a server that thinks for 30 ms."""
    taken, log = _measured("http", ROUNDS, WAY, port=HTTP_PORT, tls=False, **TIMES)
    found = flows(log, HTTP_PORT)
    connects = [each.connect_ns for each in found]
    waits = [arrived - asked for asked, arrived in (each.answered_ns(1) for each in found)]
    yield _timed("http connect", taken, "connect_us", connects, log, CONNECT_BOUND_MS)
    yield _timed("http wait", taken, "wait_us", waits, log, HTTP_BOUND_MS)
    yield _timed("http first byte", taken, "first_byte_us", _first_bytes(found, 1), log, HTTP_BOUND_MS)


def secret_page() -> Iterator[Row]:
    """Time to the first byte over TLS: after the client's hello and what it finishes the handshake with."""
    taken, log = _measured("http", ROUNDS, WAY, port=TLS_PORT, verify=False, **TIMES)
    truth = _first_bytes(flows(log, TLS_PORT), 2)
    yield _timed("http first byte", taken, "first_byte_us", truth, log, HTTP_BOUND_MS, "20 ms, TLS")


def names() -> Iterator[Row]:
    """DNS lookup time, and what is counted when queries are lost."""
    taken, log = _measured("dns", ROUNDS, WAY, **TIMES)
    yield _timed("dns p50", taken, "lookup_p50_us", queries_ns(log, DNS_PORT), log, DNS_BOUND_MS)
    taken, log = _measured("dns", 3, Shape(delay_ms=10, lose=LOST), **TIMES)
    truth = queries_ns(log, DNS_PORT)
    condition = "3 queries lost"
    yield _counted("dns answered", condition, taken, "answered", len(truth) - truth.count(None), log)
    yield _counted("dns timed out", condition, taken, "timed_out", truth.count(None), log)


def _measured(kind: str, times: int, out: Shape, /, **settings: object) -> tuple[list[Round], list[Passage]]:
    with Lab(out, WAY) as lab, serving(lab.far):
        taken = rounds(lab.near, kind, times, **settings)
        lab.settle()
        return taken, lab.log()


def _first_bytes(found: Sequence[Flow], messages: int) -> list[int]:
    return [each.answered_ns(messages)[1] - each.began_ns for each in found]


def _timed(
    what: str,
    taken: list[Round],
    column: str,
    truth_ns: Sequence[int | None],
    log: list[Passage],
    bound: float,
    condition: str = "20 ms",
) -> Row:
    told = [each[column] / 1000 for each in taken if each.get(column) is not None]
    true = [each / 1e6 for each in truth_ns if each is not None]
    estimate = statistics.median(told) if told else None
    truth = statistics.median(true) if true else None
    return judge(what, condition, estimate, truth, "ms", bound, wire_late_us=wire_late_us(log))


def _counted(
    what: str, condition: str, taken: list[Round], column: str, truth: int, log: list[Passage]
) -> Row:
    late_us = wire_late_us(log)
    return judge(what, condition, total(taken, column), truth, "packets", 0, wire_late_us=late_us)
