"""`linkview redrive`: what the rule or the mapping could not deliver, back from the bucket to the stream."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from cloud import dead_letters, display, stream
from cloud.arguments import whole
from cloud.dead_letters import DISCARDED, PREFIXES, RULE_ERRORS, LetterError
from cloud.progress import watched
from cloud.target import Target, TargetError, add_options, failures, from_arguments

REDRIVEN = "redriven/"
"""Where objects go once their records are in the stream; the bucket's lifecycle removes them."""
SOURCES = {"all": PREFIXES, "rule": (RULE_ERRORS,), "mapping": (DISCARDED,)}


@dataclass(frozen=True, slots=True)
class Letter:
    """An object of the bucket."""

    key: str
    size: int
    stored_ms: int


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one object."""

    letter: Letter
    records: int
    error: str = ""
    gone: bool = False
    """Another redrive was faster."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `redrive`."""
    parser = subparsers.add_parser(
        "redrive",
        help="undelivered records back into the stream",
        description="Put what the IoT rule or the event source mapping could not deliver back into the"
        f" stream, and move each object to {REDRIVEN} afterwards. Stopped at any point and run again,"
        " it stores nothing twice.",
    )
    add_options(parser)
    parser.add_argument("--source", choices=SOURCES, default="all", help="whose (%(default)s)")
    parser.add_argument("--limit", type=whole(1, 1_000_000), metavar="N", help="objects at most")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    parser.add_argument("--json", action="store_true", help="for machines")


def run(args: argparse.Namespace) -> int:
    """Redrive and say what was done; 1 when some objects could not be read and stay."""
    target = from_arguments(args)
    found = letters(target, SOURCES[args.source], args.limit)
    results = [redrive(target, letter, args.dry_run) for letter in watched(found, "putting back", len(found))]
    if args.json:
        display.print_json([_describe(result) for result in results])
    else:
        _say(results, target, args.dry_run)
    return int(any(result.error for result in results))


def letters(target: Target, prefixes: Sequence[str], limit: int | None = None) -> list[Letter]:
    """The objects that wait under the prefixes, those of one prefix by key."""
    found: list[Letter] = []
    for prefix in prefixes:
        for given in _listed(target, prefix):
            if len(found) == limit:
                return found
            stored_ms = int(given["LastModified"].timestamp() * 1000)
            found.append(Letter(given["Key"], given["Size"], stored_ms))
    return found


def _listed(target: Target, prefix: str) -> Iterator[dict[str, Any]]:
    pages = target.client("s3").get_paginator("list_objects_v2")
    with failures(target):
        for page in pages.paginate(Bucket=target.output("DeadLetterBucket"), Prefix=prefix):
            yield from page.get("Contents", ())


def redrive(target: Target, letter: Letter, dry_run: bool = False) -> Result:
    """Put the records of one object into the stream, then move it; one that cannot be read stays."""
    s3, bucket = target.client("s3"), target.output("DeadLetterBucket")
    with failures(target):
        try:
            body = s3.get_object(Bucket=bucket, Key=letter.key)["Body"].read()
        except ClientError as exc:
            if _is_gone(exc):
                return Result(letter, 0, gone=True)
            raise
    try:
        entries = dead_letters.records(letter.key, body, letter.stored_ms)
    except LetterError as exc:
        return Result(letter, 0, str(exc))
    if dry_run:
        return Result(letter, len(entries))
    try:
        stream.put(target, entries)
    except TargetError as exc:
        if not stream.is_refusal(exc):
            raise
        # One that the stream will never take (too large) must not hold up the others.
        return Result(letter, 0, str(exc))
    with failures(target):
        try:
            s3.copy_object(
                Bucket=bucket, Key=REDRIVEN + letter.key, CopySource={"Bucket": bucket, "Key": letter.key}
            )
        except ClientError as exc:
            if _is_gone(exc):
                return Result(letter, 0, gone=True)
            raise
        # A crash before this puts the records back once more, which changes no table.
        s3.delete_object(Bucket=bucket, Key=letter.key)
    return Result(letter, len(entries))


def _is_gone(error: ClientError) -> bool:
    return error.response["Error"].get("Code") in ("NoSuchKey", "404", "NotFound")


def _say(results: Sequence[Result], target: Target, dry_run: bool) -> None:
    console = display.console()
    for result in results:
        if result.error:
            console.print(
                f"{display.clean(result.letter.key)}  stays: {display.clean(result.error)}", soft_wrap=True
            )
    done = [result for result in results if not result.error and not result.gone]
    records = sum(result.records for result in done)
    if not results:
        console.print(f"nothing waits in the bucket of undeliverable records of {target.place}")
        return
    verb = "would be put back" if dry_run else "put back"
    console.print(f"{records:,} records of {len(done):,} objects {verb} into the stream of {target.place}")


def _describe(result: Result) -> dict[str, Any]:
    return {
        "key": result.letter.key,
        "size_bytes": result.letter.size,
        "stored_ms": result.letter.stored_ms,
        "records": result.records,
        "gone": result.gone,
        "error": result.error or None,
    }
