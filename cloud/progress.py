"""A progress bar on the terminal's error output; nothing where nobody watches."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

T = TypeVar("T")


def watched(things: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """The things one by one, with a bar that goes away at the end."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=total == 0 or not sys.stderr.isatty(),
    )
    with bar:
        yield from bar.track(things, total, description=what)
