"""The template as AWS sees it after the SAM transform, for tests that look into it."""

from __future__ import annotations

import os
from typing import Any

from samtranslator.translator.managed_policy_translator import ManagedPolicyLoader
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

from infrastructure.package import ROOT

TEMPLATE = ROOT / "infrastructure" / "template.yaml"
Template = dict[str, Any]


def written() -> Template:
    """The template as it stands in the repository."""
    parsed: Template = yaml_parse(TEMPLATE.read_text())
    return parsed


def translated() -> Template:
    """The translated template, with the code where `sam deploy` would have uploaded it."""
    # The translator asks boto3 for the region, to know the partition.
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    source = written()
    source["Resources"]["IngestFunction"]["Properties"]["CodeUri"] = "s3://code/ingest.zip"
    result: Template = transform(source, {}, ManagedPolicyLoader(None))
    return result


def properties(template: Template, name: str) -> dict[str, Any]:
    given: dict[str, Any] = template["Resources"][name]["Properties"]
    return given


def of_type(template: Template, kind: str) -> dict[str, dict[str, Any]]:
    return {name: each for name, each in template["Resources"].items() if each["Type"] == kind}


def arn(name: str) -> dict[str, list[str]]:
    return {"Fn::GetAtt": [name, "Arn"]}
