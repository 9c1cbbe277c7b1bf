"""The latest state: small, replaced only by what is newer, and read back as it was."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud import latest
from cloud.decode import Arrival, Envelope
from cloud.latest import Neighbour, Series
from cloud.poison import Position
from edge_agent.contract import KINDS, Batch, ContractError, Flag, Link, Outcome, Reading, encode
from tests.cloud.conftest import patience
from tests.cloud.records import EPOCH, NOW, batch, denied, echo, envelope, fleet_batch, interface, records

if TYPE_CHECKING:
    from tests.cloud.conftest import Cloud


def arrival(sealed: Batch, rx_ms: int = NOW, sequence: str = "1") -> Arrival:
    position = Position("shardId-000000000000", sequence, rx_ms)
    return Arrival(Envelope(position, sealed.gateway, sealed.gateway, rx_ms, False, encode(sealed)), sealed)


def stored(update: latest.Update) -> dict[str, object]:
    return {"gateway": {"S": update.gateway}, "ver": {"S": update.version}, **update.attributes}


READINGS = st.sampled_from(sorted(KINDS)).flatmap(
    lambda kind: st.builds(
        Reading,
        link=st.just("a.b"),
        kind=st.just(kind),
        at_ms=st.integers(0, (1 << 63) - 1),
        values=st.tuples(*(st.none() | st.integers(0, column.maximum) for column in KINDS[kind].columns)),
        flags=st.integers(0, 31).map(Flag),
        outcome=st.sampled_from(Outcome),
    )
)


@given(READINGS, st.integers(0, 65_534), st.integers(0, 65_534))
def test_a_series_comes_back_as_it_went_in(reading: Reading, sent: int, lost: int) -> None:
    series = Series(reading, sent, lost)
    assert latest.unpack_series(reading.kind, reading.link, latest.pack_series(series)) == series


def test_a_series_of_an_older_version_reads_its_new_columns_as_null() -> None:
    whole = latest.pack_series(Series(echo(), 5, 0))
    read = latest.unpack_series("echo", "a.b", whole[:-1]).reading
    assert (echo()["reply_ttl"], read["reply_ttl"]) == (64, None)
    assert read["rtt_p50_us"] == echo()["rtt_p50_us"]


def test_a_series_of_an_unknown_format_is_an_error_that_names_the_link() -> None:
    with pytest.raises(ContractError, match=r"a\.b has format 09"):
        latest.unpack_series("echo", "a.b", b"\x09\x01")
    with pytest.raises(ContractError, match=r"a\.b is cut short"):
        latest.unpack_series("echo", "a.b", b"\x01\x01")


def test_an_outcome_of_a_newer_version_is_an_error_that_names_the_link() -> None:
    unknown = len(Outcome)
    with pytest.raises(ContractError, match=r"a\.b: .* is not a valid Outcome"):
        latest.unpack_series("echo", "a.b", bytes([1, 5, 0, unknown, 1, 0]))


def test_the_newest_reading_speaks_and_the_losses_of_the_whole_batch_count() -> None:
    readings = [echo(at_ms=NOW - 9_000, received=1), echo(at_ms=NOW - 2_000), echo(at_ms=NOW - 5_000)]
    (series,) = latest.parse(stored(latest.update([arrival(batch(readings=readings))], {}))).series
    assert series.reading == readings[1]
    assert (series.sent, series.lost) == (15, 4)


def test_what_could_not_be_measured_is_no_loss() -> None:
    (series,) = latest.parse(stored(latest.update([arrival(batch(readings=[denied()]))], {}))).series
    assert series.reading.outcome is Outcome.DENIED
    assert (series.sent, series.lost) == (0, 0)


def test_several_batches_of_a_gateway_become_one_update_of_the_newest() -> None:
    first = batch(readings=[echo(at_ms=NOW - 9_000), interface("x")], sequence=1)
    second = batch(readings=[echo(at_ms=NOW - 1_000)], sequence=3)
    update = latest.update([arrival(second, sequence="2"), arrival(first, sequence="1")], {})
    state = latest.parse(stored(update))
    assert {series.reading for series in state.series} == {second.readings[0], first.readings[1]}
    assert (state.newest.first_sequence, state.readings) == (3, 4)
    assert set(update.sequences) == {"1", "2"}


def test_peers_and_media_are_named_for_the_links_of_the_batch_alone() -> None:
    links = {"a.b": Link("a.b", peer="far", medium="radio"), "other": Link("other", peer="x")}
    state = latest.parse(stored(latest.update([arrival(batch())], links, "hill")))
    assert state.links == {"a.b": Neighbour("far", "radio")}
    assert state.site == "hill"


def test_a_series_of_the_first_format_is_still_read() -> None:
    plain = bytes([1, 5, 0, 0, 1, 0, 6, 6, 1, 1, 1, 1, 11, 13, 0, 16])
    read = latest.unpack_series("echo", "a.b", plain).reading
    assert (read.at_ms, read["received"], read["rtt_min_us"], read["rtt_p50_us"]) == (5, 5, 10, 12)
    assert (read["rtt_p95_us"], read["rtt_max_us"], read["foreign"]) == (None, 15, None)


def test_the_state_of_ten_links_and_their_peers_is_one_write_unit() -> None:
    simulated = fleet_batch("gateway-00017", NOW - 60_000)
    measured = [replace(each, values=(*each.values[:-1], 64)) for each in simulated.readings]
    sealed = replace(simulated, readings=tuple(measured))
    links = {
        reading.link: Link(reading.link, peer="gateway-00018", medium="radio") for reading in sealed.readings
    }
    item = stored(latest.update([arrival(sealed)], links))

    def size(value: dict[str, object]) -> int:
        ((kind, content),) = value.items()
        if kind == "L":
            assert isinstance(content, list)
            return 3 + sum(1 + size(each) for each in content)
        return 8 if kind == "N" else len(content)  # type: ignore[arg-type]

    assert sum(len(name) + size(value) for name, value in item.items()) <= 1024  # type: ignore[arg-type]


def test_a_state_of_255_links_is_written_whole_and_completed_by_a_retry(cloud: Cloud) -> None:
    readings = [echo(f"link-{number}", at_ms=NOW - number) for number in range(255)]
    update = latest.update([arrival(batch(readings=readings))], {})
    requests = latest.requests(update, cloud.settings.latest_table)
    assert len(requests) > 1
    cloud.client.update_item(**requests[0])  # the function ended here
    outcome = cloud.pipeline().store.update([update], cloud.settings.latest_table, patience())
    assert not outcome.failed
    state = latest.parse(cloud.items("latest")[0])
    assert {series.reading.link for series in state.series} == {f"link-{number}" for number in range(255)}


def test_an_older_state_replaces_nothing_of_a_newer_one(cloud: Cloud) -> None:
    newer, older = batch(readings=[echo(at_ms=NOW - 1)], sequence=9), batch(readings=[echo("x")], sequence=8)
    cloud.ingest(records(envelope(newer)))
    before = cloud.items("latest")
    cloud.ingest(records(envelope(older)))
    assert cloud.items("latest") == before


def test_equal_times_are_told_apart_by_the_order_of_sealing(cloud: Cloud) -> None:
    cloud.ingest(
        records(envelope(batch(sequence=1)), envelope(batch(sequence=2, readings=[echo(p50=20_000)])))
    )
    state = latest.parse(cloud.items("latest")[0])
    assert (state.newest.epoch, state.newest.first_sequence) == (EPOCH, 2)
    assert state.series[0].reading["rtt_p50_us"] == 20_000


def test_a_series_of_a_kind_that_is_not_known_is_left_out() -> None:
    item = stored(latest.update([arrival(batch())], {}))
    item["s#smell#a.b"] = {"B": b"\x01\x00"}
    assert [series.reading.kind for series in latest.parse(item).series] == ["echo"]
