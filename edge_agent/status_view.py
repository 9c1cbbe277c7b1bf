"""A status as a technician reads it: what runs, what waits, each link, what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edge_agent.contract.texts import duration_text
from edge_agent.display import Palette, colour_of, summary, table, verdict
from edge_agent.display.verdicts import GREEN, RED
from edge_agent.status import Delivery, Held, Meter, Seen, Status

_WIDTH = 10
_HEADER = ("LINK", "STATE", "PROBE", "VERDICT", "AGE", "LAST READING")
_OF_AGENT = ("agent", "gap", "state")
"""Kinds that are no probe's."""


def view(status: Status, presence: str, is_running: bool, palette: Palette) -> list[str]:
    """The lines; ``presence`` says in words whether the agent runs."""
    return [
        palette.paint(f"{status.gateway}: {presence}", GREEN if is_running else RED),
        *_labelled("clock", [_clock(status.clock_error_us)]),
        *_labelled("delivery", [_delivery(status.delivery)]),
        *_labelled("spool", _spool(status.spool)),
        *_labelled("readings", [_readings(status.spool)]),
        *_labelled("budget", list(map(_meter, status.meters)) or ["nothing is metered"]),
        *_links(status.seen, palette),
        *_problems(status, palette),
    ]


def _labelled(label: str, lines: Sequence[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        yield f"{'' if number else label:{_WIDTH}}{line}"


def _clock(error_us: int | None) -> str:
    return "not synchronised" if error_us is None else f"synchronised, good to {error_us / 1000:.1f} ms"


def _delivery(delivery: Delivery) -> str:
    since = "" if delivery.for_s is None else f" for {duration_text(delivery.for_s)}"
    why = f": {delivery.why}" if delivery.why else ""
    counts = f"{delivery.acked} batches acknowledged, {delivery.failed} attempts failed"
    return f"{delivery.state}{since}{why}; {counts}, {delivery.connects} connections"


def _spool(spool: Held) -> list[str]:
    if not spool.is_open:
        return [f"{spool.path}: not open; {spool.in_memory} readings wait in memory"]
    used = f"{spool.used / (1 << 20):.1f} of {spool.bound / (1 << 20):.0f} MiB"
    share = f" ({100 * spool.used / spool.bound:.0f} %)" if spool.bound else ""
    oldest = "" if spool.oldest_s is None else f", the oldest for {duration_text(spool.oldest_s)}"
    waits = f"{spool.waiting:,} readings wait{oldest}" if spool.waiting else "nothing waits"
    return [f"{spool.path}: {used}{share}, {waits}"]


def _readings(spool: Held) -> str:
    dropped = {reason: count for reason, count in (spool.dropped or {}).items() if count}
    given_up = ", ".join(f"{count:,} {reason}" for reason, count in dropped.items())
    lost = f"{sum(dropped.values()):,} dropped ({given_up})" if dropped else "none dropped"
    return f"{spool.accepted:,} taken, {spool.acked:,} acknowledged, {lost}"


def _meter(meter: Meter) -> str:
    limit = f" of {meter.month_limit / 1e6:.1f}" if meter.month_limit else ""
    lasts = "lasts to the end of the month"
    if meter.lasts_s is not None:
        lasts = f"lasts for {duration_text(meter.lasts_s)}" if meter.lasts_s else "spent but for alarms"
    today = f"{meter.day / 1e6:.2f} MB today, {meter.hour / 1e6:.2f} MB this hour"
    return f"{meter.interface}: {meter.month / 1e6:.1f}{limit} MB this month, {today}; {lasts}"


def _links(seen: Sequence[Seen], palette: Palette) -> list[str]:
    states = {each.reading.link: each.reading["up"] for each in seen if each.reading.kind == "state"}
    rows = [_row(each, states) for each in seen if each.reading.kind not in _OF_AGENT]
    if not rows:
        return ["", "nothing was measured yet"]
    lines = table(rows, _HEADER, palette)
    words = [verdict(each.reading) for each in seen if each.reading.kind not in _OF_AGENT]
    return [
        "",
        lines[0],
        *(_painted(line, word, palette) for line, word in zip(lines[1:], words, strict=True)),
    ]


def _row(seen: Seen, states: dict[str, int | None]) -> tuple[str, ...]:
    reading = seen.reading
    state = {None: "-", 0: "down"}.get(states.get(reading.link), "up")
    return (
        reading.link,
        state,
        reading.kind,
        verdict(reading),
        duration_text(seen.age_s),
        summary(reading),
    )


def _painted(line: str, word: str, palette: Palette) -> str:
    return line if word == "ok" else palette.paint(line, colour_of(word))


def _problems(status: Status, palette: Palette) -> list[str]:
    lines = ["", palette.paint("nothing is wrong", GREEN)]
    if status.problems:
        lines = ["", palette.paint("what is wrong, and what to do", RED)]
    for each in status.problems:
        lines += [f"- {each.what}", f"  {each.remedy}"]
    return lines
