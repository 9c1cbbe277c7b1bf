"""What the operator sees: tables of endpoints and parts."""

from __future__ import annotations

import time
from collections.abc import Mapping

from rich.markup import escape
from rich.table import Table

from infrastructure.local.faults import PREFIX, injected
from infrastructure.local.state import Connection, Status

COLOURS = {"running": "green", "starting": "yellow", "stopping": "yellow", "failed": "bold red"}


def endpoints(connection: Connection, status: Status, state: str) -> Table:
    """Where everything is, once it runs."""
    table = Table(title="Local cloud", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in (
        ("AWS endpoint", connection.endpoint_url),
        ("MQTT", f"{connection.mqtt_endpoint}:{connection.mqtt_port} (mutual TLS)"),
        ("CA for MQTT", connection.ca),
        ("stack", connection.stack),
        ("region", connection.region),
        ("state", state),
    ):
        table.add_row(name, escape(value))
    for note in status.notes:
        table.add_row("note", note)
    return table


def parts(status: Status) -> Table:
    """How each part is."""
    table = Table(title=f"Local cloud: {status.state}, {_age(status.since_ms)}", title_justify="left")
    for column in ("part", "state", "pid", "detail"):
        table.add_column(column, overflow="fold")
    for name, part in status.parts.items():
        colour = COLOURS.get(part.state, "")
        table.add_row(
            name,
            f"[{colour}]{part.state}[/]" if colour else part.state,
            str(part.pid or ""),
            escape(part.detail),
        )
    return table


def counters(status: Status) -> Table:
    """What has passed so far."""
    table = Table(show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in sorted(status.counters.items()):
        if not name.startswith(PREFIX):
            table.add_row(name, f"{value:,}")
    table.add_row("stream lag", f"{status.iterator_age_ms / 1000:.1f} s")
    return table


def faults(counters: Mapping[str, int]) -> Table | None:
    """What was injected so far, None when nothing was."""
    if not any(name.startswith(PREFIX) for name in counters):
        return None
    table = Table(title="Faults injected", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for meaning, count in injected(counters).items():
        table.add_row(meaning, f"{count:,}", style="" if count else "dim")
    return table


def _age(since_ms: int) -> str:
    seconds = max(0, int(time.time() - since_ms / 1000))
    if seconds < 120:
        return f"for {seconds} s"
    return f"for {seconds // 60} min"
