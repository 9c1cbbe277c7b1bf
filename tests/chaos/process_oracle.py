"""The judgement over a real process: its records of what it accepted against what the broker passed on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from edge_agent.contract import Loss, describe_reading
from tests.chaos.oracle import SHOWN, Verdict, judge_missing, judge_sequences
from tests.chaos.table import Table

OWN = ("gap", "agent", "state")
"""Kinds that the agent makes itself."""
_OF_TIME = ("at_ms", "flags", "gateway")
"""Settled later than they are recorded."""


def recorded(files: Iterable[Path]) -> Counter[str]:
    """What the agent has recorded as accepted; the last line of a file may be cut off by a kill."""
    lines = (line for file in files if file.exists() for line in file.read_text().splitlines(keepends=True))
    found = (json.loads(line) for line in lines if line.endswith("\n"))
    return Counter(_identity(each) for each in found if each["kind"] not in OWN)


def arrived(table: Table) -> Counter[str]:
    """What the table has of it, each batch once."""
    return Counter(
        _identity(describe_reading(each)) for _, _, each in table.readings() if each.kind not in OWN
    )


def _identity(reading: Mapping[str, Any]) -> str:
    return json.dumps(
        {name: value for name, value in reading.items() if name not in _OF_TIME}, sort_keys=True
    )


def judge_process(
    truth: Counter[str], table: Table, allowed: frozenset[Loss], in_doubt: int, may_lose: int | None
) -> Verdict:
    """``in_doubt``: readings that a kill may have kept from the record, though the spool had them.

    Two rounds of a process that was stopped may begin in the same millisecond: doubled is what the table has
    more often than it was recorded.
    """
    measured = [each for _, _, each in table.readings() if each.kind not in OWN]
    held = arrived(table)
    moments = Counter(
        (each.link, each.kind, each.at_ms, _identity(describe_reading(each))) for each in measured
    )
    gaps = table.gaps()
    verdict = Verdict(generated=sum(truth.values()), accepted=sum(truth.values()), delivered=len(measured))
    verdict.violations.extend(table.faults)
    for gap in gaps:
        verdict.told[gap.reason] += gap.count or 0
    judge_sequences(table, gaps, verdict)
    twice = [
        (link, kind, at_ms)
        for (link, kind, at_ms, identity), count in moments.items()
        if count > 1 and held[identity] > truth[identity]
    ]
    verdict.doubled = len(twice)
    if twice:
        verdict.violations.append(f"{len(twice)} doubled: {twice[:SHOWN]}")
    missing = list((truth - held).elements())
    verdict.missing = len(missing)
    judge_missing(missing, gaps, verdict)
    unknown = sum((held - truth).values())
    if unknown > in_doubt:
        verdict.violations.append(f"{unknown} readings that nobody has recorded, {in_doubt} may be")
    wrong = {gap.reason for gap in gaps} - allowed
    if wrong:
        verdict.violations.append(f"told as missing for a reason that there was not: {sorted(wrong)}")
    if may_lose is not None and len(missing) > may_lose:
        verdict.violations.append(f"{len(missing)} readings are missing, where damage can explain {may_lose}")
    return verdict
