"""The runtime with real awslambdaric processes and small handlers."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from infrastructure.local.function.runtime import LambdaRuntime, NotInvokedError, Outcome, RuntimeSetupError
from infrastructure.local.state import Counters
from tests.infrastructure.parts import eventually, gone
from tests.infrastructure.runtime_bench import HANDLER, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    for runtime in made.runtimes:
        runtime.stop()


def test_the_handler_gets_the_event_and_its_answer_comes_back(bench: Bench) -> None:
    """A process is started once and kept: later invocations find its memory."""
    runtime = bench.runtime()
    first, second = runtime.invoke({"link": "é1"}), runtime.invoke({})
    assert (first.outcome, first.payload["event"]) == (Outcome.SUCCESS, {"link": "é1"})
    assert (first.payload["calls"], second.payload["calls"]) == (1, 2)
    assert [second.payload["pid"]] == runtime.pids


def test_the_context_is_lambdas(bench: Bench) -> None:
    """Time left, ARN, name, memory and request id are there as on AWS."""
    runtime = bench.runtime(timeout_s=15.0, function_name="ingest", memory_mb=256)
    result = runtime.invoke({"do": "context"})
    assert 10_000 < result.payload.pop("left") <= 15_000
    assert result.payload == {
        "arn": "arn:aws:lambda:us-east-1:000000000000:function:ingest",
        "name": "ingest",
        "memory": "256",
        "request": result.request_id,
    }


def test_an_exception_is_an_error_with_type_and_message(bench: Bench) -> None:
    """The process survives an exception of the handler."""
    runtime = bench.runtime()
    pids = runtime.pids
    result = runtime.invoke({"do": "raise"})
    assert (result.outcome, result.error_type, result.message) == (
        Outcome.ERROR,
        "ValueError",
        "no such link",
    )
    assert runtime.invoke({}).succeeded
    assert runtime.pids == pids


def test_the_time_limit_kills_and_the_next_invocation_has_a_new_process(bench: Bench) -> None:
    """A handler that does not return is ended at the limit, and only that invocation suffers."""
    runtime = bench.runtime(timeout_s=0.3)
    (pid,) = runtime.pids
    result = runtime.invoke({"do": "sleep", "seconds": 600})
    assert (result.outcome, result.error_type) == (Outcome.TIMED_OUT, "Sandbox.Timedout")
    assert result.message == "Task timed out after 0.30 seconds"
    assert not psutil.pid_exists(pid)
    runtime._timeout_s = 20.0
    assert runtime.invoke({}).payload["calls"] == 1


def test_the_start_of_the_process_does_not_count_against_the_time_limit(bench: Bench) -> None:
    """Imports belong to the init phase, which has its own limit."""
    runtime = bench.runtime("import time\ntime.sleep(0.6)\n" + HANDLER, timeout_s=0.5)
    assert runtime.invoke({}).succeeded


def test_a_process_that_dies_is_a_crash_and_is_replaced(bench: Bench) -> None:
    """Without an answer the invocation has failed, in Lambda's words."""
    runtime = bench.runtime()
    result = runtime.invoke({"do": "exit"})
    assert (result.outcome, result.error_type) == (Outcome.CRASHED, "Runtime.ExitError")
    assert result.message == "Runtime exited with error: exit status 3"
    assert runtime.invoke({}).payload["calls"] == 1


def test_an_idle_process_that_was_killed_is_replaced_unnoticed(bench: Bench) -> None:
    """Its death concerns no event, so the next one is not failed for it."""
    runtime = bench.runtime()
    pid = runtime.invoke({}).payload["pid"]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: gone(pid))
    result = runtime.invoke({})
    assert (result.outcome, result.payload["calls"]) == (Outcome.SUCCESS, 1)


def test_what_a_function_started_ends_with_it(bench: Bench) -> None:
    """A process that the handler left behind does not outlive the runtime."""
    runtime = bench.runtime()
    orphan = runtime.invoke({"do": "fork"}).payload
    assert psutil.pid_exists(orphan)
    runtime.stop()
    eventually(lambda: gone(orphan))


@pytest.mark.parametrize(
    ("source", "error_type", "message"),
    [
        ("import nowhere", "Runtime.ImportModuleError", "No module named 'nowhere'"),
        ("def handler(", "Runtime.UserCodeSyntaxError", "Syntax error in module 'app'"),
        ("other = 1", "Runtime.HandlerNotFound", "Handler 'handler' missing on module 'app'"),
        ("raise KeyError('READINGS_TABLE')", "KeyError", "READINGS_TABLE"),
    ],
)
def test_code_that_cannot_be_loaded_is_an_error_each_time(
    bench: Bench, source: str, error_type: str, message: str
) -> None:
    """The reason of a failed start is the answer to every invocation, and repairs are picked up."""
    runtime = bench.runtime(source)
    for _ in range(2):
        result = runtime.invoke({})
        assert (result.outcome, result.error_type) == (Outcome.ERROR, error_type)
        assert message in result.message
    (bench.code / "app.py").write_text("def handler(event, context): return 1")
    assert runtime.invoke({}).payload == 1


