"""What the operator sees of a part is what the part said, to the letter."""

from __future__ import annotations

import io

from rich.console import Console

from infrastructure.local import view
from infrastructure.local.state import PartStatus, Status


def test_a_detail_with_brackets_is_shown_as_it_is() -> None:
    """Square brackets are markup to rich: it would drop "[mqtt]" and fail on "[/tmp/x]"."""
    detail = "ended with exit code 1: [mqtt] [/tmp/x] [Errno 2]"
    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(view.parts(Status("failed", 0, {"broker": PartStatus(7, "failed", detail)})))
    assert detail in console.export_text()
