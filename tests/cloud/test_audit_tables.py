"""The tables in memory of the exactness benchmark answer as moto's DynamoDB does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from tests.benchmarks.exactness_tables import Tables

NAMES = {"readings": ("p", "s"), "latest": ("gateway",)}
KEY_TYPES: tuple[Literal["HASH", "RANGE"], ...] = ("HASH", "RANGE")


def moto() -> Any:
    client = boto3.client("dynamodb", region_name="eu-central-1")
    for table, names in NAMES.items():
        client.create_table(
            TableName=table,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in names],
            KeySchema=[
                {"AttributeName": name, "KeyType": kind} for name, kind in zip(names, KEY_TYPES, strict=False)
            ],
        )
    return client


@pytest.fixture(params=["moto", "memory"])
def client(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "memory":
        yield Tables(NAMES)
        return
    with mock_aws():
        yield moto()


def item(sort: str, partition: str = "a", **numbers: int) -> dict[str, Any]:
    numbered = {name: {"N": str(value)} for name, value in numbers.items()}
    return {"p": {"S": partition}, "s": {"S": sort}, **numbered}


def fill(client: Any, *sorts: str, partition: str = "a") -> None:
    for sort in sorts:
        client.put_item(TableName="readings", Item=item(sort, partition))


def sorts(page: Any) -> list[str]:
    return [each["s"]["S"] for each in page["Items"]]


def test_a_put_replaces_the_whole_item(client: Any) -> None:
    client.put_item(TableName="readings", Item=item("1", n=1, m=2))
    client.put_item(TableName="readings", Item=item("1", n=3))
    found = client.get_item(TableName="readings", Key=item("1"), ConsistentRead=True)
    assert found["Item"] == item("1", n=3)
    assert "Item" not in client.get_item(TableName="readings", Key=item("2"))


@pytest.mark.parametrize(
    ("condition", "stored", "holds"),
    [
        ("attribute_not_exists(#v) OR #v <= :v", None, True),
        ("attribute_not_exists(#v) OR #v <= :v", 5, True),
        ("attribute_not_exists(#v) OR #v <= :v", 6, False),
        ("#v = :v", 5, True),
        ("#v = :v", 4, False),
        ("#v = :v", None, False),
        ("#v = :v AND attribute_not_exists(#w)", 5, True),
        ("#v = :v AND attribute_not_exists(#p)", 5, False),
    ],
)
def test_a_condition_is_of_the_item_that_is_there(
    client: Any, condition: str, stored: int | None, holds: bool
) -> None:
    if stored is not None:
        client.put_item(TableName="readings", Item=item("1", n=stored))
    names = {"#v": "n", "#w": "w", "#p": "p"}
    request: dict[str, Any] = {
        "TableName": "readings",
        "Item": item("1", n=9),
        "ConditionExpression": condition,
        "ExpressionAttributeNames": {name: said for name, said in names.items() if name in condition},
        "ExpressionAttributeValues": {":v": {"N": "5"}},
    }
    if holds:
        client.put_item(**request)
    else:
        with pytest.raises(ClientError) as caught:
            client.put_item(**request)
        assert caught.value.response["Error"]["Code"] == "ConditionalCheckFailedException"
    found = client.get_item(TableName="readings", Key=item("1")).get("Item")
    before = None if stored is None else item("1", n=stored)
    assert found == (item("1", n=9) if holds else before)


def test_a_delete_under_a_condition_leaves_what_was_put_again(client: Any) -> None:
    fill(client, "1", "2")
    request = {"TableName": "readings", "Key": item("1"), "ConditionExpression": "#n = :n"}
    request |= {"ExpressionAttributeNames": {"#n": "n"}, "ExpressionAttributeValues": {":n": {"N": "1"}}}
    with pytest.raises(ClientError):
        client.delete_item(**request)
    client.put_item(TableName="readings", Item=item("1", n=1))
    client.delete_item(**request)
    assert sorts(client.scan(TableName="readings")) == ["2"]


def test_an_update_sets_and_removes_an_attribute_under_a_condition(client: Any) -> None:
    key = {"gateway": {"S": "g"}}
    client.put_item(TableName="latest", Item=key | {"ver": {"S": "1"}, "ev": {"B": b"1"}})
    request = {"TableName": "latest", "Key": key, "ConditionExpression": "ev = :ev"}
    values = {":ev": {"B": b"1"}, ":left": {"B": b"2"}}
    client.update_item(**request, UpdateExpression="SET ev = :left", ExpressionAttributeValues=values)
    with pytest.raises(ClientError):
        client.update_item(
            **request, UpdateExpression="REMOVE ev", ExpressionAttributeValues={":ev": {"B": b"1"}}
        )
    client.update_item(
        **request, UpdateExpression="REMOVE ev", ExpressionAttributeValues={":ev": {"B": b"2"}}
    )
    assert client.get_item(TableName="latest", Key=key)["Item"] == key | {"ver": {"S": "1"}}


def test_a_batch_of_writes_takes_all(client: Any) -> None:
    requests = [{"PutRequest": {"Item": item(name)}} for name in ("1", "2")]
    assert not client.batch_write_item(RequestItems={"readings": requests})["UnprocessedItems"]
    assert sorted(sorts(client.scan(TableName="readings"))) == ["1", "2"]


@pytest.mark.parametrize("names", [["1", "1"], [str(number) for number in range(26)]], ids=["twice", "26"])
def test_a_batch_of_writes_refuses_one_key_twice_and_more_than_25(names: list[str]) -> None:
    """As DynamoDB does (API reference, BatchWriteItem); moto takes both."""
    requests = [{"PutRequest": {"Item": item(name)}} for name in names]
    with pytest.raises(ClientError):
        Tables(NAMES).batch_write_item(RequestItems={"readings": requests})


def test_a_batch_of_reads_gives_what_is_there(client: Any) -> None:
    fill(client, "1", "2")
    asked = {"Keys": [item("1"), item("9")], "ConsistentRead": True}
    found = client.batch_get_item(RequestItems={"readings": asked})
    assert found["Responses"]["readings"] == [item("1")]
    assert not found["UnprocessedKeys"]


def test_a_query_gives_a_partition_in_order_and_a_range_with_both_ends(client: Any) -> None:
    fill(client, "3", "1", "2", "4")
    fill(client, "2", partition="b")
    values = {":p": {"S": "a"}, ":low": {"S": "2"}, ":high": {"S": "3"}}
    request = {"TableName": "readings", "ConsistentRead": True}
    whole = client.query(
        **request, KeyConditionExpression="p = :p", ExpressionAttributeValues={":p": {"S": "a"}}
    )
    part = client.query(
        **request,
        KeyConditionExpression="p = :p AND s BETWEEN :low AND :high",
        ExpressionAttributeValues=values,
    )
    assert (sorts(whole), sorts(part)) == (["1", "2", "3", "4"], ["2", "3"])


def test_a_query_of_more_than_a_megabyte_comes_in_pages(client: Any) -> None:
    for number in range(5):
        client.put_item(TableName="readings", Item={**item(str(number)), "b": {"B": bytes(300_000)}})
    request: dict[str, Any] = {
        "TableName": "readings",
        "KeyConditionExpression": "p = :p",
        "ExpressionAttributeValues": {":p": {"S": "a"}},
    }
    pages = [client.query(**request)]
    while "LastEvaluatedKey" in pages[-1]:
        pages.append(client.query(**request, ExclusiveStartKey=pages[-1]["LastEvaluatedKey"]))
    assert len(pages) > 1
    assert [each for page in pages for each in sorts(page)] == ["0", "1", "2", "3", "4"]


def test_a_scan_in_pages_and_segments_gives_each_item_once(client: Any) -> None:
    names = [f"gw-{number}" for number in range(7)]
    for name in names:
        client.put_item(TableName="latest", Item={"gateway": {"S": name}})
    found = []
    for segment in range(2):
        request: dict[str, Any] = {"TableName": "latest", "Limit": 2, "Segment": segment, "TotalSegments": 2}
        while True:
            page = client.scan(**request)
            assert len(page["Items"]) <= 2
            found += [each["gateway"]["S"] for each in page["Items"]]
            if "LastEvaluatedKey" not in page:
                break
            request["ExclusiveStartKey"] = page["LastEvaluatedKey"]
    assert sorted(found) == names
