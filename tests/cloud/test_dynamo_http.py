"""The ingest function's own DynamoDB client: signed as botocore signs, and failing as botocore's fails."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from cloud.dynamo import ConditionError, RefusedError, TransientError, attempt
from cloud.dynamo_http import Client
from tests.cloud.dynamo_endpoint import ENVIRONMENT, Endpoint, endpoint

if TYPE_CHECKING:
    from tests.cloud.conftest import Cloud

ITEM = {
    "gateway": {"S": "gw-1"},
    "ver": {"S": "1"},
    "b": {"B": bytes(range(256))},
    "é": {"M": {"B": {"N": "1"}}},
}


@pytest.fixture
def there(cloud: Cloud) -> Iterator[Endpoint]:
    with endpoint(cloud.client) as served:
        yield served


def client_of(there: Endpoint, **more: str) -> Client:
    return Client(there.environment | more, sleep=lambda _seconds: None)


def put(client: Any, cloud: Cloud, **condition: Any) -> Any:
    return attempt(lambda: client.put_item(TableName=cloud.settings.latest_table, Item=ITEM, **condition))


def test_the_four_calls_do_what_botocores_do(cloud: Cloud, there: Endpoint) -> None:
    client, table = client_of(there), cloud.settings.latest_table
    put(client, cloud)
    key = {"gateway": {"S": "gw-1"}}
    asked = {table: {"Keys": [key], "ConsistentRead": True}}
    assert (
        client.batch_get_item(RequestItems=asked)["Responses"]
        == {table: [ITEM]}
        == {table: cloud.items("latest")}
    )
    client.update_item(TableName=table, Key=key, UpdateExpression="REMOVE b")
    written = client.batch_write_item(
        RequestItems={table: [{"PutRequest": {"Item": ITEM | {"gateway": {"S": "b"}}}}]}
    )
    assert written["UnprocessedItems"] == {}
    kept = {item["gateway"]["S"]: set(item) for item in cloud.items("latest")}
    assert kept == {"gw-1": set(ITEM) - {"b"}, "b": set(ITEM)}
    assert there.connections == 1


@pytest.mark.parametrize("token", ["", "a/session+token=="])
def test_a_request_is_signed_as_botocore_signs_it(cloud: Cloud, there: Endpoint, token: str) -> None:
    put(client_of(there, AWS_SESSION_TOKEN=token), cloud)
    head, body = there.heads[-1], there.bodies[-1]
    signed = head["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    request = AWSRequest("POST", f"http://{head['host']}/", {name: head[name] for name in signed}, body)
    request.context["timestamp"] = head["x-amz-date"]
    auth = SigV4Auth(
        Credentials(ENVIRONMENT["AWS_ACCESS_KEY_ID"], ENVIRONMENT["AWS_SECRET_ACCESS_KEY"], token or None),
        "dynamodb",
        "eu-central-1",
    )
    signature = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    assert head["authorization"].endswith(f"Signature={signature}")
    assert (head.get("x-amz-security-token") or "") == token


def test_a_host_in_upper_case_is_asked_as_it_is_signed(cloud: Cloud, there: Endpoint) -> None:
    named = f"http://LocalHost:{there.server_port}"
    put(Client(ENVIRONMENT | {"AWS_ENDPOINT_URL_DYNAMODB": named}), cloud)
    assert there.heads.pop()["host"] == f"localhost:{there.server_port}"


def test_a_request_tells_which_invocation_it_is_of(cloud: Cloud, there: Endpoint) -> None:
    """The runtime gives each invocation an id of its own (Lambda developer guide, "Runtime API")."""
    environment = there.environment | {"_X_AMZN_TRACE_ID": "Root=1"}
    client = Client(environment, sleep=lambda _seconds: None)
    put(client, cloud)
    environment["_X_AMZN_TRACE_ID"] = "Root=2"
    put(client, cloud)
    assert [head["x-amzn-trace-id"] for head in there.heads] == ["Root=1", "Root=2"]


def test_errors_have_the_three_meanings_that_the_store_knows(cloud: Cloud, there: Endpoint) -> None:
    client = client_of(there)
    put(client, cloud)
    with pytest.raises(ConditionError):
        put(client, cloud, ConditionExpression="attribute_not_exists(ver)")
    with pytest.raises(RefusedError, match="ValidationException"):
        attempt(lambda: client.put_item(TableName=cloud.settings.latest_table, Item={"ver": {"S": "1"}}))
    with pytest.raises(TransientError, match="PutItem: ResourceNotFoundException"):
        attempt(lambda: client.put_item(TableName="nowhere", Item=ITEM))
    assert len(there.bodies) == 4  # none of these gets better by asking again


def test_an_endpoint_that_is_not_there_is_transient() -> None:
    environment = ENVIRONMENT | {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    client = Client(environment, sleep=lambda _seconds: None)
    with pytest.raises(TransientError):
        attempt(lambda: client.put_item(TableName="t", Item={}))


@pytest.mark.parametrize("region", ["us-east-1", "us-gov-west-1", "cn-north-1", "eusc-de-east-1"])
def test_a_region_has_the_endpoint_that_botocore_knows(region: str) -> None:
    theirs = botocore.session.Session().create_client("dynamodb", region_name=region)
    assert Client(ENVIRONMENT | {"AWS_REGION": region}).endpoint == theirs.meta.endpoint_url


@pytest.mark.parametrize(
    "named",
    [
        "dynamodb.local:8000",
        "ftp://dynamodb.local",
        "https://",
        "https://user:word@dynamodb.local",
        "https://:word@dynamodb.local",
        "https://büro.local",
        "https://[fe80::1%25lo]",
        "https://dynamodb.local/path",
        "https://dynamodb.local?query",
    ],
)
def test_an_endpoint_that_is_none_is_refused_at_the_start(named: str) -> None:
    with pytest.raises(ValueError, match="Invalid endpoint"):
        Client(ENVIRONMENT | {"AWS_ENDPOINT_URL": named})


def test_no_header_can_be_smuggled_in(cloud: Cloud, there: Endpoint) -> None:
    put(client_of(there, _X_AMZN_TRACE_ID='Root=1;a="é"\r\nX-Evil: 1'), cloud)
    assert there.heads.pop()["x-amzn-trace-id"] == 'Root=1;a="%C3%A9"%0D%0AX-Evil:%201'
    with pytest.raises(TransientError, match="Invalid header value"):
        put(client_of(there, AWS_SESSION_TOKEN="a\r\nX-Evil: 1"), cloud)
    assert there.heads == []


def test_credentials_that_are_over_are_transient_and_new_ones_are_taken(
    cloud: Cloud, there: Endpoint
) -> None:
    environment = there.environment | {"AWS_CREDENTIAL_EXPIRATION": "2020-01-01T00:00:00Z"}
    client = Client(environment, sleep=lambda _seconds: None)
    with pytest.raises(TransientError, match="still expired"):
        put(client, cloud)
    environment |= {"AWS_CREDENTIAL_EXPIRATION": "2120-01-01T00:00:00Z", "AWS_ACCESS_KEY_ID": "AKIDNEW"}
    put(client, cloud)
    assert ["Credential=AKIDNEW/" in head["authorization"] for head in there.heads] == [True]
