"""The template as AWS sees it after the SAM transform, for tests that look into it."""

from __future__ import annotations

import ast
import os
from typing import Any

from samtranslator.translator.managed_policy_translator import ManagedPolicyLoader
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

from infrastructure.package import FILES, ROOT

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
    for function in of_type(source, "AWS::Serverless::Function").values():
        function["Properties"]["CodeUri"] = "s3://code/lambda.zip"
    result: Template = transform(source, {}, ManagedPolicyLoader(None))
    return result


def properties(template: Template, name: str) -> dict[str, Any]:
    given: dict[str, Any] = template["Resources"][name]["Properties"]
    return given


def of_type(template: Template, kind: str) -> dict[str, dict[str, Any]]:
    return {name: each for name, each in template["Resources"].items() if each["Type"] == kind}


def arn(name: str) -> dict[str, list[str]]:
    return {"Fn::GetAtt": [name, "Arn"]}


def code_of(handler: str) -> str:
    """Source of all shipped files that a handler imports, directly or through others."""
    return "".join((ROOT / name).read_text() for name in _reached(handler.rpartition(".")[0]))


def _reached(module: str) -> list[str]:
    """Shipped files that a module imports, directly or through others."""
    found, pending = set[str](), [module]
    while pending:
        name = pending.pop()
        path = f"{name.replace('.', '/')}.py"
        if path not in FILES:
            path = f"{name.replace('.', '/')}/__init__.py"
        if path not in FILES or path in found:
            continue
        found.add(path)
        for node in ast.walk(ast.parse((ROOT / path).read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                pending += [node.module, *(f"{node.module}.{each.name}" for each in node.names)]
            elif isinstance(node, ast.Import):
                pending += [each.name for each in node.names]
    return sorted(found)
