"""Readings of what asks a target and waits for its answer, on one line and at length."""

from __future__ import annotations

from collections.abc import Mapping

from edge_agent.contract import Reading
from edge_agent.display.figures import count, lost, ms, oddities, times

_LONG = ("min", "p50", "mean", "max", "stddev")
_RCODES = {0: "no error", 1: "format error", 2: "server failure", 3: "no such name", 5: "refused"}
"""RFC 1035 section 4.1.1."""
_PHASES = ("resolve", "connect", "tls", "wait")


def echo_line(reading: Reading) -> str:
    """Echo and STAMP on one line."""
    replies = f"{count(reading['received'])}/{count(reading['sent'])} replies"
    return f"{replies}, rtt {times(reading, 'rtt')} ms (min/p50/max)"


def connect_line(reading: Reading) -> str:
    """TCP connect on one line."""
    counts = f"{count(reading['connected'])}/{count(reading['sent'])} connected"
    return f"{counts}, {times(reading, 'connect')} ms (min/p50/max)"


def http_line(reading: Reading) -> str:
    """HTTP on one line."""
    if not reading["answered"]:
        if reading["refused"]:
            return "refused"
        closed = reading["connect_us"] is not None and not reading["timed_out"]
        return "closed before an answer came" if closed else "no answer"
    return f"status {count(reading['status'])}, first byte after {ms(reading['first_byte_us'])} ms"


def dns_line(reading: Reading) -> str:
    """DNS on one line."""
    counts = f"{count(reading['answered'])}/{count(reading['sent'])} answered"
    return f"{counts}, {times(reading, 'lookup')} ms (min/p50/max)"


def echo_report(reading: Reading) -> list[str]:
    """Echo at length."""
    sent = f"{count(reading['sent'])} sent, {count(reading['received'])} received, {lost(reading)}"
    return [", ".join([sent, *oddities(reading)]), *_round_trip(reading)]


def _round_trip(reading: Reading) -> list[str]:
    if reading["rtt_min_us"] is None:
        return []
    names = {
        "p95": ms(reading["rtt_p95_us"]),
        "mean delay variation (ipdv)": ms(reading["ipdv_mean_us"]),
    }
    known = [f"{name} {figure} ms" for name, figure in names.items() if figure != "-"]
    known += [f"reply TTL {reading['reply_ttl']}"] if reading["reply_ttl"] is not None else []
    line = f"rtt {'/'.join(_LONG)} = {times(reading, 'rtt', _LONG)} ms"
    return [line, *([", ".join(known)] if known else [])]


def stamp_report(reading: Reading) -> list[str]:
    """STAMP at length: the round trip, then each direction."""
    ways = [_way(reading, "out"), _way(reading, "back")]
    error = reading["one_way_error_us"]
    note = "one-way delay not known: it needs synchronised clocks at both ends"
    return [
        *echo_report(reading),
        *ways,
        note if error is None else f"one-way delay is good to +/- {ms(error)} ms",
    ]


def _way(reading: Reading, way: str) -> str:
    missing, variation = reading[f"lost_{way}"], reading[f"ipdv_{way}_mean_us"]
    parts = ["loss not known" if missing is None else f"{missing} lost"]
    if reading[f"{way}_min_us"] is not None:
        parts.append(f"delay min/p50/max = {times(reading, way)} ms")
    if variation is not None:
        parts.append(f"ipdv {ms(variation)} ms")
    return f"{way}: {', '.join(parts)}"


def connect_report(reading: Reading) -> list[str]:
    """TCP connect at length."""
    words = {"sent": "tried", "connected": "connected", "refused": "refused", "timed_out": "without answer"}
    counts = _counts(reading, words)
    if reading["connect_min_us"] is None:
        return [counts]
    parts = ("min", "p50", "mean", "max")
    return [counts, f"connect {'/'.join(parts)} = {times(reading, 'connect', parts)} ms"]


def http_report(reading: Reading) -> list[str]:
    """HTTP at length: the status, then how long each phase took."""
    phases = [(name, reading[f"{name}_us"]) for name in _PHASES]
    lines = [http_line(reading)]
    told = [f"{name} {ms(value)} ms" for name, value in phases if value is not None]
    return [*lines, ", ".join(told)] if told else lines


def dns_report(reading: Reading) -> list[str]:
    """DNS at length."""
    words = {"sent": "asked", "answered": "answered", "timed_out": "without answer", "corrupt": "corrupt"}
    counts = _counts(reading, words)
    rcode = reading["rcode"]
    if rcode is None:
        return [counts]
    parts = ("min", "p50", "mean", "max")
    return [
        f"{counts}; {_RCODES.get(rcode, f'response code {rcode}')}",
        f"lookup {'/'.join(parts)} = {times(reading, 'lookup', parts)} ms",
    ]


def _counts(reading: Reading, words: Mapping[str, str]) -> str:
    return ", ".join(f"{count(reading[column])} {word}" for column, word in words.items())
