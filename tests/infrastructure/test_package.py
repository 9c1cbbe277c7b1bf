"""The ingest function's package: complete, explicit, small, and the same for the same sources."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import boto3
import pytest

from infrastructure.package import FILES, HANDLERS, PackageError, build, table
from tests.translated import of_type, written

PROBE = """
import importlib, os, sys
folder, packages = sys.argv[1:3]
sys.path[:0] = [folder, packages]
for name, value in {"AWS_DEFAULT_REGION": "eu-west-1"}.items():
    os.environ[name] = value
module, _, function = sys.argv[3].rpartition(".")
assert callable(getattr(importlib.import_module(module), function))
assert not {"rich", "cryptography", "paho", "psutil"} & set(sys.modules)
for name, module in sorted(sys.modules.items()):
    if name.split(".")[0] in ("cloud", "edge_agent", "simulator", "infrastructure"):
        print(os.path.relpath(module.__file__, folder))
"""


def reached(folder: Path, handler: str) -> set[str]:
    """Files of the folder that a handler imports, with nothing else but boto3 at hand."""
    packages = str(Path(boto3.__file__).parent.parent)
    command = [sys.executable, "-I", "-B", "-c", PROBE, str(folder), packages, handler]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_the_folder_alone_imports_every_handler_and_every_file_of_it_is_needed(tmp_path: Path) -> None:
    folder = build(tmp_path).folder
    assert sorted(set().union(*(reached(folder, each) for each in HANDLERS))) == sorted(FILES)


def test_the_template_runs_the_handlers_that_the_package_is_made_for() -> None:
    functions = of_type(written(), "AWS::Serverless::Function").values()
    assert sorted(each["Properties"]["Handler"] for each in functions) == sorted(HANDLERS)


def test_the_archive_holds_just_the_listed_sources_and_nothing_compiled(tmp_path: Path) -> None:
    package = build(tmp_path)
    with zipfile.ZipFile(package.archive) as archive:
        assert archive.namelist() == sorted(FILES)
        assert all(name.endswith(".py") for name in archive.namelist())
        for name in archive.namelist():
            assert archive.read(name) == (package.folder / name).read_bytes()


def test_equal_sources_give_an_equal_archive(tmp_path: Path) -> None:
    first = build(tmp_path / "a").archive.read_bytes()
    assert build(tmp_path / "b").archive.read_bytes() == first


def test_what_does_not_belong_is_removed_and_what_is_right_is_left_alone(tmp_path: Path) -> None:
    folder = build(tmp_path).folder
    (folder / "cloud" / "__pycache__").mkdir()
    (folder / "cloud" / "__pycache__" / "ingest.pyc").write_bytes(b"x")
    (folder / "stray.py").write_text("")
    (folder / "cloud" / "keys.py").write_text("changed")
    before = (folder / "cloud" / "ingest.py").stat().st_mtime_ns
    build(tmp_path)
    assert sorted(each.relative_to(folder).as_posix() for each in folder.rglob("*.py*")) == sorted(FILES)
    assert not (folder / "cloud" / "__pycache__").exists()
    assert (folder / "cloud" / "keys.py").read_text() != "changed"
    assert (folder / "cloud" / "ingest.py").stat().st_mtime_ns == before


def test_a_package_over_its_budget_is_an_error_with_both_sizes(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="more than the budget of 100 B"):
        build(tmp_path, budget=100)


def test_a_listed_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match=r"not there: cloud/nothing\.py"):
        build(tmp_path, files=(*FILES, "cloud/nothing.py"))


def test_the_table_names_every_file_and_the_archive(tmp_path: Path) -> None:
    said = table(build(tmp_path))
    assert all(name in said for name in (*FILES, "lambda.zip"))
