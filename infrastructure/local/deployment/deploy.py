"""Deploys the template into the engine, then holds every resource and property against what exists."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from infrastructure.local.deployment import differences, template
from infrastructure.local.deployment.comparison import Difference, compare
from infrastructure.local.deployment.completion import complete
from infrastructure.local.deployment.differences import Reviewed
from infrastructure.local.deployment.intrinsics import Resolver, parameter_values
from infrastructure.local.deployment.inventory import Inventory, Missing
from infrastructure.local.engine import ACCOUNT, Clients

TEMPLATE = Path(__file__).parents[2] / "template.yaml"
DEFAULTS = {"Stage": "local", "AllowDirect": "true"}
"""Parameters that differ from a deployment to AWS: the simulator may write into the stream itself."""
ALARM = "AWS::CloudWatch::Alarm"
MAPPING = "AWS::Lambda::EventSourceMapping"
SCHEDULE = "AWS::Scheduler::Schedule"
CREATION_LIMIT_S = 60.0


class DeployError(Exception):
    """The stack could not be made, or is not what the template says; a line for each cause."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A translated template with all its parameters, before anything exists."""

    stack: str
    parameters: Mapping[str, str]
    document: Mapping[str, Any]
    artifacts: tuple[template.Artifact, ...]

    @property
    def types(self) -> dict[str, str]:
        """Type of each resource."""
        return {name: resource["Type"] for name, resource in self.document["Resources"].items()}


@dataclass(frozen=True, slots=True)
class Deployment:
    """A stack that exists and is what the template says, but for the reviewed differences."""

    stack: str
    outputs: Mapping[str, str]
    physical_ids: Mapping[str, str]
    properties: int
    """How many were compared."""
    applied: tuple[Difference, ...]
    accepted: tuple[Difference, ...]
    stale: tuple[Reviewed, ...]


def plan(path: Path, given: Mapping[str, str], built: Mapping[Path, bytes]) -> Plan:
    """Read and translate the template; built has the archive of each code folder. Raises TemplateError."""
    source = template.load(path)
    values = parameter_values(source, {**DEFAULTS, **given})
    code = template.artifacts(source, path.parent, built)
    document = template.translate(source, values, code)
    return Plan(f"linkpulse-{values['Stage']}", values, document, tuple(code.values()))


def deploy(clients: Clients, plan: Plan, reviewed: tuple[Reviewed, ...]) -> Deployment:
    """Create the stack, complete and compare it; raises DeployError, TemplateError or DifferencesError."""
    try:
        _upload(clients, plan)
        outputs = _create(clients, plan)
        inventory = Inventory(clients, plan.stack, plan.types)
        _hold_callers(clients, plan, inventory)
        return _verify(clients, plan, reviewed, inventory, outputs)
    except (ClientError, BotoCoreError) as exc:
        raise DeployError(f"the engine refused a step of the deployment: {exc}") from exc


def _upload(clients: Clients, plan: Plan) -> None:
    clients.s3.create_bucket(Bucket=template.ARTIFACTS)
    for artifact in plan.artifacts:
        clients.s3.put_object(Bucket=template.ARTIFACTS, Key=artifact.key, Body=artifact.content)


def _create(clients: Clients, plan: Plan) -> dict[str, str]:
    """Create the stack and wait for it; returns its outputs."""
    clients.cloudformation.create_stack(
        StackName=plan.stack,
        TemplateBody=json.dumps(_for_engine(plan.document)),
        Parameters=[
            {"ParameterKey": name, "ParameterValue": value} for name, value in plan.parameters.items()
        ],
        Capabilities=["CAPABILITY_IAM"],
    )
    deadline = time.monotonic() + CREATION_LIMIT_S
    while True:
        stack = clients.cloudformation.describe_stacks(StackName=plan.stack)["Stacks"][0]
        if stack["StackStatus"] == "CREATE_COMPLETE":
            return {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}
        if stack["StackStatus"] != "CREATE_IN_PROGRESS" or time.monotonic() > deadline:
            raise DeployError(
                f"stack {plan.stack} is {stack['StackStatus']}: {_reasons(clients, plan.stack)}"
            )
        time.sleep(0.1)


def _for_engine(document: Mapping[str, Any]) -> dict[str, Any]:
    """The template without what the engine refuses to create; differences.toml has it as dropped.

    An alarm over a query becomes one over a metric that nobody sends.
    """
    made = copy.deepcopy(dict(document))
    for resource in made["Resources"].values():
        if resource["Type"] == ALARM and resource["Properties"].pop("Metrics", None):
            stand_in = {"Namespace": "none", "MetricName": "none", "Statistic": "Sum", "Period": 60}
            resource["Properties"].update(stand_in)
    return made


