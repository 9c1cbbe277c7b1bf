"""`linkview gateways …` on a target, and what AWS IoT and the registry then hold."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cloud import enrol
from cloud.target import Target


def call(target: Target, *arguments: str) -> int:
    """Run `gateways …` as linkview would."""
    parser = argparse.ArgumentParser()
    enrol.add_parser(parser.add_subparsers())
    args = parser.parse_args(arguments)
    enrol.check_names(args.names)
    code: int = args.enrolment(args, target)
    return code


def certificates(target: Target, gateway: str) -> list[str]:
    """Certificate ARNs of a thing; [] when there is no thing."""
    iot = target.client("iot")
    try:
        found: list[str] = iot.list_thing_principals(thingName=gateway)["principals"]
    except iot.exceptions.ResourceNotFoundException:
        return []
    return found


def things(target: Target) -> set[str]:
    return {thing["thingName"] for thing in target.client("iot").list_things(maxResults=250)["things"]}


def all_certificates(target: Target) -> set[str]:
    listed = target.client("iot").list_certificates(pageSize=250)["certificates"]
    return {each["certificateArn"] for each in listed}


def registry(target: Target, gateway: str) -> dict[str, Any]:
    key = {"p": {"S": gateway}, "s": {"S": "GATEWAY"}}
    found = target.dynamodb().get_item(TableName=target.output("RegistryTable"), Key=key)
    item: dict[str, Any] = found.get("Item", {})
    return item


def without_policy(target: Target) -> Target:
    """The target with outputs that name a policy that does not exist."""
    return replace(target, _made={**target._made, "outputs": {**target.outputs(), "PolicyName": "gone"}})


def key_of(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key
