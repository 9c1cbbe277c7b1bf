"""The ingest function beside the usual one, in process, over HTTP, and at its cold start."""

from __future__ import annotations

from tests.benchmarks import ingest_cold, ingest_peer, ingest_wire
from tests.benchmarks.ingest_fleet import READINGS, Minutes, Tables, pipeline_on, whole_messages
from tests.benchmarks.paired import Row, rates

LEAST_A_SECOND = 300_000
LEAST_TIMES_PEER = 10
WARM, REPEATS = 6, 7
PEER = "Powertools, pydantic"


def rows() -> list[Row]:
    """Readings a second of CPU time on one core, and seconds of CPU time of a cold start."""
    return [*_in_process(), *ingest_wire.rows(), *ingest_cold.rows()]


def _in_process() -> list[Row]:
    """From the stream's records to built writes, the latest states of a running fleet included."""
    minutes, tables = Minutes(WARM + 3 * REPEATS), Tables()
    pipeline = pipeline_on(tables, workers=1)
    for _ in range(WARM):
        minutes.run(pipeline)
    singly, whole = minutes.messages(), whole_messages(minutes.batches[0])

    def peer() -> None:
        assert ingest_peer.run(singly, tables, ingest_peer.One) == {"batchItemFailures": []}

    def spare() -> None:
        response = ingest_peer.run(singly, tables, ingest_peer.One, ingest_peer.by_hand)
        assert response == {"batchItemFailures": []}

    def batched() -> None:
        assert ingest_peer.run(whole, tables, ingest_peer.Several) == {"batchItemFailures": []}

    unit, what = "readings/s", "ingest to writes"
    first = rates(lambda: minutes.run(pipeline), peer, READINGS, REPEATS)
    second = rates(lambda: minutes.run(pipeline), spare, READINGS, REPEATS)
    third = rates(lambda: minutes.run(pipeline), batched, READINGS, REPEATS)
    return [
        Row(what, unit, *first, PEER, at_least=LEAST_TIMES_PEER, least=LEAST_A_SECOND),
        Row("... its values by hand", unit, *second, PEER),
        Row("... its records of 60", unit, *third, PEER),
    ]
