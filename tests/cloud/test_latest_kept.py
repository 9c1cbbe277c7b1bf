"""States kept between invocations: used as long as the table has the same, and never after a failed write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloud import latest_bytes
from cloud.latest_image import Row, image
from tests.cloud.conftest import Faulty, patience
from tests.cloud.latest_made import AGAIN, BAD, DOWN, GOOD, UP, minute, sent, state, throttled, told
from tests.cloud.records import NOW

if TYPE_CHECKING:
    from cloud.ingest import Pipeline
    from tests.cloud.conftest import Cloud


def run(pipeline: Pipeline, *batches: Any) -> None:
    assert pipeline.run(sent(*batches), patience(), NOW) == {"batchItemFailures": []}


def test_a_state_that_somebody_else_replaced_meanwhile_is_read_again(cloud: Cloud) -> None:
    kept = cloud.pipeline()
    run(kept, UP)
    cloud.ingest(sent(DOWN))
    run(kept, AGAIN)
    assert told(cloud) == [("UP", "DOWN"), ("DOWN", "UP")]


def test_a_write_that_failed_leaves_nothing_of_its_batch_behind(cloud: Cloud) -> None:
    faults = iter([True])

    def fault(operation: str, request: dict[str, Any]) -> Any:
        if operation == "put_item" and "gateway" in request["Item"] and armed and next(faults, False):
            raise throttled(operation)

    armed = False
    kept = cloud.pipeline(client=Faulty(cloud.client, fault))
    run(kept, UP)
    armed = True
    run(kept, minute(1, BAD, BAD))  # three bad rounds would make the link down, and it is done twice
    assert told(cloud) == []
    run(kept, minute(2, BAD))
    assert told(cloud) == [("UP", "DOWN")]


def test_one_process_and_many_write_the_same_states(cloud: Cloud) -> None:
    batches = [UP, minute(1, GOOD, BAD, GOOD), DOWN, AGAIN, minute(3, BAD, GOOD, GOOD)]
    kept = cloud.pipeline()
    for each in batches:
        run(kept, each)
    whole = cloud.items("latest")
    cloud.client.delete_item(TableName=cloud.settings.latest_table, Key={"gateway": {"S": "gw-1"}})
    for each in batches:
        cloud.ingest(sent(each))
    assert cloud.items("latest") == whole
    assert state(cloud).newest.first_sequence == 300


def test_a_state_is_deflated_only_where_that_saves_a_write_unit() -> None:
    def packed(links: int) -> bytes:
        rows = {f"link-{number:03d}": Row(NOW, content=bytes(43)) for number in range(links)}
        return latest_bytes.pack(image({1: rows}, {}))

    assert len(packed(15)) > 15 * 43
    assert len(packed(40)) < 10 * 43
    assert latest_bytes.unpack(packed(40)).groups[1].contents == [bytes(43)] * 40
