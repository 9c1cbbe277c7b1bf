"""How the local cloud is put together: which part is made of what, and in which order."""

from __future__ import annotations

import base64
import datetime
import io
import logging
import os
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from infrastructure import package
from infrastructure.local import engine
from infrastructure.local.deployment import deploy, differences, template
from infrastructure.local.deployment.intrinsics import TemplateError
from infrastructure.local.function.runtime import LambdaRuntime, RuntimeSetupError
from infrastructure.local.iot import broker, certificates, policy
from infrastructure.local.iot.bridge import Bridge, BridgeError, Source
from infrastructure.local.iot.rule import RuleError
from infrastructure.local.mapping.mapping import EventSourceMapping, MappingError, MappingSettings
from infrastructure.local.part import OwnPart, Part, ProcessPart
from infrastructure.local.process import free_port, is_alive
from infrastructure.local.state import REGION, Connection, Counters, StateFolder

log = logging.getLogger(__name__)

STARTUP_ERRORS = (
    BotoCoreError,
    BridgeError,
    ClientError,
    MappingError,
    OSError,
    RuleError,
    RuntimeSetupError,
    TemplateError,
    broker.BrokerError,
    deploy.DeployError,
    differences.DifferencesError,
    engine.EngineError,
    package.PackageError,
    policy.PolicyError,
)
"""What can be wrong when a part starts, each with a message for the operator."""
PORT_ATTEMPTS = 3
"""A free port can be taken by another process before ours binds it."""
STOP_MAPPING_S = 5.0
ENGINE_GRACE_S = 0.5
"""It would wait for idle connections to close; all it has is in memory and goes with it."""
MAX_WORKERS = 4
"""Processes of the function, some 40 MB each."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the operator chose; a port of 0 means a free one."""

    engine_port: int
    mqtt_port: int
    parameters: Mapping[str, str]


