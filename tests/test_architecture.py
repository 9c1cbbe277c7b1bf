"""The walls of the house: which way imports go, what is shipped, and how large anything may grow."""

import ast
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from infrastructure.package import FILES, HANDLERS, build

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "edge_agent": ("edge_agent",),
    "cloud": ("cloud", "edge_agent.contract"),
    "simulator": ("simulator", "edge_agent"),
    "infrastructure": ("infrastructure", "cloud", "edge_agent.contract"),
}
FOLDERS = {*MAY_IMPORT, "tests", "systemd", ".ci"}
TOP_FILES = {".gitignore", "LICENSE", "Makefile", "README.md", "pyproject.toml"}
MAX_LINES = 400
MAX_FUNCTION_LINES = 60
VAGUE_NAMES = {"utils", "util", "common", "helpers", "helper", "misc"}


def tracked() -> list[str]:
    """Every file of the repository, those that git does not know yet included."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return sorted(name for name in set(listed.splitlines()) if (ROOT / name).exists())


SHIPPED = [name for name in tracked() if name.endswith(".py") and name.split("/")[0] in MAY_IMPORT]


def tree(name: str) -> ast.Module:
    return ast.parse((ROOT / name).read_text(encoding="utf-8"), name)


def module_of(name: str) -> str:
    return name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imports(name: str) -> Iterator[str]:
    """Every module that a file names in an import, wherever in it; of ``from a import b`` also a.b."""
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}:{node.lineno}: imports are written in full"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_within(module: str, allowed: str) -> bool:
    return module == allowed or module.startswith(f"{allowed}.")


# --- imports --------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_imports_go_one_way(folder: str) -> None:
    wrong = []
    for name in SHIPPED:
        if not name.startswith(f"{folder}/"):
            continue
        ours = [module for module in imports(name) if module.split(".")[0] in (*MAY_IMPORT, "tests")]
        # `from edge_agent import contract` also names the package, which is empty (tested below).
        wrong += [
            f"{name} imports {module}"
            for module in ours
            if module != "edge_agent" and not any(is_within(module, each) for each in MAY_IMPORT[folder])
        ]
    assert not wrong


def test_the_agents_package_imports_nothing_by_itself() -> None:
    """It is shipped in the function's package, beside the contract alone."""
    assert [*imports("edge_agent/__init__.py")] == []


def test_the_contract_imports_the_standard_library_alone() -> None:
    parts = [name for name in SHIPPED if name.startswith("edge_agent/contract/")]
    named = {module for name in parts for module in imports(name)}
    foreign = {module for module in named if module.split(".")[0] not in sys.stdlib_module_names}

    assert parts
    assert not [module for module in foreign if not is_within(module, "edge_agent.contract")]


LIBRARIES = {
    "paho": ("edge_agent.mqtt_paho",),
    "awscrt": ("edge_agent.mqtt_aws",),
    "psutil": ("edge_agent.probes.host", "edge_agent.probes.interface"),
    "scapy": ("edge_agent.discovery",),
}
"""The modules of the agent that may import a library that is not Python's."""


def test_each_foreign_library_of_the_agent_is_behind_its_own_files() -> None:
    behind: dict[str, set[str]] = {}
    for name in SHIPPED:
        if name.startswith("edge_agent/"):
            for library in {module.split(".")[0] for module in imports(name)}:
                if library not in (*sys.stdlib_module_names, "edge_agent"):
                    library = "awscrt" if library == "awsiot" else library
                    behind.setdefault(library, set()).add(module_of(name))

    assert set(behind) <= set(LIBRARIES)
    wrong = {
        f"{module} imports {library}"
        for library, modules in behind.items()
        for module in modules
        if not any(is_within(module, each) for each in LIBRARIES[library])
    }
    assert not wrong


def loaded(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after a statement."""
    report = "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    code = f"{statement}\nimport json, sys\n{report}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_agent_starts_without_what_a_small_gateway_cannot_afford() -> None:
    """boto3 and scapy cost 20 to 50 MiB; rich is for people; the AWS client only where it is configured."""
    heavy = {"boto3", "botocore", "scapy", "rich", "awscrt", "awsiot", "cryptography", "yaml", "pytest"}

    assert not heavy & loaded("import edge_agent.__main__, edge_agent.agent, edge_agent.probes")


# --- the functions' package -----------------------------------------------------------------------


def test_the_package_holds_just_what_the_functions_reach() -> None:
    by_module = {module_of(name): name for name in SHIPPED}
    reached: set[str] = set()
    waiting = [handler.rpartition(".")[0] for handler in HANDLERS]
    while waiting:
        module = waiting.pop()
        name = by_module.get(module)
        if name is None or name in reached:
            continue
        reached.add(name)
        waiting += [module.rpartition(".")[0], *imports(name)]

    assert reached == set(FILES)


def test_the_archive_holds_the_listed_files_and_no_other(tmp_path: Path) -> None:
    with zipfile.ZipFile(build(tmp_path).archive) as archive:
        assert archive.namelist() == sorted(FILES)
        assert all(archive.read(name) == (ROOT / name).read_bytes() for name in FILES)


def test_the_package_is_enough_to_load_the_handler(tmp_path: Path) -> None:
    """An editable installation would fill a gap from the checkout: so no module may come from there."""
    folder = build(tmp_path).folder
    ours = "[m.__file__ for n, m in sys.modules.items() if n.split('.')[0] in ('cloud', 'edge_agent')]"
    load = f"sys.path.insert(0, {str(folder)!r})\nimport cloud.ingest, cloud.rollup"
    code = f"import json, sys\n{load}\nprint(json.dumps({ours}))"
    tables = ("READINGS_TABLE", "LATEST_TABLE", "REGISTRY_TABLE", "QUARANTINE_TABLE")
    environment = dict.fromkeys(tables, "table") | {"AWS_DEFAULT_REGION": "eu-central-1"}
    environment |= {"ALLOW_DIRECT": "false", "RETENTION_DAYS": "30", "STAGE": "test"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    loaded_from = [Path(name) for name in json.loads(done.stdout)]
    assert folder / "cloud" / "ingest.py" in loaded_from
    assert [path for path in loaded_from if not path.is_relative_to(folder)] == []


# --- shape ----------------------------------------------------------------------------------------


def test_the_top_level_holds_the_agreed_folders_and_files() -> None:
    names = tracked()
    assert {name.split("/")[0] for name in names if "/" in name} == FOLDERS
    assert {name for name in names if "/" not in name} == TOP_FILES


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert not [name for name in SHIPPED if VAGUE_NAMES & set(module_of(name).split("."))]


def test_no_file_is_too_long_to_read() -> None:
    lengths = {name: len((ROOT / name).read_text(encoding="utf-8").splitlines()) for name in SHIPPED}
    assert not {name: length for name, length in lengths.items() if length > MAX_LINES}


def test_no_function_is_too_long_to_grasp() -> None:
    long = []
    for name in SHIPPED:
        for node in ast.walk(tree(name)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > MAX_FUNCTION_LINES:
                    long.append(f"{name}:{node.lineno} {node.name} has {lines} lines")
    assert not long


def test_tests_use_real_parts_and_fakes_but_no_patches() -> None:
    tests = [name for name in tracked() if name.startswith("tests/") and name.endswith(".py")]
    assert not [name for name in tests if any(is_within(module, "unittest.mock") for module in imports(name))]
