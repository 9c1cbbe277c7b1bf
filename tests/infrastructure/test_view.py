"""What the operator sees of a part is what the part said, to the letter."""

from __future__ import annotations

import io

from rich.console import Console
from rich.table import Table

from infrastructure.local import view
from infrastructure.local.faults import MEANING
from infrastructure.local.state import PartStatus, Status


def test_a_detail_with_brackets_is_shown_as_it_is() -> None:
    """Square brackets are markup to rich: it would drop "[mqtt]" and fail on "[/tmp/x]"."""
    detail = "ended with exit code 1: [mqtt] [/tmp/x] [Errno 2]"
    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(view.parts(Status("failed", 0, {"broker": PartStatus(7, "failed", detail)})))
    assert detail in console.export_text()


def test_injected_faults_have_a_table_of_their_own_with_every_fault() -> None:
    """Also those that have not come yet; without any there is none, and the counters do not repeat them."""
    counters = {"bridge.received": 7, "fault.crash": 1_234}
    assert view.faults({"bridge.received": 7}) is None
    table = view.faults(counters)
    assert table is not None
    text = drawn(table)
    assert "function processes killed while they worked │ 1,234 │" in text
    assert all(meaning in text for meaning in MEANING.values())
    assert "fault" not in drawn(view.counters(Status("running", 0, counters=counters)))


def drawn(table: Table) -> str:
    console = Console(width=100, file=io.StringIO())
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()
