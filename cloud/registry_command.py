"""`linkview registry`: where gateways stand and what their links can carry."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from cloud import display, queries, registry_import
from cloud.arguments import whole
from cloud.display import Column
from cloud.progress import watched
from cloud.registry import CACHED_S, Entry
from cloud.registry_file import File, read
from cloud.registry_import import Difference
from cloud.registry_rows import FileError
from cloud.target import Target, TargetError, add_options, from_arguments

MAX_FILE = 50_000_000
"""Bytes of a file: some 500,000 links."""
SHOWN = 50
"""Rows of a table."""
_ERRORS = 20
"""Errors that are shown."""
_WRITERS = 8
_LINKS = (
    Column("gateway", wraps=True),
    Column("site", wraps=True),
    Column("region", wraps=True, spare=2),
    Column("latitude, longitude", spare=3),
    Column("link", wraps=True),
    Column("peer", wraps=True, spare=1),
    Column("medium", wraps=True),
    Column("capacity, Mbit/s", right=True),
)
_CHANGES = (
    Column("gateway", wraps=True),
    Column("what", wraps=True),
    Column("before", wraps=True),
    Column("after", wraps=True),
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `registry` with `list` and `import`."""
    parser = subparsers.add_parser(
        "registry", help="sites, coordinates, media and capacities", description=__doc__
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|import")
    listing = actions.add_parser("list", help="what the registry knows of gateways and links")
    listing.add_argument("--gateway", metavar="NAME", help="of this gateway only")
    listing.set_defaults(registry=_list)
    importing = actions.add_parser(
        "import",
        help="take in a CSV or NetJSON file",
        description="Take in a CSV file (columns gateway, site, region, latitude, longitude, link, peer,"
        " medium, capacity_kbps or capacity_mbps) or a NetJSON NetworkGraph, told apart by their content."
        " What the file does not say stays. Importing a file twice changes nothing.",
    )
    importing.add_argument("file", metavar="FILE", help="- for standard input")
    importing.add_argument("--dry-run", action="store_true", help="show the changes, write nothing")
    importing.add_argument(
        "--replace", action="store_true", help="forget what the file does not say of the gateways it names"
    )
    importing.set_defaults(registry=_import)
    for each in (listing, importing):
        add_options(each)
        each.add_argument(
            "--limit", type=whole(0, 1_000_000), default=SHOWN, metavar="N", help="rows (0 and --json: all)"
        )
        each.add_argument("--json", action="store_true", help="for machines: units in the names")


def run(args: argparse.Namespace) -> int:
    """Do what was asked; raises TargetError with one line."""
    code: int = args.registry(args, from_arguments(args))
    return code


def _list(args: argparse.Namespace, target: Target) -> int:
    known = _known(target)
    if args.gateway is not None:
        if args.gateway not in known:
            raise TargetError(f"the registry of {target.place} knows no gateway {args.gateway}")
        known = {args.gateway: known[args.gateway]}
    if args.json:
        display.print_json([describe(name, entry) for name, entry in known.items()])
        return 0
    rows = [row for name, entry in known.items() for row in _rows(name, entry)]
    if rows:
        _table(f"registry of {target.place}", _LINKS, rows, args.limit)
    else:
        display.console().print(f"the registry of {target.place} is empty: `linkview registry import FILE`")
    return 0


def _known(target: Target) -> dict[str, Entry]:
    with Console(stderr=True).status("reading the registry"):
        return registry_import.entries(target)


def _table(title: str, columns: Sequence[Column], rows: Sequence[tuple[str, ...]], limit: int) -> None:
    """The first rows: a fleet has more than anybody reads."""
    console, shown = display.console(), rows[: limit or len(rows)]
    console.print(display.table(title, columns, shown))
    display.more(console, len(rows) - len(shown))


def _rows(gateway: str, entry: Entry) -> list[tuple[str, ...]]:
    place = entry.place
    known = place.latitude is not None and place.longitude is not None
    where = f"{place.latitude:.5f}, {place.longitude:.5f}" if known else display.NOTHING
    front = gateway, display.clean(place.site), display.clean(place.region), where
    links = [
        (link, display.clean(peer), display.clean(medium), _mbps(capacity))
        for link, (peer, medium, capacity) in sorted(entry.said.items())
    ]
    # What a map says of the way to a peer, of which no link is known yet.
    known_peers = {peer for peer, _, _ in entry.said.values()}
    links += [
        (display.NOTHING, display.clean(peer), display.clean(said.medium), _mbps(said.capacity_kbps))
        for peer, said in sorted(entry.metadata.peers.items())
        if peer not in known_peers
    ]
    return [(*front, *link) for link in links or [(display.NOTHING,) * 4]]


def _mbps(capacity_kbps: int) -> str:
    return display.scaled(capacity_kbps or None, 1e-3, 1)


def describe(gateway: str, entry: Entry) -> dict[str, Any]:
    """What is known of a gateway as JSON values; null where nobody said."""
    place = entry.place
    return {
        "gateway": gateway,
        "site": place.site,
        "region": place.region,
        "latitude": place.latitude,
        "longitude": place.longitude,
        "links": [
            {"link": link, "peer": peer, "medium": medium, "capacity_kbps": capacity or None}
            for link, (peer, medium, capacity) in sorted(entry.said.items())
        ],
        "peers": [
            {"peer": peer, "medium": said.medium, "capacity_kbps": said.capacity_kbps or None}
            for peer, said in sorted(entry.metadata.peers.items())
        ],
    }


def _import(args: argparse.Namespace, target: Target) -> int:
    file = _read(args.file)
    known = _known(target)
    found = registry_import.differences(known, file.gateways, args.replace)
    registry_import.check(found)
    if not args.dry_run:
        found = _write(target, found)
    enrolled = {each.gateway for each in queries.enrolments(target)}
    imported = _Imported(file, found, sorted(file.gateways.keys() - enrolled), args.dry_run)
    if args.json:
        display.print_json(imported.described())
    else:
        imported.show(target, args.limit)
    return 0


def _read(name: str) -> File:
    try:
        return read(_content(name))
    except FileError as exc:
        for message in exc.messages[:_ERRORS]:
            print(f"{name}: {message}", file=sys.stderr)
        number = len(exc.messages)
        more = f" ({number - _ERRORS} more)" if number > _ERRORS else ""
        errors = "1 error" if number == 1 else f"{number} errors"
        raise TargetError(f"{name} has {errors}{more}; nothing was changed", 2) from exc


def _content(name: str) -> bytes:
    if name == "-" and sys.stdin is None:
        raise TargetError("there is no standard input", 2)
    try:
        content = sys.stdin.buffer.read(MAX_FILE + 1) if name == "-" else Path(name).read_bytes()
    except OSError as exc:
        raise TargetError(f"{name}: {exc.strerror}", 2) from exc
    if len(content) > MAX_FILE:
        raise TargetError(f"{name} has more than {MAX_FILE // 1_000_000} MB", 2)
    return content


def _write(target: Target, found: list[Difference]) -> list[Difference]:
    """What was changed: others may have done a part meanwhile."""
    target.dynamodb(), target.output("RegistryTable")  # made here, once, not by each thread
    with ThreadPoolExecutor(_WRITERS) as pool:
        done = pool.map(lambda each: registry_import.write(target, each), found)
        return [each for each in watched(done, "import", len(found)) if each]


@dataclass(frozen=True, slots=True)
class _Imported:
    """What came of an import."""

    file: File
    changes: list[Difference]
    strange: list[str]
    """Gateways that are not enrolled."""
    dry_run: bool

    def show(self, target: Target, limit: int) -> None:
        """For people."""
        console, gateways = display.console(), len(self.file.gateways)
        rows = [(each.gateway, *map(display.clean, line)) for each in self.changes for line in each.lines()]
        if rows:
            _table(f"changes of the registry of {target.place}", _CHANGES, rows, limit)
        if self.file.renamed:
            id_, name = next(iter(self.file.renamed.items()))
            number = len(self.file.renamed)
            nodes = "1 node" if number == 1 else f"{number} nodes"
            console.print(f"{nodes} renamed, {display.clean(id_)} to {name} first")
        done = "would change" if self.dry_run else "changed"
        same = gateways - len(self.changes)
        console.print(f"{gateways} gateways in the file, {len(self.changes)} {done}, {same} as they were")
        if self.changes and not self.dry_run:
            minutes = f"{CACHED_S / 60:.0f} minutes from now at most"
            console.print(f"shown with the next batch of a gateway, {minutes}", style="dim")
        if self.strange:
            more = " ..." if len(self.strange) > 5 else ""
            console.print(f"not enrolled: {', '.join(self.strange[:5])}{more}", style="yellow")

    def described(self) -> dict[str, Any]:
        """For machines."""
        return {
            "gateways": len(self.file.gateways),
            "dry_run": self.dry_run,
            "changes": [
                {"gateway": each.gateway, "what": what, "before": before, "after": after}
                for each in self.changes
                for what, before, after in each.lines()
            ],
            "renamed": self.file.renamed,
            "not_enrolled": self.strange,
        }
