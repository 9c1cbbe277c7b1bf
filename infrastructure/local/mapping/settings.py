"""The properties of an event source mapping, as deployed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infrastructure.local.mapping.retry import UNLIMITED

ROLE_ARN = "arn:aws:iam::000000000000:role/local"
LEAST_AGE_S = 60
"""Least MaximumRecordAgeInSeconds that is not -1 (CreateEventSourceMapping)."""
NOT_MODELLED = {
    "TumblingWindowInSeconds": "keep state in the tables, the window's state is lost with it",
    "FilterCriteria": "every record goes to the function",
    "StartingPositionTimestamp": "use StartingPosition LATEST or TRIM_HORIZON",
}
"""Properties that change what a function is given, and what to do without them."""


class MappingError(Exception):
    """A mapping that cannot be modelled; the message names the property."""


@dataclass(frozen=True, slots=True)
class MappingSettings:
    """The properties of a mapping, with Lambda's defaults (services-kinesis-parameters)."""

    stream_arn: str
    function_arn: str
    uuid: str
    batch_size: int = 100
    window_s: float = 0.0
    parallelization_factor: int = 1
    report_batch_item_failures: bool = False
    bisect: bool = False
    maximum_retry_attempts: int = UNLIMITED
    maximum_record_age_s: int = UNLIMITED
    starting_position: str = "TRIM_HORIZON"
    on_failure_bucket: str | None = None
    role_arn: str = ROLE_ARN

    @property
    def stream_name(self) -> str:
        """The stream's name, from its ARN."""
        return self.stream_arn.rpartition("/")[2]

    @property
    def region(self) -> str:
        """The stream's region, from its ARN."""
        return self.stream_arn.split(":")[3]

    @classmethod
    def from_description(cls, description: Mapping[str, Any], role_arn: str = ROLE_ARN) -> MappingSettings:
        """From an answer of GetEventSourceMapping, or a member of ListEventSourceMappings.

        Raises MappingError.
        """
        stream_arn = _required(description, "EventSourceArn")
        if ":kinesis:" not in stream_arn or "/" not in stream_arn:
            raise MappingError(f"EventSourceArn {stream_arn!r} is not the ARN of a Kinesis stream")
        for name in NOT_MODELLED:
            if description.get(name):
                raise MappingError(f"{name} is not supported here: {NOT_MODELLED[name]}")
        age_s = _within(description, "MaximumRecordAgeInSeconds", UNLIMITED, UNLIMITED, 604_800)
        if UNLIMITED < age_s < LEAST_AGE_S:
            raise MappingError(
                f"MaximumRecordAgeInSeconds is {age_s}, it must be -1 or at least {LEAST_AGE_S}"
            )
        return cls(
            stream_arn=stream_arn,
            function_arn=_required(description, "FunctionArn"),
            uuid=_required(description, "UUID"),
            batch_size=_within(description, "BatchSize", 100, 1, 10_000),
            window_s=float(_within(description, "MaximumBatchingWindowInSeconds", 0, 0, 300)),
            parallelization_factor=_within(description, "ParallelizationFactor", 1, 1, 10),
            report_batch_item_failures="ReportBatchItemFailures"
            in (description.get("FunctionResponseTypes") or []),
            bisect=bool(description.get("BisectBatchOnFunctionError", False)),
            maximum_retry_attempts=_within(description, "MaximumRetryAttempts", UNLIMITED, UNLIMITED, 10_000),
            maximum_record_age_s=age_s,
            starting_position=_starting_position(description),
            on_failure_bucket=_bucket(description),
            role_arn=role_arn,
        )


def _required(description: Mapping[str, Any], name: str) -> str:
    value = description.get(name)
    if not isinstance(value, str) or not value:
        raise MappingError(f"the event source mapping has no {name}")
    return value


def _within(description: Mapping[str, Any], name: str, default: int, least: int, most: int) -> int:
    value = description.get(name)
    number = default if value is None else int(value)
    if not least <= number <= most:
        raise MappingError(f"{name} is {number}, it must be from {least} to {most}")
    return number


def _starting_position(description: Mapping[str, Any]) -> str:
    position = _required(description, "StartingPosition")
    if position not in ("LATEST", "TRIM_HORIZON"):
        raise MappingError(f"StartingPosition {position} is not supported here; use LATEST or TRIM_HORIZON")
    return position


def _bucket(description: Mapping[str, Any]) -> str | None:
    target = ((description.get("DestinationConfig") or {}).get("OnFailure") or {}).get("Destination")
    if not target:
        return None
    if not isinstance(target, str) or not target.startswith("arn:aws:s3:::"):
        raise MappingError(f"the on-failure destination {target} is not an S3 bucket")
    return target.removeprefix("arn:aws:s3:::")
