"""`linkview`: what the links of a network do, for people and for machines."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Protocol, cast

from cloud.target import TargetError

COMMANDS: Mapping[str, str] = {
    "links": "cloud.links",
    "history": "cloud.history",
    "gateways": "cloud.gateways",
    "registry": "cloud.registry_command",
    "quarantine": "cloud.quarantine",
    "redrive": "cloud.redrive",
    "gaps": "cloud.gaps",
    "audit": "cloud.audit",
    "availability": "cloud.availability",
    "export": "cloud.export",
    "plan": "cloud.plan",
}
"""Command to the module that adds its parser and runs it; imported only when it is meant."""


class Command(Protocol):
    """A module with a command: its parser and what it does."""

    def add_parser(self, subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> object:
        """Add the command's parser."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it and return the exit code; raises TargetError for what the user must know."""


def load(name: str) -> Command:
    """The module of a command."""
    return cast(Command, importlib.import_module(COMMANDS[name]))


def parser(names: Iterable[str] = COMMANDS) -> argparse.ArgumentParser:
    """The command line with the named commands."""
    root = argparse.ArgumentParser("linkview", description=__doc__)
    root.add_argument("--version", action="version", version=f"linkview {version('linkpulse')}")
    subparsers = root.add_subparsers(dest="command", required=True, metavar="|".join(COMMANDS))
    for name in names:
        load(name).add_parser(subparsers)
    return root


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 done, 1 failed or a negative verdict, 2 a wrong command line."""
    given = sys.argv[1:] if argv is None else argv
    if sys.stdout is None:  # closed by the caller
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123
    # Only what is named is imported, so that each starts fast; for help, all are.
    named = [argument for argument in given if argument in COMMANDS]
    args = parser(named or COMMANDS).parse_args(given)
    try:
        code = load(args.command).run(args)
        # Here rather than at exit, so that a reader that went away is noticed below.
        sys.stdout.flush()
        return code
    except TargetError as exc:
        print(f"linkview: {exc}", file=sys.stderr)
        return exc.code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader went away, as `| head` does.
        _hush()
        return 0
    except OSError as exc:
        _hush()
        print(f"linkview: {exc.filename or 'output'}: {exc.strerror or exc}", file=sys.stderr)
        return 1


def _hush() -> None:
    """Let stdout go nowhere, so that it does not complain again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


if __name__ == "__main__":
    sys.exit(main())
