"""Requests to send again, published through AWS IoT Data."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from cloud import resend
from cloud.resend import PublishError
from cloud.target import Connection, Target, TargetError
from infrastructure.local.iot.data_plane import DataPlane


def data_client(plane: DataPlane) -> Any:
    config = Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 1})
    return boto3.client(
        "iot-data",
        region_name="us-east-1",
        endpoint_url=plane.url,
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        config=config,
    )


def test_a_local_cloud_without_iot_data_says_so_and_one_with_it_is_published_to() -> None:
    heard: list[tuple[str, bytes, int]] = []
    plane = DataPlane(lambda topic, payload, qos: heard.append((topic, payload, qos)))
    given = ("http://127.0.0.1:1", "us-east-1", "key", "secret", "stack", "127.0.0.1", 1, "ca")
    with pytest.raises(TargetError, match="cannot publish to gateways"):
        Target("stack", Connection(*given)).iot_data()
    plane.start()
    try:
        client = Target("stack", Connection(*given, plane.url)).iot_data()
        resend.over(client)("linkpulse/v1/gw-1/resend", b"\x00{}")
        assert heard == [("linkpulse/v1/gw-1/resend", b"\x00{}", 1)]
        for topic in ("linkpulse/v1/+/resend", "a/#"):
            with pytest.raises(PublishError, match="InvalidRequestException"):
                resend.over(client)(topic, b"")
    finally:
        plane.stop()


class Endpoints:
    """Makes clients of AWS IoT and of its data plane, and says where they were to speak to."""

    def __init__(self, broken: int = 0) -> None:
        self.made: list[tuple[str, str | None]] = []
        self.published: list[str] = []
        self.broken = broken

    def __call__(self, service: str, endpoint_url: str | None) -> Any:
        self.made.append((service, endpoint_url))
        return self

    def describe_endpoint(self, endpointType: str) -> Any:
        assert endpointType == "iot:Data-ATS"
        self.broken -= 1
        if self.broken >= 0:
            raise ClientError({"Error": {"Code": "ThrottlingException"}}, "DescribeEndpoint")
        return {"endpointAddress": "abc-ats.iot.eu-central-1.amazonaws.com"}

    def publish(self, topic: str, qos: int, payload: bytes) -> None:
        self.published.append(topic)


def test_a_function_publishes_at_its_account_s_endpoint_which_it_asks_for_when_it_needs_it() -> None:
    endpoints = Endpoints(broken=1)
    publish = resend.connect({}, endpoints)
    assert endpoints.made == []
    with pytest.raises(PublishError, match="DescribeEndpoint: ThrottlingException"):
        publish("linkpulse/v1/gw-1/resend", b"{}")
    publish("linkpulse/v1/gw-1/resend", b"{}")
    publish("linkpulse/v1/gw-2/resend", b"{}")
    url = "https://abc-ats.iot.eu-central-1.amazonaws.com"
    assert endpoints.made == [("iot", None), ("iot", None), ("iot-data", url)]
    assert endpoints.published == ["linkpulse/v1/gw-1/resend", "linkpulse/v1/gw-2/resend"]


def test_a_function_publishes_where_its_variable_says() -> None:
    endpoints = Endpoints()
    publish = resend.connect({"AWS_ENDPOINT_URL_IOT_DATA_PLANE": "http://127.0.0.1:1"}, endpoints)
    publish("linkpulse/v1/gw-1/resend", b"{}")
    assert endpoints.made == [("iot-data", "http://127.0.0.1:1")]


def test_a_broker_that_takes_nothing_is_a_failed_publish() -> None:
    def refuse(topic: str, payload: bytes, qos: int) -> None:
        raise OSError("the broker cannot be reached")

    plane = DataPlane(refuse)
    plane.start()
    try:
        with pytest.raises(PublishError, match="Publish: InternalFailureException"):
            resend.over(data_client(plane))("linkpulse/v1/gw-1/resend", b"{}")
    finally:
        plane.stop()
