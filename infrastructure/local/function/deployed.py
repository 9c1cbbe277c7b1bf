"""Runs a function as it is deployed: its code, handler, variables and limits come from the engine."""

from __future__ import annotations

import base64
import io
import os
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

from infrastructure.local import engine
from infrastructure.local.deployment import template
from infrastructure.local.engine import Clients
from infrastructure.local.function.runtime import Interruptions, LambdaRuntime
from infrastructure.local.part import OwnPart
from infrastructure.local.process import is_alive
from infrastructure.local.state import REGION, Counters, StateFolder


@dataclass(frozen=True, slots=True)
class Host:
    """What every function of one local cloud is run with."""

    clients: Clients
    state: StateFolder
    counters: Counters
    endpoint: str
    """URL of the engine, for the functions' own clients."""
    iot_data: str = ""
    """URL of AWS IoT Data, where it is another one."""
    dynamodb: str = ""
    """URL of DynamoDB, where it is another one."""
    interruptions: Interruptions | None = None

    def runtime(self, function: str, part: str, workers: int) -> LambdaRuntime:
        """The runtime of a deployed function (name or ARN), not yet started; files and log are the part's."""
        deployed = self.clients.lambda_.get_function_configuration(FunctionName=function)
        return LambdaRuntime(
            self._unpack(deployed["CodeSha256"], part),
            deployed["Handler"],
            deployed.get("Environment", {}).get("Variables", {}) | self._access(),
            float(deployed["Timeout"]),
            self.state.log(part),
            self.counters,
            workers,
            function_name=deployed["FunctionName"],
            function_arn=deployed["FunctionArn"],
            memory_mb=deployed["MemorySize"],
            scratch=self._scratch(part),
            interruptions=self.interruptions,
        )

    def _unpack(self, code_sha256: str, part: str) -> Path:
        """A folder with exactly the code that the function was deployed with."""
        key = base64.b64decode(code_sha256).hex()
        content = self.clients.s3.get_object(Bucket=template.ARTIFACTS, Key=key)["Body"].read()
        folder = self.state.path / part
        shutil.rmtree(folder, ignore_errors=True)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            archive.extractall(folder)
        return folder

    def _scratch(self, part: str) -> Path:
        """A folder of ours, empty: whoever is killed leaves nothing that the next one does not clear."""
        folder = self.state.path / f"{part}-layer"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    def _access(self) -> dict[str, str]:
        # AWS SDKs and tools reference guide, "Service-specific endpoints".
        own = {"IOT_DATA_PLANE": self.iot_data, "DYNAMODB": self.dynamodb}
        return {f"AWS_ENDPOINT_URL_{service}": url for service, url in own.items() if url} | {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": engine.ACCESS_KEY_ID,
            "AWS_SECRET_ACCESS_KEY": engine.SECRET_ACCESS_KEY,
        }


def as_part(runtime: LambdaRuntime) -> OwnPart:
    """The runtime as the supervisor knows it."""
    return OwnPart(
        lambda: "",
        lambda: workers_detail(runtime),
        runtime.stop,
        lambda: next(iter(runtime.pids), os.getpid()),
    )


def workers_detail(runtime: LambdaRuntime) -> str:
    """How many processes the function has; one that has ended is replaced when the next event comes."""
    pids = runtime.pids
    ended = [pid for pid in pids if not is_alive(pid)]
    lost = f", {len(ended)} ended: replaced with the next event" if ended else ""
    return f"{len(pids)} process{'es' if len(pids) > 1 else ''}{lost}"