def _reasons(clients: Clients, stack: str) -> str:
    events = clients.cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
    failed = [each for each in events if each.get("ResourceStatus", "").endswith("FAILED")]
    reasons = [f"{each['LogicalResourceId']}: {each.get('ResourceStatusReason', '')}" for each in failed]
    return "; ".join(reversed(reasons)) or "the engine gives no reason"


def _hold_callers(clients: Clients, plan: Plan, inventory: Inventory) -> None:
    """Keep the engine from calling functions itself: mapping.py and schedule.py do it in its place."""
    for name, kind in plan.types.items():
        if kind == MAPPING:
            clients.lambda_.update_event_source_mapping(UUID=inventory.physical_id(name), Enabled=False)
        elif kind == SCHEDULE:
            found = clients.scheduler.get_schedule(Name=inventory.physical_id(name))
            kept = ("Name", "Description", "ScheduleExpression", "FlexibleTimeWindow", "Target")
            clients.scheduler.update_schedule(
                State="DISABLED", **{key: found[key] for key in kept if key in found}
            )


def _verify(
    clients: Clients,
    plan: Plan,
    reviewed: tuple[Reviewed, ...],
    inventory: Inventory,
    outputs: dict[str, str],
) -> Deployment:
    resolver = Resolver(plan.document, plan.parameters, ACCOUNT, plan.stack, inventory)
    expected = _expected(plan, resolver)
    found = [each for name in expected for each in _differences(plan, expected, inventory, name)]
    verdict = differences.judge([*found, *_outputs(plan, resolver, outputs)], reviewed)
    _refuse(verdict.unknown)
    for name, key in dict.fromkeys((each.resource, _top(each)) for each in verdict.to_apply):
        complete(clients, plan.types[name], key, inventory.physical_id(name), expected[name][key])
        inventory.forget(name)
    again = [each for name in expected for each in _differences(plan, expected, inventory, name)]
    _refuse(differences.judge(again, reviewed).to_apply)
    return Deployment(
        plan.stack,
        outputs,
        {name: inventory.physical_id(name) for name in expected},
        sum(_leaves(each) for each in expected.values()),
        verdict.to_apply,
        verdict.accepted,
        verdict.stale,
    )


def _expected(plan: Plan, resolver: Resolver) -> dict[str, dict[str, Any]]:
    """The resolved properties of each resource whose condition holds."""
    expected = {}
    for name, resource in plan.document["Resources"].items():
        if "Condition" in resource and not resolver.condition(resource["Condition"]):
            continue
        try:
            properties = resolver.resolve(resource.get("Properties", {}))
        except Missing as exc:
            raise DeployError(
                f"{name} ({resource['Type']}) refers to something that is missing: {exc}"
            ) from exc
        # What CloudFormation assumes; written out, because the local cloud changes it.
        expected[name] = {"Enabled": True} | properties if resource["Type"] == MAPPING else properties
    return expected


def _differences(
    plan: Plan, expected: Mapping[str, Any], inventory: Inventory, name: str
) -> list[Difference]:
    kind = plan.types[name]
    try:
        found = inventory.found(name).properties
    except Missing as exc:
        return [Difference(name, kind, "", "it exists", str(exc))]
    return compare(name, kind, expected[name], found)


def _outputs(plan: Plan, resolver: Resolver, outputs: Mapping[str, str]) -> list[Difference]:
    wanted = {
        name: resolver.resolve(output["Value"])
        for name, output in plan.document.get("Outputs", {}).items()
        if "Condition" not in output or resolver.condition(output["Condition"])
    }
    return compare("Outputs", "Outputs", wanted, outputs)


def _refuse(unknown: tuple[Difference, ...]) -> None:
    if unknown:
        lines = "\n".join(f"  {each}" for each in unknown)
        raise DeployError(
            f"the stack is not as the template says, and {differences.REVIEWED.name} does not know:\n{lines}"
        )


def _top(difference: Difference) -> str:
    return difference.property.split(".")[0].split("[")[0]


def _leaves(value: Any) -> int:
    if isinstance(value, Mapping):
        return sum(_leaves(each) for each in value.values())
    if isinstance(value, list):
        return sum(_leaves(each) for each in value)
    return 1
