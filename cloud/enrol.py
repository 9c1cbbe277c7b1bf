"""`linkview gateways add|remove`: enrols gateways and takes them out of service."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from pathlib import Path

from cloud.enrolment import Enrolled, Enrolment
from cloud.gateway_folder import CONFIG, GatewayFolder
from cloud.target import Target, TargetError, from_arguments
from edge_agent.contract import GATEWAY_PATTERN

_AT_ONCE = 8
"""Gateways enrolled at a time; below botocore's pool of ten connections a client."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `add` and `remove` to the parsers of `linkview gateways`; run() does what they say."""
    add = subparsers.add_parser("add", help="enrol gateways: thing, certificate, policy and agent.toml")
    add.add_argument("names", nargs="+", metavar="NAME", help="letters, digits, - and _, at most 63")
    add.add_argument(
        "--output",
        type=Path,
        default=Path("gateways"),
        metavar="DIR",
        help="a folder NAME is made here (%(default)s)",
    )
    add.add_argument("--site", default="", help="where the gateways stand, for people")
    add.add_argument(
        "--renew", action="store_true", help="give enrolled ones a new certificate; the old one stops working"
    )
    add.set_defaults(enrolment=_add)
    remove = subparsers.add_parser("remove", help="revoke certificates and forget gateways; readings stay")
    remove.add_argument("names", nargs="+", metavar="NAME", help="an enrolled gateway")
    remove.set_defaults(enrolment=_remove)


def run(args: argparse.Namespace) -> int:
    """Do what `add` or `remove` was asked; raises TargetError with one line."""
    check_names(args.names)
    code: int = args.enrolment(args, from_arguments(args))
    return code


def check_names(names: Sequence[str]) -> None:
    """Raise TargetError for names that cannot be a gateway's."""
    for name in names:
        if not GATEWAY_PATTERN.fullmatch(name):
            raise TargetError(f"{name!r} cannot name a gateway: letters, digits, - and _, at most 63", 2)
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise TargetError(f"{twice[0]} is given twice", 2)


def _add(args: argparse.Namespace, target: Target) -> int:
    enrolment = Enrolment(target)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        if not args.renew:
            _refuse_enrolled(args.names, list(pool.map(enrolment.exists, args.names)), args.output)
        futures = [pool.submit(enrolment.add, name, args.output, args.site) for name in args.names]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            # Those under way end whole, or undo themselves; the others never start.
            pool.shutdown(cancel_futures=True)
    return _report(futures, target)


def _refuse_enrolled(names: Sequence[str], enrolled: Sequence[bool], output: Path) -> None:
    for name, exists in zip(names, enrolled, strict=True):
        if exists:
            raise TargetError(f"{name} is enrolled already: --renew gives it a new certificate")
        if GatewayFolder(output / name).holds_key:
            raise TargetError(f"{output / name} holds a key already: move it away, or give another --output")


def _report(futures: Sequence[Future[Enrolled]], target: Target) -> int:
    done = [future.result() for future in futures if not future.cancelled() and not future.exception()]
    for enrolled in done:
        print(f"{enrolled.gateway}  certificate {enrolled.certificate[:12]}  {enrolled.folder / CONFIG}")
    failure = next(
        (future.exception() for future in futures if not future.cancelled() and future.exception()), None
    )
    if failure is None:
        return 0
    if isinstance(failure, TargetError) and len(futures) > 1:
        raise TargetError(f"{failure} ({len(done)} of {len(futures)} gateways are enrolled)") from failure
    raise failure


def _remove(args: argparse.Namespace, target: Target) -> int:
    enrolment = Enrolment(target)
    code = 0
    for name in args.names:
        if enrolment.remove(name):
            print(f"{name}  removed; its readings stay until they expire")
        else:
            print(f"{name}  is not enrolled")
            code = 1
    return code
