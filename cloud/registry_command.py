"""`linkview registry`: where gateways stand and what their links can carry."""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cloud import display, queries, registry_import
from cloud.display import Column
from cloud.progress import watched
from cloud.registry import CACHED_S, Entry
from cloud.registry_file import FileError, read
from cloud.registry_import import Difference
from cloud.target import Target, TargetError, add_options, from_arguments

MAX_FILE = 50_000_000
"""Bytes of a file: some 500,000 links."""
_SHOWN = 20
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
        each.add_argument("--json", action="store_true", help="for machines: units in the names")


def run(args: argparse.Namespace) -> int:
    """Do what was asked; raises TargetError with one line."""
    code: int = args.registry(args, from_arguments(args))
    return code


def _list(args: argparse.Namespace, target: Target) -> int:
    known = registry_import.entries(target)
    if args.gateway is not None:
        if args.gateway not in known:
            raise TargetError(f"the registry of {target.place} knows no gateway {args.gateway}")
        known = {args.gateway: known[args.gateway]}
    if args.json:
        display.print_json([describe(name, entry) for name, entry in known.items()])
        return 0
    console = display.console()
    rows = [row for name, entry in known.items() for row in _rows(name, entry)]
    if rows:
        console.print(display.table(f"registry of {target.place}", _LINKS, rows))
    else:
        console.print(f"the registry of {target.place} is empty: `linkview registry import FILE`")
    return 0


def _rows(gateway: str, entry: Entry) -> list[tuple[str, ...]]:
    place = entry.place
    known = place.latitude is not None and place.longitude is not None
    where = f"{place.latitude:.5f}, {place.longitude:.5f}" if known else display.NOTHING
    front = gateway, display.clean(place.site), display.clean(place.region), where
    links = [
        (link, display.clean(peer), display.clean(medium), display.scaled(capacity or None, 1e-3, 1))
        for link, (peer, medium, capacity) in sorted(entry.said.items())
    ]
    return [(*front, *link) for link in links or [(display.NOTHING,) * 4]]


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
    try:
        said = read(_content(args.file))
    except FileError as exc:
        for message in exc.messages[:_SHOWN]:
            print(f"{args.file}: {message}", file=sys.stderr)
        more = f" ({len(exc.messages) - _SHOWN} more)" if len(exc.messages) > _SHOWN else ""
        raise TargetError(
            f"{args.file} has {len(exc.messages)} errors{more}; nothing was changed", 2
        ) from exc
    known = registry_import.entries(target)
    found = registry_import.differences(known, said, args.replace)
    registry_import.check(found)
    if not args.dry_run:
        _write(target, found)
    strange = sorted(said.keys() - {each.gateway for each in queries.enrolments(target)})
    if args.json:
        display.print_json(_described(said.keys(), found, strange, args.dry_run))
    else:
        _show(target, len(said), found, strange, args.dry_run)
    return 0


def _content(name: str) -> bytes:
    try:
        content = sys.stdin.buffer.read(MAX_FILE + 1) if name == "-" else Path(name).read_bytes()
    except OSError as exc:
        raise TargetError(f"{name}: {exc.strerror}", 2) from exc
    if len(content) > MAX_FILE:
        raise TargetError(f"{name} has more than {MAX_FILE // 1_000_000} MB", 2)
    return content


def _write(target: Target, found: list[Difference]) -> None:
    target.dynamodb(), target.output("RegistryTable")  # made here, once, not by each thread
    with ThreadPoolExecutor(_WRITERS) as pool:
        for _ in watched(
            pool.map(lambda each: registry_import.write(target, each), found), "import", len(found)
        ):
            pass


def _show(target: Target, gateways: int, found: list[Difference], strange: list[str], dry: bool) -> None:
    console = display.console()
    rows = [(each.gateway, *map(display.clean, line)) for each in found for line in each.lines()]
    if rows:
        console.print(display.table(f"changes of the registry of {target.place}", _CHANGES, rows))
    done = "would change" if dry else "changed"
    console.print(
        f"{gateways} gateways in the file, {len(found)} {done}, {gateways - len(found)} as they were"
    )
    if found and not dry:
        console.print(
            f"shown with the next batch of a gateway, {CACHED_S / 60:.0f} minutes from now at most",
            style="dim",
        )
    if strange:
        console.print(
            f"not enrolled: {', '.join(strange[:5])}{' ...' if len(strange) > 5 else ''}", style="yellow"
        )


def _described(gateways: Any, found: list[Difference], strange: list[str], dry: bool) -> dict[str, Any]:
    return {
        "gateways": len(gateways),
        "dry_run": dry,
        "changes": [
            {"gateway": each.gateway, "what": what, "before": before, "after": after}
            for each in found
            for what, before, after in each.lines()
        ],
        "not_enrolled": strange,
    }
