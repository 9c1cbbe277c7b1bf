"""What the parts of the local cloud share about themselves: counters, and the files of the state folder."""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

DEFAULT_FOLDER = ".local-cloud"
REGION = "us-east-1"


class Counters:
    """Named integers that any thread may add to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: Counter[str] = Counter()

    def add(self, name: str, n: int = 1) -> None:
        """Add n to the counter, which starts at 0."""
        with self._lock:
            self._values[name] += n

    def snapshot(self) -> dict[str, int]:
        """A copy of all counters at one instant."""
        with self._lock:
            return dict(self._values)


@dataclass(frozen=True, slots=True)
class StateFolder:
    """Where one local cloud keeps everything it writes."""

    path: Path

    @classmethod
    def chosen(cls, given: str | None, environment: Mapping[str, str]) -> StateFolder:
        """The folder given on the command line, else $LINKPULSE_STATE, else .local-cloud here."""
        return cls(Path(given or environment.get("LINKPULSE_STATE") or DEFAULT_FOLDER).absolute())

    @property
    def connection(self) -> Path:
        """How clients reach this cloud."""
        return self.path / "connection.json"

    @property
    def status(self) -> Path:
        """How the parts are, rewritten every second."""
        return self.path / "status.json"

    @property
    def processes(self) -> Path:
        """Which processes belong to this cloud, with the time each was created."""
        return self.path / "processes.json"

    @property
    def lock(self) -> Path:
        """Held by the one supervisor of this folder for as long as it lives."""
        return self.path / "lock"

    @property
    def logs(self) -> Path:
        """One file for each part."""
        return self.path / "logs"

    @property
    def certificates(self) -> Path:
        """The broker's certificates and keys."""
        return self.path / "certificates"

    @property
    def truth(self) -> Path:
        """What agents and simulators say they have generated, for the audit."""
        return self.path / "truth"

    def log(self, part: str) -> Path:
        """The log file of a part."""
        return self.logs / f"{part}.log"

    def create(self) -> None:
        """Make the folders; keys lie in them, so they are the owner's alone."""
        for folder in (self.path, self.logs, self.certificates, self.truth):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)


@dataclass(frozen=True, slots=True)
class Connection:
    """How a client reaches a running local cloud; the form of connection.json."""

    endpoint_url: str
    region: str
    access_key_id: str
    secret_access_key: str
    stack: str
    mqtt_endpoint: str
    mqtt_port: int
    ca: str
    """Path of the CA certificate that signed the broker's certificate."""
    iot_data_url: str = ""
    """Where AWS IoT Data's Publish is answered."""


@dataclass(frozen=True, slots=True)
class PartStatus:
    """One part as last seen."""

    pid: int | None
    state: str
    """starting, running, failed or stopped."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """The whole cloud as last seen; the form of status.json."""

    state: str
    """starting, running, failed or stopping."""
    since_ms: int
    """When it entered this state, ms since 1970."""
    parts: Mapping[str, PartStatus] = field(default_factory=dict)
    counters: Mapping[str, int] = field(default_factory=dict)
    iterator_age_ms: int = 0
    notes: tuple[str, ...] = ()
    """What the operator should know, such as entries of differences.toml that no longer differ."""


def write_json(path: Path, value: Connection | Status | list[dict[str, Any]]) -> None:
    """Replace the file in one step, so that a reader never sees half of it; only the owner may read it."""
    form = value if isinstance(value, list) else asdict(value)
    draft = path.with_name(f"{path.name}.{os.getpid()}.part")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(form, file, indent=1)
    draft.replace(path)


def read_connection(folder: StateFolder) -> Connection | None:
    """The connection of the cloud in this folder, None when there is none or none that can be read."""
    try:
        return Connection(**_read(folder.connection))
    except TypeError:
        return None


def read_status(folder: StateFolder) -> Status | None:
    """The last status written into this folder, None when there is none or none that can be read."""
    form = _read(folder.status)
    try:
        parts = {name: PartStatus(**part) for name, part in form.pop("parts").items()}
        return Status(**(form | {"parts": parts, "notes": tuple(form.get("notes", ()))}))
    except (KeyError, TypeError, AttributeError):
        return None


def _read(path: Path) -> dict[str, Any]:
    try:
        form = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return form if isinstance(form, dict) else {}
