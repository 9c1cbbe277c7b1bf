"""The latest state: small, replaced only by what is newer, and read back as it was."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cloud import enrich, keys, latest, latest_image
from cloud.enrich import Progress
from cloud.latest import Neighbour
from cloud.latest_front import Place
from cloud.plan_sizes import item_size
from cloud.registry import Definition, Entry
from cloud.registry_metadata import LinkMetadata, Metadata
from edge_agent.contract import Link, Outcome
from tests.cloud.latest_made import DAY_MS, KEEP_MS, arrival, entry, item_of, row, state_of
from tests.cloud.records import EPOCH, NOW, batch, denied, echo, envelope, fleet_batch, interface, records

if TYPE_CHECKING:
    from tests.cloud.conftest import Cloud


def test_the_newest_reading_speaks_and_the_losses_of_the_whole_batch_count() -> None:
    readings = [echo(at_ms=NOW - 9_000, received=1), echo(at_ms=NOW - 2_000), echo(at_ms=NOW - 5_000)]
    (series,) = state_of(batch(readings=readings)).series
    assert series.reading == readings[1]
    assert (series.sent, series.lost) == (15, 4)


def test_what_could_not_be_measured_is_no_loss() -> None:
    (series,) = state_of(batch(readings=[denied()])).series
    assert series.reading.outcome is Outcome.DENIED
    assert (series.sent, series.lost) == (0, 0)


def test_several_batches_of_a_gateway_become_one_state_of_the_newest() -> None:
    first = batch(readings=[echo(at_ms=NOW - 9_000), interface("x")], sequence=1)
    second = batch(readings=[echo(at_ms=NOW - 1_000)], sequence=3)
    state = state_of(second, first)
    assert {series.reading for series in state.series} == {second.readings[0], first.readings[1]}
    assert (state.newest.first_sequence, state.readings) == (3, 4)


def test_the_registry_names_peers_media_capacities_and_the_place() -> None:
    links = {"a.b": Link("a.b", peer="far", medium="radio"), "other": Link("other", peer="x")}
    said = Metadata("hill", "north", -33.918861, 18.4233, {"a.b": LinkMetadata("fibre", 100_000)})
    state = state_of(batch(), known=entry(links, site="valley", metadata=said))
    assert state.links == {"a.b": Neighbour("far", "fibre", 100_000)}
    assert (state.site, state.place) == ("hill", Place("hill", "north", -33.918861, 18.4233))


def test_an_import_may_name_a_link_by_where_it_leads() -> None:
    links = {"a.b": Link("a.b", peer="far", medium="radio"), "a.c": Link("a.c")}
    said = Metadata(peers={"far": LinkMetadata("", 5_000)})
    state = state_of(batch(readings=[echo(), echo("a.c")]), known=entry(links, metadata=said))
    assert state.links == {"a.b": Neighbour("far", "radio", 5_000)}


def test_a_registry_that_does_not_answer_takes_nothing_away() -> None:
    progress, said = Progress(), entry({"a.b": Link("a.b", peer="far")}, site="hill")
    enrich.advance(progress, [arrival(batch(sequence=1))], said, KEEP_MS)
    enrich.advance(progress, [arrival(batch(sequence=2))], Entry(known=False), KEEP_MS)
    state = latest.parse(item_of(progress))
    assert (state.newest.first_sequence, state.site, state.links) == (
        2,
        "hill",
        {"a.b": Neighbour("far", "")},
    )


# --- its size -------------------------------------------------------------------------------------


def fleet_item() -> dict[str, Any]:
    """The item of a gateway of the default fleet, all that enrichment adds in it."""
    minute = fleet_batch("gateway-00017", NOW - 60_000)
    measured = [replace(each, values=(*each.values[:-1], 64)) for each in minute.readings]
    names = sorted({each.link for each in minute.readings})
    links = {
        name: Link(name, peer=f"gateway-{number:05d}", medium="radio")
        for number, name in enumerate(names, 18)
    }
    rated = {name: LinkMetadata("radio", 866_700) for name in names}
    said = Metadata("Table Mountain", "Western Cape", -33.962778, 18.409722, rated)
    progress = Progress()
    enrich.advance(
        progress, [arrival(replace(minute, readings=tuple(measured)))], entry(links, metadata=said), KEEP_MS
    )
    return item_of(progress, "gateway-00017")


def test_the_state_of_ten_links_with_all_enrichment_is_one_write_unit() -> None:
    """A write unit is 1 KB (DynamoDB developer guide, "read/write capacity mode")."""
    assert item_size(fleet_item()) <= 900


def test_a_state_that_would_be_too_large_leaves_out_its_oldest_series_and_counts_them() -> None:
    progress = Progress()
    for part in range(40):
        readings = [echo(f"link-{part:02}-{number:03}-{'x' * 40}", at_ms=NOW + part) for number in range(250)]
        given = [arrival(batch(readings=readings, sequence=part * 250))]
        enrich.advance(progress, given, Entry(), KEEP_MS)
        item = item_of(progress)
        assert item_size(item) < 380_000
        if progress.image.left_out:
            break
    state = latest.parse(item)
    assert state.left_out == progress.image.left_out > 0
    held = {series.reading.link for series in state.series}
    assert held >= {each.link for each in readings}
    assert "link-00-000-" + "x" * 40 not in held


def test_a_link_that_nobody_measures_any_more_goes_after_the_time_to_keep_it() -> None:
    progress, day = Progress(), DAY_MS
    first = batch(readings=[echo(at_ms=NOW), echo("gone", at_ms=NOW)], sequence=0)
    enrich.advance(progress, [arrival(first)], Entry(), KEEP_MS)
    for after, there in ((7 * day, {"a.b", "gone"}), (7 * day + 1, {"a.b"})):
        later = batch(readings=[echo(at_ms=NOW + after)], sequence=after)
        enrich.advance(progress, [arrival(later, rx_ms=NOW + after)], Entry(), KEEP_MS)
        assert {series.reading.link for series in latest.parse(item_of(progress)).series} == there


def test_the_registry_forgets_a_link_once_its_state_and_its_definition_are_old() -> None:
    progress = Progress()
    enrich.advance(progress, [arrival(batch())], Entry(), KEEP_MS)
    old = keys.version(NOW - 5_000 - KEEP_MS - 1, EPOCH, 0)
    young = keys.version(NOW - 5_000 - KEEP_MS, EPOCH, 0)
    known = Entry({name: Definition(Link(name), at) for name, at in (("a.b", old), ("x", old), ("y", young))})
    assert enrich.forgotten(progress.image, progress.version, known, KEEP_MS) == {"x"}


def test_the_definition_of_a_link_that_is_gone_is_dropped_with_the_next_batch(cloud: Cloud) -> None:
    links = [Link("a.b", peer="b"), Link("gone", peer="c")]
    cloud.ingest(records(envelope(batch(readings=[echo(), echo("gone")], links=links))))
    after = 8 * DAY_MS
    later = batch(readings=[echo(at_ms=NOW + after)], sequence=9)
    cloud.ingest(records(envelope(later, rx=NOW + after)), now_ms=NOW + after)
    (known,) = (item for item in cloud.items("registry") if item["s"]["S"] == keys.LINKS)
    assert '"a.b"' in known["links"]["S"]
    assert '"gone"' not in known["links"]["S"]
    assert latest.parse(cloud.items("latest")[0]).links == {"a.b": Neighbour("b", "")}


# --- what is newer, and what was written before ---------------------------------------------------


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


def test_a_series_of_a_kind_that_is_not_known_is_kept_and_left_out_of_what_is_read() -> None:
    progress = Progress()
    enrich.advance(progress, [arrival(batch())], Entry(), KEEP_MS)
    progress.image.groups[250] = latest_image.group({"a.b": row(echo())})
    progress.image.arrange()
    item = item_of(progress)
    assert [series.reading.kind for series in latest.parse(item).series] == ["echo"]
    again = Progress(latest.image(item), progress.version)
    enrich.advance(again, [arrival(batch(sequence=5))], Entry(), KEEP_MS)
    assert latest.image(item_of(again)).groups[250].links == ("a.b",)


OLD = {
    "gateway": {"S": "gw-1"},
    "ver": {"S": keys.version(NOW - 5_000, EPOCH, 7)},
    "rx": {"N": str(NOW)},
    "n": {"N": "9"},
    "src": {"S": ""},
    "site": {"S": "hill"},
    "s#echo#a.b": {"B": bytes([1, 5, 0, 0, 1, 0, 6, 6, 1, 1, 1, 1, 11, 13, 0, 16])},
    "s#echo#a.c": {"B": bytes([2, 5, 0, 0, 1, 0, 6, 6, 1, 1, 1, 1, 11, 3, 0, 6])},
    "l#a.b": {"L": [{"S": "far"}, {"S": "radio"}]},
}
"""An item as it was written before all of it was one value; a.b in format 1, a.c in format 2."""


def test_states_of_the_first_two_formats_are_still_read() -> None:
    state = latest.parse(OLD)
    first, second = (series.reading for series in state.series)
    assert (first.at_ms, first["received"], first["rtt_min_us"], first["rtt_p50_us"]) == (5, 5, 10, 12)
    assert (first["rtt_p95_us"], first["rtt_max_us"], first["foreign"]) == (None, 15, None)
    assert second.values == first.values
    assert (state.readings, state.site, state.links) == (9, "hill", {"a.b": Neighbour("far", "radio")})


def test_a_state_of_an_older_format_is_written_anew_by_the_next_batch(cloud: Cloud) -> None:
    young = {"s#echo#a.c": {"B": b"\x02" + _varint(NOW - 9_000) + bytes([0, 0, 1, 0, 6, 6])}}
    cloud.client.put_item(TableName=cloud.settings.latest_table, Item=OLD | young)
    cloud.ingest(records(envelope(batch(sequence=9))))
    (item,) = cloud.items("latest")
    assert set(item) == {"gateway", "ver", "b"}
    assert [series.reading.link for series in latest.parse(item).series] == ["a.b", "a.c"]


def _varint(value: int) -> bytes:
    from cloud.varint import varint

    return varint(value)


def test_a_state_that_cannot_be_read_is_begun_anew_and_counted(cloud: Cloud) -> None:
    cloud.ingest(records(envelope(batch(sequence=1))))
    (item,) = cloud.items("latest")
    cloud.client.put_item(TableName=cloud.settings.latest_table, Item=item | {"b": {"B": b"\x09"}})
    cloud.ingest(records(envelope(batch(sequence=1))))
    assert cloud.items("latest")[0]["b"] == {"B": b"\x09"}  # a replay says nothing new
    cloud.ingest(records(envelope(batch(sequence=2))))
    assert cloud.counts["LatestUnreadable"] == 1
    assert latest.parse(cloud.items("latest")[0]).newest.first_sequence == 2