def test_an_answer_that_is_not_json_is_an_error(bench: Bench) -> None:
    """The runtime's own marshal error comes through."""
    result = bench.runtime().invoke({"do": "unserializable"})
    assert (result.outcome, result.error_type) == (Outcome.ERROR, "Runtime.MarshalError")


def test_an_answer_beyond_6_mb_is_an_error(bench: Bench) -> None:
    """ "Invocation payload (request and response): 6 MB each for request and response (synchronous)"
    (Lambda quotas)."""
    runtime = bench.runtime()
    assert len(runtime.invoke({"do": "large", "size": 6_000_000}).payload) == 6_000_000
    result = runtime.invoke({"do": "large", "size": 6_300_000})
    assert (result.outcome, result.error_type) == (Outcome.ERROR, "Function.ResponseSizeTooLarge")
    assert runtime.invoke({}).succeeded


def test_an_event_of_6_mb_arrives_whole(bench: Bench) -> None:
    """Nothing is cut on the way in."""
    result = bench.runtime("def handler(event, context): return len(event['x'])").invoke(
        {"x": "y" * 6_000_000}
    )
    assert result.payload == 6_000_000


def test_workers_run_at_the_same_time(bench: Bench) -> None:
    """Each worker has its own process; a further invocation waits for a free one."""
    runtime = bench.runtime(workers=2)
    gate = bench.code / "gate"
    source = bench.code / "app.py"
    source.write_text(
        "import os, time\n"
        "def handler(event, context):\n"
        "    open(f'in-{os.getpid()}', 'w').close()\n"
        "    while not os.path.exists('gate'): time.sleep(0.01)\n"
        "    return os.getpid()\n"
    )
    runtime.stop()
    runtime.start()
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(runtime.invoke({}))) for _ in range(3)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(list(bench.code.glob("in-*"))) == 2)
    gate.touch()
    for thread in threads:
        thread.join(30.0)
    assert len(results) == 3
    assert len({result.payload for result in results}) == 2


def test_after_a_stop_nothing_runs_and_nothing_is_invoked(bench: Bench) -> None:
    """An event that comes too late has not reached the function, which is no failure of it."""
    runtime = bench.runtime(workers=2)
    pids = runtime.pids
    runtime.invoke({})
    runtime.stop()
    assert not any(psutil.pid_exists(pid) for pid in pids)
    with pytest.raises(NotInvokedError):
        runtime.invoke({})


def test_a_stop_ends_an_invocation_under_way(bench: Bench) -> None:
    """Whoever waits for it learns that the process has ended."""
    runtime = bench.runtime()
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(runtime.invoke({"do": "sleep", "seconds": 600})))
    thread.start()
    eventually(lambda: runtime._idle.empty())
    eventually(lambda: bench.log.exists() and b"loaded" in bench.log.read_bytes())
    time.sleep(0.2)
    runtime.stop()
    thread.join(30.0)
    assert [result.outcome for result in results] == [Outcome.CRASHED]


def test_a_package_that_was_not_built_says_what_to_do(tmp_path: Path) -> None:
    """A user's mistake: one line, with the command."""
    runtime = LambdaRuntime(tmp_path, "cloud.ingest.handler", {}, 1.0, tmp_path / "log", Counters())
    with pytest.raises(
        RuntimeSetupError, match=r"cloud\.ingest\.handler is not in .*infrastructure\.package"
    ):
        runtime.start()


# Output and metrics


def test_output_and_errors_are_in_the_log(bench: Bench) -> None:
    """What is printed, what is raised and what was killed can be read in one file."""
    runtime = bench.runtime(timeout_s=5.0)
    runtime.invoke({"do": "print", "text": "hello"})
    runtime.invoke({"do": "raise"})
    runtime.invoke({"do": "exit"})
    runtime.stop()
    lines = bench.log.read_text().splitlines()
    assert "hello" in lines
    assert "[ERROR] ValueError: no such link" in lines
    assert any(line.endswith("Error: Runtime exited with error: exit status 3") for line in lines)


def _metrics(**values: Any) -> dict[str, Any]:
    names = [{"Name": name, "Unit": "Count"} for name in values]
    directive = {"Namespace": "Linkpulse", "Dimensions": [["Stage"]], "Metrics": names}
    return {"_aws": {"Timestamp": 1, "CloudWatchMetrics": [directive]}, "Stage": "local", **values}


def test_embedded_metrics_are_summed(bench: Bench) -> None:
    """Each metric of a line in embedded metric format adds to its counter; other lines do not."""
    runtime = bench.runtime()
    runtime.invoke({"do": "print", "text": json.dumps(_metrics(Batches=2, Readings=120))})
    runtime.invoke({"do": "print", "text": json.dumps(_metrics(Batches=1, Readings=[30, 30]))})
    runtime.invoke({"do": "print", "text": json.dumps({"Batches": 7})})
    runtime.stop()
    assert bench.counters.snapshot() == {"metric.Batches": 3, "metric.Readings": 180}
