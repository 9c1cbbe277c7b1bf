"""What a local cloud says of its parts."""

from __future__ import annotations

import json
from typing import Any

from infrastructure.local.process import read_marks
from tests.infrastructure.parts import LocalCloud

PARTS = ["engine", "broker", "function", "mapping", "bridge", "data-plane", "rollup"]


def status(cloud: LocalCloud) -> dict[str, Any]:
    found = json.loads(cloud.run("status", "--json").stdout)
    assert isinstance(found, dict)
    return found


def part_pid(cloud: LocalCloud, name: str) -> int:
    return int(status(cloud)["parts"][name]["pid"])


def pids(cloud: LocalCloud) -> list[int]:
    return [mark.pid for mark in read_marks(cloud.state.processes)]
