"""How the local cloud is put together: which part is made of what, and in which order."""

from __future__ import annotations

import datetime
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from infrastructure import package
from infrastructure.local import engine
from infrastructure.local.deployment import deploy, differences
from infrastructure.local.deployment.intrinsics import TemplateError
from infrastructure.local.faults_injection import Injection
from infrastructure.local.function import schedule
from infrastructure.local.function.deployed import Host, as_part, workers_detail
from infrastructure.local.function.runtime import LambdaRuntime, RuntimeSetupError
from infrastructure.local.function.schedule import ScheduleError, Scheduler
from infrastructure.local.iot import broker, certificates, policy
from infrastructure.local.iot.bridge import Bridge, BridgeError, Source
from infrastructure.local.iot.data_plane import DataPlane
from infrastructure.local.iot.rule import RuleError
from infrastructure.local.mapping.mapping import EventSourceMapping, MappingError, MappingSettings
from infrastructure.local.options import Options
from infrastructure.local.part import OwnPart, Part, ProcessPart
from infrastructure.local.process import free_port
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
    ScheduleError,
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
STOP_SCHEDULE_S = 2.0
ENGINE_GRACE_S = 0.5
"""It would wait for idle connections to close; all it has is in memory and goes with it."""
MAX_WORKERS = 4
"""Processes of the function, some 40 MB each."""


class Assembly:
    """The parts of one local cloud, in the making and made."""

    def __init__(self, state: StateFolder, options: Options, counters: Counters) -> None:
        self.parts: dict[str, Part] = {}
        self.notes: tuple[str, ...] = ()
        self._state = state
        self._options = options
        self._counters = counters
        self._mapping: EventSourceMapping | None = None
        self._injection: Injection | None = None

    def steps(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """What to do, in order, each under the name of the part that it makes."""
        yield "engine", self._start_engine
        yield "deployment", self._deploy
        yield "broker", self._start_broker
        if self._options.faults:
            yield "faults", self._start_faults
        yield "function", self._start_function
        yield "mapping", self._start_mapping
        yield "bridge", self._start_bridge
        yield "data-plane", self._start_data_plane
        yield "rollup", self._start_rollup

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
        clients = self._injection.clients() if self._injection else self._clients
        bridge = Bridge(clients, self._source, self._counters, lambda: time.time_ns() // 1_000_000)
        self.parts["bridge"] = OwnPart(bridge.failure, bridge.detail, bridge.stop)
        bridge.start()
        self._bridge = bridge

    def _start_data_plane(self) -> None:
        plane = DataPlane(self._bridge.publish)
        plane.start()
        self.parts["data-plane"] = OwnPart(plane.failure, lambda: plane.url, plane.stop)
        self.connection = replace(self.connection, iot_data_url=plane.url)

    # --- from the stream to the tables --------------------------------------------------------

    def _start_faults(self) -> None:
        assert self._options.faults
        injection = Injection(self._options.faults, self._clients, self._endpoint, self._counters)
        injection.start()
        self._injection = injection
        self.parts["faults"] = OwnPart(injection.failure, lambda: injection.detail, injection.stop)

    def _start_function(self) -> None:
        self._settings = self._mapping_settings()
        self._runtime = self._started(self._settings.function_arn, "function", self._workers())
        self.parts["function"] = as_part(self._runtime)

    def _start_mapping(self) -> None:
        function = self._injection.function(self._runtime) if self._injection else self._runtime
        mapping = EventSourceMapping(
            self._clients.kinesis, self._clients.s3, self._settings, function, self._counters
        )
        mapping.start()
        self._mapping = mapping
        self.parts["mapping"] = OwnPart(
            lambda: "" if mapping.alive else "one of its threads has ended; see its log",
            lambda: f"{mapping.outstanding()} records in hand",
            lambda: mapping.stop(STOP_MAPPING_S),
        )

    def _start_rollup(self) -> None:
        """The function that a schedule calls, and the schedule; it has no other caller."""
        name = self._only(deploy.SCHEDULE)
        planned = schedule.parse(self._clients.scheduler.get_schedule(Name=name))
        planned = replace(planned, every_s=self._options.schedule_every_s or planned.every_s)
        runtime = self._started(planned.function_arn, "rollup", 1)
        scheduler = Scheduler(planned, runtime, self._counters)

        def stop() -> None:
            runtime.stop()  # a call under way ends with it
            scheduler.stop(STOP_SCHEDULE_S)

        self.parts["rollup"] = OwnPart(
            scheduler.failure, lambda: f"every {planned.every_s:.0f} s, {workers_detail(runtime)}", stop
        )
        scheduler.start()

    def _mapping_settings(self) -> MappingSettings:
        uuid = self._only(deploy.MAPPING)
        return MappingSettings.from_description(
            dict(self._clients.lambda_.get_event_source_mapping(UUID=uuid))
        )

    def _only(self, kind: str) -> str:
        """The physical id of the one resource of a type."""
        names = [name for name, found in self._plan.types.items() if found == kind]
        if len(names) != 1:
            raise TemplateError(f"the template has {len(names)} resources of {kind}, not 1")
        return self._deployment.physical_ids[names[0]]

    def _started(self, function: str, part: str, workers: int) -> LambdaRuntime:
        """The running function of that name or ARN."""
        data_url = self.connection.iot_data_url
        host = Host(self._clients, self._state, self._counters, self._endpoint, data_url)
        if self._injection:
            host = self._injection.host(host)
        runtime = host.runtime(function, part, workers)
        if self._injection:
            self._injection.watch(runtime)
        runtime.start()
        return runtime

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