class Assembly:
    """The parts of one local cloud, in the making and made."""

    def __init__(self, state: StateFolder, options: Options, counters: Counters) -> None:
        self.parts: dict[str, Part] = {}
        self.notes: tuple[str, ...] = ()
        self._state = state
        self._options = options
        self._counters = counters
        self._mapping: EventSourceMapping | None = None

    def steps(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """What to do, in order, each under the name of the part that it makes."""
        yield "engine", self._start_engine
        yield "deployment", self._deploy
        yield "broker", self._start_broker
        yield "function", self._start_function
        yield "mapping", self._start_mapping
        yield "bridge", self._start_bridge

    def iterator_age_ms(self) -> int:
        """How old the oldest record is that the function has not been given."""
        return self._mapping.iterator_age_ms() if self._mapping else 0

    def stop(self) -> None:
        """End the parts, the last one first."""
        for name, each in reversed(self.parts.items()):
            log.info("stopping %s", name)
            each.stop()

    # --- engine and deployment ----------------------------------------------------------------

    def _start_engine(self) -> None:
        self._on_free_port(self._options.engine_port, self._try_engine)

    def _try_engine(self, port: int) -> None:
        child = engine.start(port, self._state)
        self.parts["engine"] = ProcessPart(child, port, ENGINE_GRACE_S)
        self._endpoint = f"http://127.0.0.1:{port}"
        # Making the clients takes as long as the engine takes to start.
        self._clients = engine.connect(self._endpoint)
        engine.wait_ready(self._endpoint, child.failure)

    def _deploy(self) -> None:
        self._plan = deploy.plan(deploy.TEMPLATE, self._options.parameters, self._build())
        self._deployment = deploy.deploy(self._clients, self._plan, differences.load())
        self.notes = tuple(f"differences.toml: {each} no longer differs" for each in self._deployment.stale)

    def _build(self) -> dict[Path, bytes]:
        """Build the function's package in our own folder, so that no other build can change it under us."""
        built = package.build(self._state.path / "build")
        return {package.BUILD / built.folder.name: built.archive.read_bytes()}

    # --- from the gateways to the stream ------------------------------------------------------

    def _start_broker(self) -> None:
        outputs = self._deployment.outputs
        now = datetime.datetime.now(datetime.UTC)
        device_ca = engine.device_ca(self._endpoint)
        files = certificates.write_broker_files(self._state.certificates, device_ca, now)
        document = self._clients.iot.get_policy(policyName=outputs["PolicyName"])["policyDocument"]
        rights = policy.translate(document, REGION, engine.ACCOUNT)

        def attempt(port: int) -> None:
            child = broker.start(port, files, rights, self._state)
            self.parts["broker"] = ProcessPart(child, port)
            broker.wait_ready(port, files, child.failure)

        port = self._on_free_port(self._options.mqtt_port, attempt)
        self._source = Source(port, files, outputs["RuleName"], outputs["PolicyName"], rights)
        self.connection = Connection(
            endpoint_url=self._endpoint,
            region=REGION,
            access_key_id=engine.ACCESS_KEY_ID,
            secret_access_key=engine.SECRET_ACCESS_KEY,
            stack=self._deployment.stack,
            mqtt_endpoint="127.0.0.1",
            mqtt_port=port,
            ca=str(files.ca),
        )

    def _start_bridge(self) -> None:
        bridge = Bridge(self._clients, self._source, self._counters, lambda: time.time_ns() // 1_000_000)
        self.parts["bridge"] = OwnPart(bridge.failure, bridge.detail, bridge.stop)
        bridge.start()

    # --- from the stream to the tables --------------------------------------------------------

    def _start_function(self) -> None:
        self._settings = self._mapping_settings()
        deployed = self._clients.lambda_.get_function_configuration(FunctionName=self._settings.function_arn)
        variables = deployed.get("Environment", {}).get("Variables", {})
        runtime = LambdaRuntime(
            self._unpack(deployed["CodeSha256"]),
            deployed["Handler"],
            variables | self._access(),
            float(deployed["Timeout"]),
            self._state.log("function"),
            self._counters,
            self._workers(),
            function_name=deployed["FunctionName"],
            function_arn=deployed["FunctionArn"],
            memory_mb=deployed["MemorySize"],
            scratch=self._scratch(),
        )
        runtime.start()
        self._runtime = runtime
        self.parts["function"] = OwnPart(
            lambda: "",
            lambda: _workers_detail(runtime),
            runtime.stop,
            lambda: next(iter(runtime.pids), os.getpid()),
        )

    def _start_mapping(self) -> None:
        mapping = EventSourceMapping(
            self._clients.kinesis, self._clients.s3, self._settings, self._runtime, self._counters
        )
        mapping.start()
        self._mapping = mapping
        self.parts["mapping"] = OwnPart(
            lambda: "" if mapping.alive else "one of its threads has ended; see its log",
            lambda: f"{mapping.outstanding()} records in hand",
            lambda: mapping.stop(STOP_MAPPING_S),
        )

    def _mapping_settings(self) -> MappingSettings:
        names = [name for name, kind in self._plan.types.items() if kind == deploy.MAPPING]
        if len(names) != 1:
            raise MappingError(f"the template has {len(names)} event source mappings, not 1")
        uuid = self._deployment.physical_ids[names[0]]
        return MappingSettings.from_description(
            dict(self._clients.lambda_.get_event_source_mapping(UUID=uuid))
        )

    def _unpack(self, code_sha256: str) -> Path:
        """A folder with exactly the code that the function was deployed with."""
        key = base64.b64decode(code_sha256).hex()
        content = self._clients.s3.get_object(Bucket=template.ARTIFACTS, Key=key)["Body"].read()
        folder = self._state.path / "function"
        shutil.rmtree(folder, ignore_errors=True)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            archive.extractall(folder)
        return folder

    def _scratch(self) -> Path:
        """A folder of ours, empty: whoever is killed leaves nothing that the next one does not clear."""
        folder = self._state.path / "layer"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    def _access(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self._endpoint,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": engine.ACCESS_KEY_ID,
            "AWS_SECRET_ACCESS_KEY": engine.SECRET_ACCESS_KEY,
        }

    def _workers(self) -> int:
        """Lambda runs as many at a time as there are shards times the parallelisation factor."""
        name = self._settings.stream_name
        shards = self._clients.kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
        return min(MAX_WORKERS, shards["OpenShardCount"] * self._settings.parallelization_factor)

    def _on_free_port(self, chosen: int, attempt: Callable[[int], None]) -> int:
        """Try on the chosen port, or on free ones until one is not taken in the meantime."""
        for remaining in reversed(range(1 if chosen else PORT_ATTEMPTS)):
            port = chosen or free_port()
            try:
                attempt(port)
            except (engine.EngineError, broker.BrokerError) as exc:
                if not remaining or "already in use" not in str(exc).lower():
                    raise
                log.warning("port %d was taken in the meantime: %s", port, exc)
            else:
                break
        return port


def _workers_detail(runtime: LambdaRuntime) -> str:
    """How many processes the function has; one that has ended is replaced when the next event comes."""
    pids = runtime.pids
    ended = [pid for pid in pids if not is_alive(pid)]
    lost = f", {len(ended)} ended: replaced with the next event" if ended else ""
    return f"{len(pids)} process{'es' if len(pids) > 1 else ''}{lost}"
