"""The order of links: down, unknown, loss, time; what is not measured is neither 0 nor 100 %."""

from __future__ import annotations

import pytest

from cloud.keys import ChunkId
from cloud.latest import Latest, Neighbour, Series
from cloud.ranking import LinkRow, State, ordered, rows
from edge_agent.contract import Reading
from edge_agent.contract import row as values
from tests.cloud.records import NOW, denied, echo, interface

HOUR = 3_600_000


def state(*readings: Reading, gateway: str = "gw-1") -> Latest:
    series = tuple(
        Series(each, each["sent"] or 0, (each["sent"] or 0) - (each["received"] or 0))
        if each.kind == "echo"
        else Series(each, 0, 0)
        for each in readings
    )
    return Latest(gateway, ChunkId(NOW, 1, 0), NOW, 1, False, "", series, {"a.b": Neighbour("far", "radio")})


def row(*readings: Reading) -> LinkRow:
    (found,) = rows([state(*readings)], NOW)
    return found


def test_links_are_ordered_from_down_over_unknown_and_lossy_to_slow_and_fast() -> None:
    found = rows(
        [
            state(
                echo("fast", p50=1_000),
                echo("slow", p50=90_000),
                echo("lossy", received=3),
                echo("silent", at_ms=NOW - HOUR),
                echo("down", received=0),
            )
        ],
        NOW,
    )
    assert [each.link for each in ordered(found)] == ["down", "silent", "lossy", "slow", "fast"]


def test_links_without_a_figure_come_last_when_sorted_by_it() -> None:
    found = rows([state(echo("a", received=4), denied("b"), echo("c", p50=90_000))], NOW)
    assert [each.link for each in ordered(found, "loss")] == ["a", "c", "b"]
    assert [each.link for each in ordered(found, "p50")][-1] == "b"
    assert [each.link for each in ordered(found, "name")] == ["a", "b", "c"]


def test_a_link_that_could_not_be_measured_has_no_loss_and_is_not_down() -> None:
    found = row(denied())
    assert (found.state, found.loss, found.p50_us) == (State.NOT_MEASURED, None, None)


def test_an_old_outage_is_no_data_rather_than_down() -> None:
    assert row(echo(received=0, at_ms=NOW - HOUR)).state is State.NO_DATA


def test_an_interface_that_is_down_takes_the_link_down() -> None:
    found = row(denied(), interface(up=0))
    assert (found.state, found.speaker.reading.kind) == (State.DOWN, "echo")
    assert row(echo(), interface(up=0, at_ms=NOW - HOUR)).state is State.UP


def test_a_fresh_kind_speaks_before_a_preferred_one_that_is_silent() -> None:
    assert row(echo(at_ms=NOW - HOUR), interface()).speaker.reading.kind == "interface"
    assert row(echo(), interface()).speaker.reading.kind == "echo"


def figures(kind: str, at_ms: int = NOW, link: str = "a.b", **columns: int) -> Reading:
    return Reading(link, kind, at_ms, values(kind, **columns))


def test_what_cannot_tell_up_from_down_never_speaks_for_a_link() -> None:
    quiet = [figures(kind) for kind in ("capacity", "bulk", "load", "path", "neighbour", "state")]
    found = row(echo(at_ms=NOW - HOUR), *quiet)
    assert (found.speaker.reading.kind, found.state) == ("echo", State.NO_DATA)
    assert row(*quiet).state is State.NOT_MEASURED


def test_stamp_speaks_before_connect_and_echo_before_both() -> None:
    stamp, connect = figures("stamp", sent=5, received=5), figures("connect", sent=3, connected=3)
    assert row(connect, stamp).speaker.reading.kind == "stamp"
    assert row(connect, stamp, echo()).speaker.reading.kind == "echo"


@pytest.mark.parametrize("kind", ["host", "agent", "gap"])
def test_what_a_gateway_says_of_itself_is_no_link(kind: str) -> None:
    assert rows([state(figures(kind, link="host"))], NOW) == []


def test_a_link_that_once_went_down_is_what_its_echoes_say_now() -> None:
    found = row(echo(at_ms=NOW), figures("state", NOW, up=0, was_up=1))
    assert (found.state, found.speaker.reading.kind) == (State.UP, "echo")


def test_a_link_names_its_peer_and_medium() -> None:
    assert (row(echo()).peer, row(echo()).medium) == ("far", "radio")
    assert row(echo("other")).peer == ""
