"""The judgement over one trial: everything accepted is in the table once, or told as missing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field

from edge_agent.contract import Flag, Loss, Reading
from tests.chaos.table import Gap, Table
from tests.chaos.truth import Fate, Truth, number_of

SHOWN = 5
CLOCK_MS = 2_000
"""How far a time may be off that is flagged as known."""
POLICY = frozenset({Loss.FULL, Loss.THINNED, Loss.REFUSED, Loss.MEMORY})


@dataclass(slots=True)
class Verdict:
    """What came of a trial; it is good when ``violations`` is empty."""

    generated: int = 0
    accepted: int = 0
    delivered: int = 0
    doubled: int = 0
    lost: int = 0
    """Accepted, not delivered, and nobody was told."""
    told: Counter[Loss] = field(default_factory=Counter)
    """Readings that the gateway said are missing, by reason."""
    missing: int = 0
    """Accepted and not delivered, told or not."""
    refusals: int = 0
    """Starts that failed."""
    violations: list[str] = field(default_factory=list)

    @property
    def dropped(self) -> int:
        """Told as dropped by policy."""
        return sum(count for reason, count in self.told.items() if reason in POLICY)


def judge(truth: Truth, table: Table, allowed: frozenset[Loss], may_lose: int | None = None) -> Verdict:
    """``allowed``: the reasons for which readings may be missing; ``may_lose``: how many, None for any."""
    fates = truth.count()
    verdict = Verdict(generated=len(truth.fates), accepted=fates[Fate.ACCEPTED])
    verdict.violations.extend(table.faults)
    arrived = _arrived(truth, table, verdict)
    verdict.delivered = len(arrived)
    gaps = table.gaps()
    for gap in gaps:
        verdict.told[gap.reason] += gap.count or 0
    judge_sequences(table, gaps, verdict)
    missing = truth.accepted - arrived
    verdict.missing = len(missing)
    judge_missing(missing, gaps, verdict)
    wrong = {gap.reason for gap in gaps} - allowed
    if wrong:
        names = ", ".join(f"{each.name} {verdict.told[each]}" for each in sorted(wrong))
        verdict.violations.append(f"told as missing for a reason that there was not: {names}")
    if may_lose is not None and len(missing) > may_lose:
        verdict.violations.append(f"{len(missing)} readings are missing, where damage can explain {may_lose}")
    return verdict


def _arrived(truth: Truth, table: Table, verdict: Verdict) -> set[int]:
    """The numbers in the table; one that is there twice is doubled, one that differs altered."""
    places: dict[int, set[tuple[int, int]]] = defaultdict(set)
    for epoch, sequence, reading in table.readings():
        number = number_of(reading)
        if number is None:
            continue
        places[number].add((epoch, sequence))
        made = truth.made.get(number)
        if made is None:
            verdict.violations.append(f"reading {number} was never generated")
        elif (made.link, made.kind, made.values) != (reading.link, reading.kind, reading.values):
            verdict.violations.append(f"reading {number} is altered")
        elif problem := _time_problem(reading, truth.true_ms[number]):
            verdict.violations.append(f"reading {number}: {problem}")
    doubled = sorted(number for number, where in places.items() if len(where) > 1)
    verdict.doubled = len(doubled)
    if doubled:
        verdict.violations.append(f"{len(doubled)} doubled: {doubled[:SHOWN]}")
    return set(places)


def _time_problem(reading: Reading, true_ms: int) -> str:
    known = reading.flags & (Flag.CLOCK_SYNCED | Flag.RESTAMPED)
    off_ms = reading.at_ms - true_ms
    if known and not reading.flags & Flag.CLOCK_STEPPED and abs(off_ms) > CLOCK_MS:
        return f"its time is flagged as known and {off_ms / 1000:+.1f} s off"
    return ""


def judge_sequences(table: Table, gaps: list[Gap], verdict: Verdict) -> None:
    """Each number of an epoch is in one batch or in a gap, so that the table can tell what is missing."""
    held: dict[int, Counter[int]] = defaultdict(Counter)
    for epoch, sequence, _ in table.readings():
        held[epoch][sequence] += 1
    told: dict[int, set[int]] = defaultdict(set)
    for gap in gaps:
        if gap.epoch is not None and gap.first is not None and gap.count is not None:
            told[gap.epoch].update(range(gap.first, gap.first + gap.count))
    for epoch, sequences in held.items():
        twice = [sequence for sequence, count in sequences.items() if count > 1]
        if twice:
            verdict.violations.append(f"sequence numbers of epoch {epoch:x} in two batches: {twice[:SHOWN]}")
    known = set().union(*held.values(), *told.values())  # numbers go on from one epoch to the next
    untold = sorted(set(range(max(known, default=0))) - known)
    if untold:
        verdict.violations.append(f"{len(untold)} numbers are neither delivered nor told: {untold[:SHOWN]}")


def judge_missing(missing: Collection[int | str], gaps: list[Gap], verdict: Verdict) -> None:
    """Accepted readings that are not in the table are told as missing, as many at least."""
    unknown = any(gap.count is None for gap in gaps)
    told = sum(gap.count or 0 for gap in gaps if gap.reason is not Loss.MEMORY)
    verdict.lost = 0 if unknown else max(len(missing) - told, 0)
    if verdict.lost:
        some = str(sorted(missing, key=str)[:SHOWN])[:300]
        verdict.violations.append(f"{verdict.lost} accepted readings lost, of {len(missing)} missing: {some}")
