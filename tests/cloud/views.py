"""linkview on the test stack."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cloud import __main__ as linkview

STACK = "linkpulse-test"


class View:
    """linkview on the test stack."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        code = linkview.main([*arguments, "--stack", STACK])
        said = self._capsys.readouterr()
        return code, said.out, said.err

    def json(self, *arguments: str) -> Any:
        code, out, _ = self(*arguments, "--json")
        assert code == 0
        return json.loads(out)
