"""Before a stack is deleted: what would block it, and what of it stays, with the commands that remove it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cloud.target import Target, TargetError, failures

_REMOVALS = {
    "AWS::DynamoDB::Table": "aws dynamodb delete-table --table-name {id}",
    "AWS::Kinesis::Stream": "aws kinesis delete-stream --stream-name {id}",
    "AWS::S3::Bucket": "aws s3 rb --force s3://{id}   # after deleting its object versions",
}
"""How to remove what is retained; a bucket's policy goes with the bucket."""


@dataclass(frozen=True, slots=True)
class Retained:
    """A resource that outlives its stack."""

    name: str
    kind: str
    id: str

    @property
    def removal(self) -> str:
        """The command that removes it for good; empty when it goes with another."""
        return _REMOVALS.get(self.kind, "").format(id=self.id)


def enrolled(target: Target) -> list[str]:
    """Certificates that still carry the stack's IoT policy: AWS refuses to delete it under them."""
    with failures(target):
        pages = (
            target.client("iot")
            .get_paginator("list_targets_for_policy")
            .paginate(policyName=target.output("PolicyName"))
        )
        return [arn for page in pages for arn in page["targets"]]


def retained(target: Target) -> list[Retained]:
    """What the deployed template says to retain."""
    with failures(target):
        cloudformation = target.client("cloudformation")
        body = cloudformation.get_template(StackName=target.stack, TemplateStage="Processed")["TemplateBody"]
        pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=target.stack)
        resources = [each for page in pages for each in page["StackResourceSummaries"]]
    return list(_retained(body["Resources"], resources))


def _retained(template: Mapping[str, Any], resources: Iterable[Mapping[str, Any]]) -> Iterable[Retained]:
    for each in resources:
        name = each["LogicalResourceId"]
        if str(template.get(name, {}).get("DeletionPolicy", "")).startswith("Retain"):
            yield Retained(name, each["ResourceType"], each["PhysicalResourceId"])


def describe(stack: str, kept: Sequence[Retained]) -> str:
    """What stays, for people."""
    lines = [f"Deleting {stack} stops ingestion. What holds data stays, and costs, until you remove it:"]
    lines += [f"  {each.name:<16} {each.removal}" for each in kept if each.removal]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Say what stays; 1 when gateways are still enrolled or there is no such stack."""
    parser = argparse.ArgumentParser("python -m infrastructure.teardown", description=__doc__)
    parser.add_argument("--stack", required=True, metavar="NAME", help="a stack on AWS")
    target = Target(parser.parse_args(argv).stack)
    try:
        attached = enrolled(target)
        if attached:
            raise TargetError(
                f"{len(attached)} gateways of {target.stack} are still enrolled: first "
                f"`linkview --stack {target.stack} gateways remove NAME…`"
            )
        print(describe(target.stack, retained(target)))
    except TargetError as exc:
        print(f"teardown: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
