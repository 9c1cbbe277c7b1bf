"""Readings of how much a link carries, on one line and at length."""

from __future__ import annotations

from edge_agent.contract import Reading
from edge_agent.contract.texts import TRUSTS
from edge_agent.display.figures import count, ms, rate, size

_LOADS = {"idle": "below 10 %", "loaded": "10 to 60 %", "busy": "above 60 %"}


def capacity_line(reading: Reading) -> str:
    """A capacity with its error bar on one line."""
    estimate = reading["capacity_kbps"]
    if estimate is None:
        return f"no estimate: {_missing(reading)}"
    if reading["lower_bound"]:
        return f"at least {rate(estimate)}: the sender was the limit"
    low, high = rate(reading["low_kbps"]), rate(reading["high_kbps"])
    doubt = f"; {_trust(reading)}" if reading["trust"] else ""
    return f"{rate(estimate)} ({low} to {high}){doubt}"


def capacity_report(reading: Reading) -> list[str]:
    """A capacity at length."""
    came = reading["received"]
    arrived = "how many arrived is not known" if came is None else f"{came} arrived"
    spent = f"{count(reading['sent'])} packets sent, {arrived}"
    lines = [
        f"capacity (IP layer, this direction): {capacity_line(reading)}",
        f"{spent}, {size(reading['spent_bytes'])} spent, sent at {rate(reading['sender_kbps'])}",
    ]
    if reading["burst_bytes"] is not None:
        burst = f"{size(reading['burst_bytes'])} pass at {rate(reading['peak_kbps'])}"
        lines.append(f"token bucket: {burst} before the rate above holds")
    elif reading["capacity_kbps"] is not None and not reading["lower_bound"]:
        lines.append(f"no token bucket shows within {size(reading['spent_bytes'])}")
    if reading["trust"] is not None:
        lines.append(f"trust: {_trust(reading)}")
    return lines


def _missing(reading: Reading) -> str:
    """Why a round gives no estimate."""
    if reading["received"] is None:
        return "the far end did not tell what arrived: it is busy, or its answers were lost"
    return "too few packets arrived" if reading["received"] else "no packet arrived"


def _trust(reading: Reading) -> str:
    code = reading["trust"] or 0
    return TRUSTS.get(code, f"code {code}")


def bulk_line(reading: Reading) -> str:
    """A transfer on one line."""
    return f"goodput {rate(reading['goodput_kbps'])}, {size(reading['spent_bytes'])} spent"


def bulk_report(reading: Reading) -> list[str]:
    """A transfer at length."""
    duration = reading["duration_us"]
    lines = [f"{bulk_line(reading)}" + ("" if duration is None else f" in {duration / 1e6:.3g} s")]
    lines.append(f"{count(reading['retransmitted'])} segments sent again")
    if reading["rtt_min_us"] is not None:
        lines.append(f"rtt of TCP min/max = {ms(reading['rtt_min_us'])}/{ms(reading['rtt_max_us'])} ms")
    return lines


def load_line(reading: Reading) -> str:
    """The median round trip by load on one line."""
    known = [name for name in _LOADS if reading[f"{name}_p50_us"] is not None]
    medians = ", ".join(f"{name} {ms(reading[f'{name}_p50_us'])} ms" for name in known)
    return f"median rtt {medians}" if known else "no echo came back"


def load_report(reading: Reading) -> list[str]:
    """Latency under load at length."""
    if reading["reference_kbps"] is None:
        return ["load not known: the interface reports no speed; see reference_kbps of [probe.load]"]
    lines = [f"load is a part of {rate(reading['reference_kbps'])}"]
    for name, range_of in _LOADS.items():
        figures = {each: reading[f"{name}_{each}_us"] for each in ("p50", "p95")}
        told = [f"{each} {ms(figure)} ms" for each, figure in figures.items() if figure is not None]
        told += [f"at {rate(reading[f'{name}_kbps'])}"] if told else []
        echoes = f"{reading[f'{name}_echoes'] or 'no'} echoes"
        lines.append(f"{name} ({range_of}): {', '.join([echoes, *told])}")
    return lines
