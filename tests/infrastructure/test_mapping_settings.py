"""The mapping's settings from its description.

A page named in brackets is https://docs.aws.amazon.com/lambda/latest/dg/<name>.html.
"""

from __future__ import annotations

from typing import Any

import pytest

from infrastructure.local.mapping.mapping import MappingError, MappingSettings
from tests.infrastructure.mapping_cloud import FUNCTION_ARN

DESCRIPTION: dict[str, Any] = {
    "UUID": "2b733fdc-8ac3-4df5-af3a-1827b3b11284",
    "EventSourceArn": "arn:aws:kinesis:eu-west-1:000000000000:stream/readings",
    "FunctionArn": FUNCTION_ARN,
    "StartingPosition": "TRIM_HORIZON",
}


# Settings


def test_a_description_without_options_has_the_documented_defaults() -> None:
    """ "BatchSize … 100; BisectBatchOnFunctionError … false; MaximumBatchingWindowInSeconds … 0;
    MaximumRecordAgeInSeconds … -1; MaximumRetryAttempts … -1; ParallelizationFactor … 1"
    (services-kinesis-parameters)."""
    settings = MappingSettings.from_description(DESCRIPTION)
    assert (settings.batch_size, settings.window_s, settings.parallelization_factor) == (100, 0.0, 1)
    assert (settings.maximum_record_age_s, settings.maximum_retry_attempts) == (-1, -1)
    assert (settings.bisect, settings.report_batch_item_failures) == (False, False)
    assert settings.on_failure_bucket is None
    assert (settings.stream_name, settings.region) == ("readings", "eu-west-1")


def test_a_full_description_is_read() -> None:
    """Every property that is modelled comes from the answer of GetEventSourceMapping."""
    full = DESCRIPTION | {
        "BatchSize": 200,
        "MaximumBatchingWindowInSeconds": 5,
        "ParallelizationFactor": 4,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "BisectBatchOnFunctionError": True,
        "MaximumRetryAttempts": 10,
        "MaximumRecordAgeInSeconds": 43_200,
        "StartingPosition": "LATEST",
        "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:s3:::dead-letters"}},
    }
    assert MappingSettings.from_description(full) == MappingSettings(
        stream_arn=DESCRIPTION["EventSourceArn"],
        function_arn=FUNCTION_ARN,
        uuid=DESCRIPTION["UUID"],
        batch_size=200,
        window_s=5.0,
        parallelization_factor=4,
        report_batch_item_failures=True,
        bisect=True,
        maximum_retry_attempts=10,
        maximum_record_age_s=43_200,
        starting_position="LATEST",
        on_failure_bucket="dead-letters",
    )


@pytest.mark.parametrize(("name", "value"), [("TumblingWindowInSeconds", 0), ("FilterCriteria", None)])
def test_what_is_switched_off_is_not_refused(name: str, value: object) -> None:
    """ "A value of 0 seconds indicates no tumbling window." (API_GetEventSourceMapping)"""
    assert MappingSettings.from_description(DESCRIPTION | {name: value}).batch_size == 100


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"UUID": None}, "the event source mapping has no UUID"),
        ({"EventSourceArn": "arn:aws:sqs:eu-west-1:0:q"}, "is not the ARN of a Kinesis stream"),
        ({"BatchSize": 10_001}, "BatchSize is 10001, it must be from 1 to 10000"),
        ({"ParallelizationFactor": 11}, "ParallelizationFactor is 11, it must be from 1 to 10"),
        ({"StartingPosition": "AT_TIMESTAMP"}, "use LATEST or TRIM_HORIZON"),
        ({"StartingPositionTimestamp": 1_700_000_000}, "StartingPositionTimestamp is not supported here"),
        ({"TumblingWindowInSeconds": 60}, "TumblingWindowInSeconds is not supported here: keep state"),
        ({"FilterCriteria": {"Filters": [{"Pattern": "{}"}]}}, "FilterCriteria is not supported here"),
        ({"MaximumRecordAgeInSeconds": 59}, "is 59, it must be -1 or at least 60"),
        ({"MaximumRecordAgeInSeconds": 604_801}, "is 604801, it must be from -1 to 604800"),
        ({"MaximumRetryAttempts": 10_001}, "is 10001, it must be from -1 to 10000"),
        ({"MaximumBatchingWindowInSeconds": 301}, "is 301, it must be from 0 to 300"),
        (
            {"DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sqs:eu-west-1:0:q"}}},
            "is not an S3 bucket",
        ),
    ],
)
def test_what_cannot_be_modelled_is_refused_by_name(change: dict[str, Any], message: str) -> None:
    """A mapping that would behave differently here than on AWS does not start.

    The ranges are those of https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-parameters.html and,
    for the age, of https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html ("The
    minimum valid value for maximum record age is 60s"). A tumbling window (services-kinesis-windows) would
    hand its state to the function and take it back.
    """
    with pytest.raises(MappingError, match=message):
        MappingSettings.from_description(DESCRIPTION | change)
