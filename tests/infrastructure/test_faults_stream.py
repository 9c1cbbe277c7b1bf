"""A stream that takes records twice, late, in another order or not at once: all of them arrive."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import EndpointConnectionError

from infrastructure.local.faults import Dice
from infrastructure.local.faults_stream import FaultyStream
from infrastructure.local.state import Counters
from tests.infrastructure.faulty import dice
from tests.infrastructure.parts import eventually


class Stream:
    """Takes every record, or nothing while it is gone."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.gone = 0

    def put_records(self, StreamName: str, Records: list[dict[str, Any]]) -> dict[str, Any]:
        if self.gone:
            self.gone -= 1
            raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")
        self.taken += [record["Data"] for record in Records]
        return {"Records": [{"SequenceNumber": "1"} for _ in Records], "FailedRecordCount": 0}


def put(faulty: FaultyStream, *texts: str) -> dict[str, Any]:
    records = [{"Data": text.encode(), "PartitionKey": "k"} for text in texts]
    return faulty.put_records(StreamName="s", Records=records)


def faulty_stream(stream: Any, thrown: Dice, latest_s: float = 60.0) -> FaultyStream:
    made = FaultyStream(stream, thrown, latest_s)
    made.start()
    return made


def test_records_that_are_held_back_or_doubled_all_arrive_before_it_ends() -> None:
    """Nothing is lost, what is doubled comes at least once more, and the order is another one."""
    stream, counters = Stream(), Counters()
    faulty = faulty_stream(stream, dice(counters, record_twice=0.2, record_late=0.3, records_shuffled=0.5))
    texts = [f"{number:03d}" for number in range(300)]
    for at in range(0, 300, 10):
        answer = put(faulty, *texts[at : at + 10])
        assert (answer["FailedRecordCount"], len(answer["Records"])) == (0, 10)
    assert faulty.held > 0
    faulty.stop()
    counts = counters.snapshot()
    assert {each.decode() for each in stream.taken} == set(texts)
    assert len(stream.taken) == 300 + counts["fault.record-twice"]
    assert stream.taken != sorted(stream.taken)
    assert (faulty.held, faulty.failure()) == (0, "")


def test_what_is_held_back_arrives_by_itself() -> None:
    """Also when the stream cannot be reached at first."""
    stream = Stream()
    stream.gone = 2
    faulty = faulty_stream(stream, dice(record_late=1.0), 0.05)
    put(faulty, "one")
    eventually(lambda: stream.taken == [b"one"])
    faulty.stop()


def test_records_that_are_refused_are_named_in_the_answer() -> None:
    """ "A single record failure does not stop the processing of subsequent records" (API_PutRecords)."""
    stream = Stream()
    faulty = faulty_stream(stream, dice(record_refused=0.5))
    texts = [f"{number}" for number in range(40)]
    answer = put(faulty, *texts)
    faulty.stop()
    refused = [each for each, told in zip(texts, answer["Records"], strict=True) if "ErrorCode" in told]
    assert 0 < len(refused) == answer["FailedRecordCount"] < 40
    assert [each.decode() for each in stream.taken] == [each for each in texts if each not in refused]
