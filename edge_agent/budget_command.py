"""`edge-agent budget`: what the agent has spent on metered interfaces, from its ledger; the agent may run."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from edge_agent.budget.calendar_windows import Span
from edge_agent.budget.ledger_file import Kept, LedgerDamaged, LedgerFile, place
from edge_agent.budget.limits import Limits
from edge_agent.budget.spend import Purpose
from edge_agent.budget.summary import MeterSummary, SpanSummary, summarise
from edge_agent.config import Config
from edge_agent.contract.texts import duration_text
from edge_agent.display import Palette
from edge_agent.profile import Profile

OK, SPENT, NO_LEDGER = 0, 1, 66
CLASSES: Mapping[Purpose, str] = {
    Purpose.ALARM: "alarms",
    Purpose.LIVE: "readings",
    Purpose.CONTROL: "connections",
    Purpose.PROBE: "probes",
    Purpose.BACKFILL: "back-fill",
    Purpose.SPEED: "trains, bulk",
    Purpose.REFLECT: "reflected",
}
_BOLD = "1"
_HEADER = ("", "this hour", "today", "this month")


def run(config: Config, as_json: bool, environment: Mapping[str, str], now_s: float | None = None) -> int:
    """Print the ledger; 0, or 1 when a month is spent but for alarms, 66 when there is none to read."""
    file = LedgerFile(place(config.spool.path))
    try:
        kept = file.read()
    except PermissionError:
        raise  # it says nothing of the ledger
    except (LedgerDamaged, OSError) as exc:
        print(f"edge-agent: the ledger cannot be read: {exc}", file=sys.stderr)
        print("  the agent counts what it does not know as spent, until the month ends", file=sys.stderr)
        return NO_LEDGER
    if kept is None or not Profile(config).is_anything_metered:
        return _nothing(config, file, as_json)
    at_s = time.time() if now_s is None else now_s
    summaries = meters(kept, at_s)
    if as_json:
        print(json.dumps(describe(kept, summaries), indent=2))
    else:
        print("\n".join(view(kept, summaries, at_s, Palette(sys.stdout, environment))))
    return SPENT if any(each.lasts_s == 0 for each in summaries) else OK


def _nothing(config: Config, file: LedgerFile, as_json: bool) -> int:
    is_metered = Profile(config).is_anything_metered
    if as_json:
        print(json.dumps({"metered": is_metered, "interfaces": []}, indent=2))
    elif is_metered:
        print(f"there is no ledger in {file.path} yet: the agent makes it when it starts", file=sys.stderr)
    else:
        print("nothing is metered: no link has metered = true, and [budget] names no interface")
    return NO_LEDGER if is_metered else OK


def meters(kept: Kept, at_s: float) -> list[MeterSummary]:
    """The summaries as of a time, should the agent have written nothing since then."""
    is_later = kept.is_sure and at_s > kept.at_s
    now_s = at_s if is_later else kept.at_s
    found = []
    for meter, ledger in sorted(kept.meters.items()):
        ledger.roll(now_s, kept.reset_day, kept.is_sure)
        found.append(summarise(meter, ledger, Limits(*kept.limits[meter]), now_s, kept.reset_day))
    return found


def view(kept: Kept, summaries: Sequence[MeterSummary], at_s: float, palette: Palette) -> list[str]:
    """The lines of the table."""
    lines = []
    for each in summaries:
        lines += [palette.paint(f"{each.interface}: {_lasting(each, at_s)}", _BOLD), *_table(each), ""]
    ago = duration_text(max(at_s - kept.at_s, 0))
    more = f"; at most {_mb(kept.margin)} MB more since on each interface" if kept.is_open else ""
    lines.append(f"MB of 1,000,000 B, both directions, UTC; written {ago} ago{more}")
    if not kept.is_sure:
        lines.append("the clock is not synchronised: hours, days and months run on from the last known time")
    return lines


def _lasting(meter: MeterSummary, at_s: float) -> str:
    if meter.lasts_s is None:
        return f"lasts to the end of the month, {_day(meter.spans[Span.MONTH].ends_s)}"
    if meter.lasts_s == 0:
        ends = _day(meter.spans[Span.MONTH].ends_s)
        return f"spent: only alarms are sent, from the reserve, until {ends}"
    return f"lasts until {_day(at_s + meter.lasts_s)} at the pace of the last days"


def _table(meter: MeterSummary) -> list[str]:
    spans = [meter.spans[span] for span in (Span.HOUR, Span.DAY, Span.MONTH)]
    rows: list[Sequence[str]] = [_HEADER]
    rows += [(name, *(_mb(each.by_purpose[purpose]) for each in spans)) for purpose, name in CLASSES.items()]
    rows += _odd_rows(spans)
    rows.append(("total", *(_mb(each.total) for each in spans)))
    rows.append(("limit", *(_mb(each.limit) for each in spans)))
    rows.append(("left", *(_mb(each.left) for each in spans)))
    rows.append(("interface counted", *(_mb(each.counted) for each in spans)))
    first = max(len(row[0]) for row in rows)
    return [f"  {row[0]:{first}}" + "".join(f"{cell:>12}" for cell in row[1:]) for row in rows]


def _odd_rows(spans: Sequence[SpanSummary]) -> list[Sequence[str]]:
    """What there is not as a rule."""
    rows: list[Sequence[str]] = []
    if any(each.charged for each in spans):
        rows.append(("not known", *(_mb(each.charged) for each in spans)))
    if any(each.corrected for each in spans):
        rows.append(("counted too high", *(_mb(-each.corrected) for each in spans)))
    return rows


def _mb(size: int | None) -> str:
    return "-" if size is None else f"{size / 1e6:.3f}"


def _day(at_s: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(at_s))


def describe(kept: Kept, summaries: Sequence[MeterSummary]) -> dict[str, Any]:
    """The same as JSON values, bytes and seconds."""
    return {
        "metered": True,
        "written_s": kept.at_s,
        "clock_known": kept.is_sure,
        "unsaved_at_most": kept.margin if kept.is_open else 0,
        "interfaces": [
            {
                "interface": each.interface,
                "lasts_s": each.lasts_s,
                **{span.value: _described(summary) for span, summary in each.spans.items()},
            }
            for each in summaries
        ],
    }


def _described(span: SpanSummary) -> dict[str, Any]:
    classes = {purpose.name.lower(): span.by_purpose[purpose] for purpose in Purpose}
    return {
        "classes": classes,
        "not_known": span.charged,
        "corrected": span.corrected,
        "total": span.total,
        "limit": span.limit,
        "left": span.left,
        "interface_counted": span.counted,
        "ends_s": span.ends_s,
    }
