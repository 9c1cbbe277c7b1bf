"""Reads infrastructure/template.yaml and translates its SAM resources, as AWS does on deployment."""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samtranslator.model.exceptions import InvalidDocumentException, InvalidTemplateException
from samtranslator.public.translator import ManagedPolicyLoader
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse
from yaml import YAMLError

from infrastructure.local.deployment.intrinsics import TemplateError
from infrastructure.local.state import REGION

FUNCTION = "AWS::Serverless::Function"
ARTIFACTS = "linkpulse-local-artifacts"
"""Bucket that holds the zips, in the place of the bucket that `sam deploy` makes."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A function's code as it is uploaded."""

    key: str
    """SHA-256 of the content, hexadecimal."""
    content: bytes


class _NoManagedPolicies(ManagedPolicyLoader):  # type: ignore[misc]
    """Names of AWS managed policies are not looked up: our roles have their own policies."""

    def __init__(self) -> None:
        super().__init__(iam_client=None)

    def load(self) -> dict[str, str]:
        return {}


def load(path: Path) -> dict[str, Any]:
    """The template as written; raises TemplateError naming the file and what is wrong."""
    try:
        document = yaml_parse(path.read_text())
    except OSError as exc:
        raise TemplateError(f"{path} cannot be read: {exc.strerror}") from exc
    except YAMLError as exc:
        raise TemplateError(f"{path} is not YAML: {exc}") from exc
    if not isinstance(document, dict) or not isinstance(document.get("Resources"), dict):
        raise TemplateError(f"{path} has no Resources")
    return document


def artifacts(document: Mapping[str, Any], base: Path, built: Mapping[Path, bytes]) -> dict[str, Artifact]:
    """The code of each serverless function: the archive that was built for the folder its CodeUri names.

    base is the template's folder. Raises TemplateError when nothing was built for a folder.
    """
    common = document.get("Globals", {}).get("Function", {}).get("CodeUri", "")
    found = {}
    for name, resource in document["Resources"].items():
        if resource["Type"] != FUNCTION:
            continue
        folder = (base / resource["Properties"].get("CodeUri", common)).resolve()
        if folder not in built:
            raise TemplateError(
                f"{name}: CodeUri is {folder}, which infrastructure/package.py does not build"
            )
        found[name] = Artifact(hashlib.sha256(built[folder]).hexdigest(), built[folder])
    return found


def translate(
    document: Mapping[str, Any], parameters: Mapping[str, str], code: Mapping[str, Artifact]
) -> dict[str, Any]:
    """The CloudFormation template that SAM makes of it, with the code where it was uploaded."""
    source = copy.deepcopy(dict(document))
    for name, artifact in code.items():
        source["Resources"][name]["Properties"]["CodeUri"] = {"Bucket": ARTIFACTS, "Key": artifact.key}
    # The translator asks boto3 for the region, to know the partition.
    os.environ.setdefault("AWS_DEFAULT_REGION", REGION)
    try:
        translated: dict[str, Any] = transform(source, dict(parameters), _NoManagedPolicies())
    except (InvalidDocumentException, InvalidTemplateException) as exc:
        causes = getattr(exc, "causes", None) or [exc]
        raise TemplateError("; ".join(cause.message for cause in causes)) from exc
    return translated
