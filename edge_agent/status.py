"""What the agent says of its own state, in a file that `edge-agent status` reads: no secrets in it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from edge_agent.contract import KINDS, Flag, Outcome, Reading

VERSION = 1
NAME = "status.json"
WRITE_S = 10.0
RUNTIME_VARIABLE = "RUNTIME_DIRECTORY"
"""Where systemd tells a service its folder under /run (systemd.exec(5), RuntimeDirectory=)."""
MAX_BYTES = 1 << 22
"""A status file that is larger is none."""

T = TypeVar("T")


class StatusError(Exception):
    """The file cannot be read or holds no status."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong, and what to do about it."""

    what: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """How the readings leave."""

    state: str = "starting"
    """starting, delivering, held, refused or unreachable."""
    for_s: float | None = None
    """How long it has been so; None when nothing was tried yet."""
    why: str = ""
    published: int = 0
    acked: int = 0
    refused: int = 0
    failed: int = 0
    connects: int = 0
    resent: int = 0


@dataclass(frozen=True, slots=True)
class Held:
    """What the spool holds and what became of the readings."""

    path: str = ""
    is_open: bool = False
    trouble: str = ""
    """Why it takes nothing now."""
    in_memory: int = 0
    """Readings that are not on the disk yet."""
    unsealed: int = 0
    batches: int = 0
    waiting: int = 0
    """Readings that the cloud has not acknowledged."""
    used: int = 0
    """Bytes on the disk."""
    bound: int = 0
    oldest_s: float | None = None
    accepted: int = 0
    acked: int = 0
    dropped: Mapping[str, int] | None = None
    """Readings by reason (a name of contract.Loss, lower case)."""
    damaged: int = 0
    """Bytes that the disk gave back otherwise than written, found by this agent."""


@dataclass(frozen=True, slots=True)
class Meter:
    """What a metered interface has carried for the agent, and may."""

    interface: str
    hour: int
    day: int
    month: int
    month_limit: int
    lasts_s: float | None
    """None: to the end of the month."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The latest reading of a probe on a link."""

    reading: Reading
    age_s: float


@dataclass(frozen=True, slots=True)
class Status:
    """The agent as it was when this was written."""

    gateway: str
    pid: int
    boot: str
    since_boot_s: float
    """When it was written."""
    uptime_s: float
    written_ms: int
    clock_error_us: int | None
    """None while the clock is not believed."""
    delivery: Delivery
    spool: Held
    meters: tuple[Meter, ...] = ()
    seen: tuple[Seen, ...] = ()
    problems: tuple[Problem, ...] = ()
    is_stopped: bool = False
    """It ended on purpose after this."""


def describe(status: Status) -> dict[str, Any]:
    """The status as JSON values; a reading has only the columns that are not null."""
    plain = {each.name: getattr(status, each.name) for each in fields(status)}
    return plain | {
        "version": VERSION,
        "delivery": asdict(status.delivery),
        "spool": asdict(status.spool),
        "meters": [asdict(each) for each in status.meters],
        "problems": [asdict(each) for each in status.problems],
        "seen": [_describe_seen(each) for each in status.seen],
    }


def _describe_seen(seen: Seen) -> dict[str, Any]:
    reading = seen.reading
    names = (column.name for column in KINDS[reading.kind].columns)
    pairs = zip(names, reading.values, strict=True)
    return {
        "link": reading.link,
        "kind": reading.kind,
        "at_ms": reading.at_ms,
        "age_s": round(seen.age_s, 1),
        "flags": reading.flags.value,
        "outcome": reading.outcome.name.lower(),
        "columns": {name: value for name, value in pairs if value is not None},
    }


def write(path: Path, status: Status) -> None:
    """Replace the file at once, readable for everybody; raises OSError and leaves the old one then."""
    beside = path.with_name(f".{path.name}.new")
    text = json.dumps(describe(status), separators=(",", ":"))
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(beside, flags, 0o644), "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o644)  # whatever the umask is
            file.write(text)
        beside.replace(path)
    except OSError:
        with suppress(OSError):
            beside.unlink()
        raise


def read(path: Path) -> Status:
    """The status in the file; raises StatusError, and FileNotFoundError when there is none."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise
    except OSError as exc:
        raise StatusError(f"{path}: {exc.strerror}") from exc
    try:
        if len(data) > MAX_BYTES:
            raise ValueError("too long")
        return _status(json.loads(data))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
        raise StatusError(f"{path} holds no status: {exc}") from exc


def _status(given: Mapping[str, Any]) -> Status:
    if given["version"] != VERSION:
        raise ValueError(f"version {given['version']}, not {VERSION}: another edge-agent wrote it")
    plain = {each.name: given[each.name] for each in fields(Status)}
    return Status(
        **plain
        | {
            "delivery": _made(Delivery, given["delivery"]),
            "spool": _made(Held, given["spool"]),
            "meters": tuple(_made(Meter, each) for each in given["meters"]),
            "problems": tuple(_made(Problem, each) for each in given["problems"]),
            "seen": tuple(map(_seen, given["seen"])),
        }
    )


def _made(kind: type[T], given: Mapping[str, Any]) -> T:
    return kind(**given)


def _seen(given: Mapping[str, Any]) -> Seen:
    kind = KINDS[given["kind"]]
    values = tuple(given["columns"].get(column.name) for column in kind.columns)
    outcome = Outcome[given["outcome"].upper()]
    reading = Reading(given["link"], kind.name, given["at_ms"], values, Flag(given["flags"]), outcome)
    return Seen(reading, given["age_s"])


def place(environment: Mapping[str, str], spool: Path) -> Path:
    """Where an agent with this environment and spool writes its status."""
    runtime = environment.get(RUNTIME_VARIABLE, "").partition(":")[0]
    return Path(runtime) / NAME if runtime else spool.with_name(f"{spool.name}.{NAME}")
