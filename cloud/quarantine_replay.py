"""`linkview quarantine replay`: quarantined records put back into the stream, each once."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cloud import display, quarantine_reading, replay, stream
from cloud.keys import DAY_MS
from cloud.poison import Quarantined
from cloud.progress import watched
from cloud.replay import ReplayError
from cloud.target import Target, TargetError

MARK_KEPT_MS = 3_650 * DAY_MS
"""A mark outlives its record whatever the retention is: it expires with the longest that can be set."""
PUT_BACK, WOULD, BEFORE, REFUSED = "put back", "would be put back", "was put back before", "not put back"


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one record."""

    record: Quarantined
    outcome: str
    why: str = ""


def run(args: argparse.Namespace, target: Target, now_ms: int) -> int:
    """Put back what is meant and say what became of each; 1 when some could not be."""
    records = _chosen(args, target, now_ms)
    if args.file and len(records) != 1:
        raise TargetError("--file is for one record: name it", 2)
    repaired = _content(args.file) if args.file else None
    done: dict[int, frozenset[str]] = {}
    results = []
    for record in watched(records, "putting back", len(records)):
        day = record.at_ms // DAY_MS
        done[day] = done[day] if day in done else quarantine_reading.replayed(target, record.at_ms)
        before = record.sort in done[day] and not args.again
        results.append(
            Result(record, BEFORE) if before else _put_back(args, target, record, repaired, now_ms)
        )
    _say(args, results)
    return int(any(result.outcome == REFUSED for result in results))


def _chosen(args: argparse.Namespace, target: Target, now_ms: int) -> Sequence[Quarantined]:
    if bool(args.ids) == args.all:
        raise TargetError("name records (see `linkview quarantine list`), or give --all, not both", 2)
    if args.rule and not args.all:
        raise TargetError("--rule goes with --all", 2)
    if args.ids:
        return [quarantine_reading.one(target, name) for name in dict.fromkeys(args.ids)]
    found = quarantine_reading.listing(target, display.moment(args.day, now_ms))
    # Oldest first, as they came.
    return [each for each in reversed(found.records) if args.rule in (None, each.code)]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise TargetError(f"{path} cannot be read: {exc.strerror}") from exc


def _put_back(
    args: argparse.Namespace, target: Target, record: Quarantined, repaired: bytes | None, now_ms: int
) -> Result:
    try:
        entry = replay.entry(record, repaired)
    except ReplayError as exc:
        return Result(record, REFUSED, str(exc))
    if record.code == "conflict" and not args.force:
        return Result(record, REFUSED, "it would replace the batch that is stored (--force puts it back)")
    verdict = replay.verdict(entry, target.outputs().get("AllowDirect") == "true", now_ms)
    if verdict and not args.force:
        return Result(record, REFUSED, f"it would be set aside again (--force puts it back): {verdict}")
    if args.dry_run:
        return Result(record, WOULD)
    # The mark comes after: stopped in between, it is put back again, which stores nothing twice.
    stream.put(target, [entry])
    quarantine_reading.mark_replayed(target, record, now_ms, MARK_KEPT_MS)
    return Result(record, PUT_BACK)


def _say(args: argparse.Namespace, results: Sequence[Result]) -> None:
    if args.json:
        display.print_json(
            [{"id": each.record.id, "outcome": each.outcome, "reason": each.why} for each in results]
        )
        return
    console = display.console()
    if not results:
        console.print("there is nothing to put back")
    for each in results:
        why = f": {display.clean(each.why)}" if each.why else ""
        console.print(f"{each.record.id}  {each.outcome}{why}", soft_wrap=True)
