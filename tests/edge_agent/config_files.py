"""The example configurations, and what is said of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.config import Config, ConfigError
from edge_agent.config_load import load

FOLDER = Path(__file__).parent.parent / "config"


def problems(path: Path, environment: dict[str, str] | None = None, flags: tuple[str, ...] = ()) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path, environment or {}, flags, with_files=False)
    return list(caught.value.problems)


def good(environment: dict[str, str] | None = None, flags: tuple[str, ...] = ()) -> Config:
    return load(FOLDER / "good.toml", environment or {}, flags, with_files=False)
