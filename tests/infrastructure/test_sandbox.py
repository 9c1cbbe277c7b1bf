"""What a function can see and reach from its process, and how long that lives."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from infrastructure.local.function.layer import LayerError, build_layer
from infrastructure.local.function.runtime import LambdaRuntime
from infrastructure.local.process import tethered
from infrastructure.local.state import Counters
from tests.infrastructure.parts import eventually, gone

PATIENCE_S = 30.0
HANDLER = """
import os

def handler(event, context):
    if "import" in event:
        __import__(event["import"])
    return {"pid": os.getpid(), "environment": dict(os.environ)}
"""


class Bench:
    """A package folder and the runtimes made with it."""

    def __init__(self, folder: Path) -> None:
        self.code = folder / "package"
        self.code.mkdir()
        (self.code / "app.py").write_text(HANDLER)
        self._log = folder / "function.log"
        self.runtimes: list[LambdaRuntime] = []

    def runtime(self, environment: dict[str, str] | None = None) -> LambdaRuntime:
        runtime = LambdaRuntime(self.code, "app.handler", environment or {}, 20.0, self._log, Counters())
        self.runtimes.append(runtime)
        runtime.start()
        return runtime


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    for runtime in made.runtimes:
        runtime.stop()


@pytest.mark.parametrize("name", ["simulator", "infrastructure", "edge_agent", "cloud", "pytest", "rich"])
def test_only_the_package_and_the_runtimes_own_modules_can_be_imported(bench: Bench, name: str) -> None:
    """The project, installed here in editable form, and its other dependencies are as absent as on AWS."""
    result = bench.runtime().invoke({"import": name})
    assert (result.error_type, result.message) == ("ModuleNotFoundError", f"No module named '{name}'")


@pytest.mark.parametrize("name", ["boto3", "botocore", "dateutil", "urllib3", "jmespath"])
def test_boto3_comes_with_the_runtime(bench: Bench, name: str) -> None:
    """Lambda's Python runtimes include the SDK."""
    assert bench.runtime().invoke({"import": name}).succeeded


def test_a_module_missing_from_the_package_fails(bench: Bench) -> None:
    """A package of the same name as one of the project's is the only one that is looked into."""
    (bench.code / "cloud").mkdir()
    (bench.code / "cloud" / "__init__.py").touch()
    (bench.code / "cloud" / "keys.py").touch()
    runtime = bench.runtime()
    assert runtime.invoke({"import": "cloud.keys"}).succeeded
    result = runtime.invoke({"import": "cloud.queries"})
    assert (result.error_type, result.message) == ("ModuleNotFoundError", "No module named 'cloud.queries'")


def test_the_package_is_not_written_to(bench: Bench) -> None:
    """The folder that is uploaded stays as it was built: no byte code appears in it."""
    (bench.code / "keys.py").touch()
    bench.runtime().invoke({"import": "keys"})
    assert sorted(path.name for path in bench.code.iterdir()) == ["app.py", "keys.py"]


def test_nothing_of_the_callers_environment_is_passed_on(bench: Bench) -> None:
    """Real credentials never reach the function; what the template sets does, and wins."""
    os.environ["AWS_PROFILE"] = os.environ["PYTHONSTARTUP_MARK"] = "production"
    try:
        runtime = bench.runtime(environment={"READINGS_TABLE": "t", "AWS_REGION": "eu-west-1"})
        seen = runtime.invoke({}).payload["environment"]
    finally:
        del os.environ["AWS_PROFILE"], os.environ["PYTHONSTARTUP_MARK"]
    assert "AWS_PROFILE" not in seen
    assert "production" not in seen.values()
    assert (seen["READINGS_TABLE"], seen["AWS_REGION"]) == ("t", "eu-west-1")
    assert seen["AWS_SHARED_CREDENTIALS_FILE"] == "/dev/null"
    assert seen["AWS_LAMBDA_FUNCTION_NAME"] == "function"


def test_a_package_that_the_runtime_needs_and_is_missing_is_named(tmp_path: Path) -> None:
    """A user's mistake: one line, with the command."""
    with pytest.raises(LayerError, match=r"no-such-distribution is not installed; run pip install"):
        build_layer(tmp_path, ("no-such-distribution",))


@contextmanager
def _parent(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of its own that runs a function and then waits."""
    source = f"""
        import time
        from pathlib import Path
        from infrastructure.local.function.runtime import LambdaRuntime
        from infrastructure.local.state import Counters
        folder = Path({str(folder)!r})
        runtime = LambdaRuntime(folder, "app.handler", {{}}, 5.0, folder / "log", Counters())
        runtime.start()
        print(runtime.invoke({{}}).payload["pid"], flush=True)
        time.sleep(600)
    """
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "TMPDIR": str(folder)}
    command = tethered([sys.executable, "-c", textwrap.dedent(source)])
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
    with process:
        yield process
        process.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux ties a process to its parent")
def test_a_function_dies_with_its_parent(tmp_path: Path) -> None:
    """Not even a kill of the local cloud leaves a process behind."""
    (tmp_path / "app.py").write_text(HANDLER)
    with _parent(tmp_path) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert psutil.pid_exists(child)
        parent.kill()
        parent.wait()
        eventually(lambda: gone(child))
