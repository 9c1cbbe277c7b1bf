"""``edge-agent spool status|export|verify``: what waits on this gateway, looked at while the agent runs."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from edge_agent.config import Config
from edge_agent.contract import Reading, decode, describe_reading
from edge_agent.sealing import from_row
from edge_agent.spool import Disk, FolderDisk, SpoolStats
from edge_agent.spool.found import Found
from edge_agent.spool.journal import LostRows
from edge_agent.spool.layout import layout, sort_of
from edge_agent.spool.recovery import look
from edge_agent.spool.salvage import salvage
from edge_agent.spool.stats import stats_of
from edge_agent.spool.store import Store

TRIES = 5
"""Times to look again when the agent has changed the files meanwhile."""


def run(options: argparse.Namespace, config: Config) -> int:
    """Carry out an action on the configured spool; returns the exit status, raises OSError."""
    disk, gateway = FolderDisk(config.spool.path), config.gateway.name
    if not config.spool.path.is_dir():
        print(f"{config.spool.path}: there is no spool here yet", file=sys.stderr)
        return 1
    try:
        match options.action:
            case "status":
                return status(disk, gateway, config.spool.max_mib << 20, options.json)
            case "export":
                return export(disk, gateway, config.spool.max_mib << 20)
            case _:
                return verify(disk, gateway, config.spool.max_mib << 20, options.json)
    finally:
        disk.close()


def status(disk: Disk, gateway: str, max_bytes: int, as_json: bool = False) -> int:
    """Print what the spool holds."""
    store, found, missing = _looked(disk, gateway, max_bytes)
    stats, unreported = stats_of(store), _count(missing)
    unsealed = _count([(max(start, store.frontier), end) for start, end in missing if end > store.frontier])
    stats = replace(stats, unsealed=stats.unsealed - unsealed)
    if as_json:
        print(json.dumps(_described(gateway, stats, found, unreported, max_bytes), indent=2))
        return 0
    lines = _lines(gateway, stats, found, unreported, max_bytes)
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        print(f"{name.ljust(width)}  {value}")
    return 0


def _count(spans: Iterable[tuple[int, int]]) -> int:
    return sum(end - start for start, end in spans)


def _described(gateway: str, stats: SpoolStats, found: Found, missing: int, max_bytes: int) -> dict[str, Any]:
    return {
        "gateway": gateway,
        "epoch": f"{stats.epoch:016x}",
        "held": stats.held - missing,
        "unsealed": stats.unsealed,
        "batches": stats.batches,
        "oldest_ms": stats.oldest_ms,
        "bytes": stats.bytes,
        "max_bytes": max_bytes,
        "has_reserve": stats.has_reserve,
        "accepted": stats.accepted,
        "acked": stats.acked,
        "dropped": {reason.name.lower(): count for reason, count in stats.dropped_by.items()},
        "missing": missing,
        "damaged_bytes": stats.damaged_bytes,
        "torn_bytes": stats.torn_bytes,
        "files_of_others": found.foreign,
    }


def _lines(
    gateway: str, stats: SpoolStats, found: Found, missing: int, max_bytes: int
) -> list[tuple[str, str]]:
    dropped = [f"{count:,} {reason.name.lower()}" for reason, count in stats.dropped_by.items() if count]
    lines = [
        ("gateway", gateway),
        ("epoch", f"{stats.epoch:016x}"),
        (
            "waiting",
            f"{stats.held - missing:,} readings, {stats.unsealed:,} of them unsealed; "
            f"sealed batches: {stats.batches:,}",
        ),
        ("oldest", _time(stats.oldest_ms)),
        ("on disk", f"{stats.bytes / 2**20:.1f} of {max_bytes / 2**20:.0f} MiB"),
        ("reserve", "there" if stats.has_reserve else "released: the disk is full"),
        ("accepted", f"{stats.accepted:,} readings"),
        ("acknowledged", f"{stats.acked:,} readings"),
        ("dropped", ", ".join(dropped) or "none"),
    ]
    if missing:
        lines.append(("missing", f"{missing:,} readings, to be told at the next start"))
    if found.damaged:
        lines.append(("damaged", f"{stats.damaged_bytes:,} B (edge-agent spool verify shows where)"))
    if found.foreign:
        lines.append(("of others", ", ".join(found.foreign)))
    return lines


def _time(at_ms: int | None) -> str:
    if at_ms is None:
        return "-"
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at_ms / 1000))


def export(disk: Disk, gateway: str, max_bytes: int) -> int:
    """Print a JSON line for each reading that waits, oldest first."""
    store, _, _ = _looked(disk, gateway, max_bytes)
    for epoch, sequence, is_sealed, reading in held(store):
        head = {"gateway": gateway, "epoch": f"{epoch:016x}", "sequence": sequence, "sealed": is_sealed}
        print(json.dumps({**head, **describe_reading(reading)}, separators=(",", ":")))
    return 0


def held(store: Store) -> Iterator[tuple[int, int, bool, Reading]]:
    """Epoch, number, whether it is sealed, and the reading, of all that waits."""
    for segment, place in store.segments.waiting_places(False):
        found = store.segments.read(segment, place)
        if found is None:
            continue
        batch = decode(found[1])
        for sequence, reading in enumerate(batch.readings, batch.first_sequence):
            yield batch.epoch, sequence, True, reading
    at = store.frontier
    while True:
        try:
            rows = store.journal.first_from(at)
        except LostRows as exc:
            at = exc.end
            continue
        except FileNotFoundError:
            return  # all of it was sealed while this was printed
        if rows is None:
            return
        for sequence, row in enumerate(rows.rows(), rows.first):
            if sequence >= at and sequence not in store.state.gone:
                yield store.state.epoch, sequence, False, from_row(row).reading
        at = rows.end


def verify(disk: Disk, gateway: str, max_bytes: int, as_json: bool = False) -> int:
    """Check every frame and number; returns 1 when anything is damaged or missing."""
    whole, damage = _frames(disk)
    missing = 0
    for _ in range(TRIES):  # a file that changes while another is read makes numbers look missing
        missing = _count(_looked(disk, gateway, max_bytes)[2])
        if not missing:
            break
    is_ok = not (damage or missing)
    if as_json:
        print(json.dumps({"ok": is_ok, "frames": whole, "damage": damage, "missing": missing}, indent=2))
        return int(not is_ok)
    for each in damage:
        print(f"{each['file']}: {each['bytes']:,} B from byte {each['offset']:,}: {each['why']}")
    print(f"{whole:,} records are whole, {len(damage)} places are damaged")
    if missing:
        print(f"{missing:,} readings are missing; the next start of the agent tells the cloud")
    return int(not is_ok)


def _frames(disk: Disk) -> tuple[int, list[dict[str, Any]]]:
    """How many frames are whole, and where something else is."""
    whole, damage = 0, list[dict[str, Any]]()
    for name in disk.names():
        if not sort_of(name):
            continue
        try:
            file = salvage(disk, name)
            size = disk.size(name)
        except FileNotFoundError:
            continue  # the agent has let go of it
        if file is None:
            damage.append({"file": name, "offset": 0, "bytes": size, "why": "cannot be read"})
            continue
        whole += len(file.frames)
        for start, end in file.scan.damaged:
            damage.append({"file": name, "offset": start, "bytes": end - start, "why": "checksum"})
    return whole, damage


def _looked(disk: Disk, gateway: str, max_bytes: int) -> tuple[Store, Found, list[tuple[int, int]]]:
    for _ in range(TRIES - 1):
        try:
            return look(disk, gateway, layout(max_bytes))
        except FileNotFoundError:
            disk.close()
    return look(disk, gateway, layout(max_bytes))
