"""What the audit takes for the truth, and what it shares with the code that it checks: nothing."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

import pytest

from cloud.audit_compare import Tables, TruthError, compare, truth
from cloud.audit_ledger import Ledger
from tests.cloud.audit_scene import batch, lines, two_gateways


def test_truth_lines_become_rows_with_the_content_that_the_wire_gives(tmp_path: Path) -> None:
    scene = two_gateways()
    file = tmp_path / "run.jsonl"
    file.write_bytes(lines(*scene.batches))
    ledger = Ledger()
    ledger.add_generated(truth([file]))
    assert compare(ledger, Tables(scene.table)).exact


def test_a_line_that_was_cut_off_is_told_and_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "run.jsonl"
    file.write_bytes(lines(batch("gw", 0))[:-5])
    assert len(list(truth([file]))) == 5
    assert capsys.readouterr().err == f"{file}:6: cut off, ignored\n"


READING = json.loads(lines(batch("gw", 0)).splitlines()[0])


@pytest.mark.parametrize(
    "line",
    [
        "{}",
        "[]",
        "no json",
        "[" * 100_000,
        '{"gateway":"g","link":"l","kind":"tea","at_ms":1}',
        json.dumps(READING | {"at_ms": 1 << 63}),
        json.dumps(READING | {"at_ms": "now"}),
        json.dumps(READING | {"link": {}}),
        json.dumps(READING | {"link": "\ud800"}),
    ],
    ids=lambda line: line[:40],
)
def test_a_line_that_is_no_reading_is_named_by_file_and_number(tmp_path: Path, line: str) -> None:
    file = tmp_path / "run.jsonl"
    file.write_bytes(lines(batch("gw", 0, 1)) + line.encode() + b"\n")
    with pytest.raises(TruthError, match=r"run\.jsonl:2: "):
        list(truth([file]))


# --- independence ---------------------------------------------------------------------------------

READERS = {"keys", "latest", "rollup_cursor", "rollup_item", "gaps_item", "snapshot"}
"""Latest states, rollups, gaps and the graph are read as everybody reads them; chunks by our own reader."""
TYPES = {"Latest", "Series", "Rollup", "RollupError", "Measure", "Summary", "Epoch", "Gaps"}
TYPES |= {"GapsError", "ContractError", "Edge", "Head", "SnapshotError"}
ALLOWED = {"boto3", "botocore", "rich", "mypy_boto3_dynamodb", "cloud.target"}


@pytest.mark.parametrize("module", sorted(Path("cloud").glob("audit*.py")), ids=lambda path: path.name)
def test_the_audit_shares_no_code_with_the_ingest_path(module: Path) -> None:
    for node in ast.walk(ast.parse(module.read_text())):
        names = (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [f"{node.module}" if node.level == 0 else "relative"]
            if isinstance(node, ast.ImportFrom)
            else []
        )
        imported = {alias.name for alias in node.names} if isinstance(node, ast.ImportFrom) else set()
        known = READERS if names == ["cloud"] else TYPES
        if imported and imported <= known:
            continue
        for name in names:
            root = name.partition(".")[0]
            allowed = root in sys.stdlib_module_names or {root, name} & ALLOWED
            assert allowed or name.startswith("cloud.audit"), f"{module.name} imports {name}"
