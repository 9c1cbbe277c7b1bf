"""The simulated world: a function of its seed, connected, and within the wire contract."""

from __future__ import annotations

from collections import Counter, defaultdict

import networkx
import pytest

from edge_agent.contract import Batch, Flag, check
from simulator.scenarios import MEDIA
from simulator.world import STAGGER_MS, World, build

AT_MS = 1_790_000_000_000


def history(world: World) -> bytes:
    """Three rounds of the whole world."""
    rounds = [
        gateway.readings(AT_MS + turn * 10_000, 10_000 if turn else None)
        for turn in range(3)
        for gateway in world.gateways
    ]
    return repr((world.gateways[0].definitions, rounds)).encode()


def test_the_same_seed_is_the_same_world_to_the_byte() -> None:
    assert history(build(7, 6, 4)) == history(build(7, 6, 4))


def test_another_seed_is_another_world() -> None:
    assert history(build(7, 6, 4)) != history(build(8, 6, 4))


def test_a_round_is_the_same_in_whatever_order_rounds_are_asked_for() -> None:
    one, other = build(3, 2, 3).gateways[0], build(3, 2, 3).gateways[0]
    times = [AT_MS, AT_MS + 90_000_000, AT_MS + 10_000]
    forward = {at: one.readings(at, 10_000) for at in times}
    backward = {at: other.readings(at, 10_000) for at in reversed(times)}
    assert forward == backward


@pytest.mark.parametrize(("gateways", "links"), [(1, 3), (2, 1), (2, 5), (3, 2), (5, 1), (50, 10), (40, 39)])
def test_each_gateway_has_its_number_of_links_under_ids_of_its_own(gateways: int, links: int) -> None:
    for gateway in build(1, gateways, links).gateways:
        assert len({each.link.id for each in gateway.links}) == links
        assert all(each.link.peer != gateway.name for each in gateway.links)


@pytest.mark.parametrize(("gateways", "links"), [(2, 1), (3, 2), (5, 1), (50, 10), (97, 3), (300, 4)])
def test_the_links_join_all_gateways_in_both_directions(gateways: int, links: int) -> None:
    world = build(2, gateways, links)
    graph = networkx.DiGraph(
        (gateway.name, each.link.peer) for gateway in world.gateways for each in gateway.links
    )
    assert set(graph) == {gateway.name for gateway in world.gateways}
    assert networkx.is_strongly_connected(graph)


def test_most_paths_have_a_link_each_way_and_then_over_the_same_medium() -> None:
    media: dict[tuple[str, str], list[str]] = defaultdict(list)
    for gateway in build(1, 50, 6).gateways:
        for each in gateway.links:
            media[gateway.name, each.link.peer].append(each.link.medium)
    paired = [path for path in media if path[::-1] in media]
    assert len(paired) > 0.9 * len(media)
    for there in paired:
        back = media[there[::-1]]
        assert media[there][: len(back)] == back[: len(media[there])]


def test_all_media_occur_and_the_paid_ones_are_metered() -> None:
    links = [each.link for gateway in build(1, 50, 10).gateways for each in gateway.links]
    assert Counter(link.medium for link in links).keys() == MEDIA.keys()
    assert {link.medium for link in links if link.metered} == {"lte", "vsat"}


def test_round_trips_fit_the_medium() -> None:
    world = build(5, 30, 8)
    fastest: dict[str, int] = {}
    for gateway in world.gateways:
        media = {each.link.id: each.link.medium for each in gateway.links}
        for reading in gateway.readings(AT_MS, None):
            if reading.kind == "echo" and (rtt_us := reading["rtt_min_us"]) is not None:
                medium = media[reading.link]
                fastest[medium] = min(rtt_us, fastest.get(medium, rtt_us))
    assert fastest["fibre"] < fastest["radio"] < fastest["lte"] < fastest["vsat"]
    assert fastest["vsat"] > 500_000


def test_a_round_holds_an_echo_of_each_link_and_one_interface_within_the_contract() -> None:
    for gateway in build(4, 5, 6).gateways:
        readings = gateway.readings(AT_MS, 10_000)
        assert Counter(reading.kind for reading in readings) == {"echo": 6, "interface": 1}
        check(Batch(gateway.name, 1, 0, AT_MS, tuple(readings), gateway.definitions))
        assert all(Flag.SIMULATED in reading.flags for reading in readings)
        assert all(AT_MS - STAGGER_MS < reading.at_ms <= AT_MS for reading in readings)


def test_the_first_interface_reading_has_no_totals_and_later_ones_have() -> None:
    gateway = build(1, 2, 2).gateways[0]
    first, later = (gateway.readings(AT_MS, period)[-1] for period in (None, 10_000))
    assert first["rx_bytes"] is None
    assert first["period_ms"] is None
    assert later["period_ms"] == 10_000
    rx_bytes, speed_kbps = later["rx_bytes"], later["speed_kbps"]
    assert rx_bytes is not None
    assert speed_kbps is not None
    assert 0 < rx_bytes * 8 / 10 < speed_kbps * 1000


def test_an_interface_is_down_without_traffic_while_its_link_is_out() -> None:
    world = build(1, 10, 2)
    for gateway in world.gateways:
        for minute in range(0, 5 * 1440, 4):
            at_ms = AT_MS + minute * 60_000
            if gateway.links[0].model.is_out(at_ms - gateway.links[0].lead_ms):
                reading = gateway.readings(at_ms, 10_000)[-1]
                assert (reading["up"], reading["speed_kbps"], reading["rx_bytes"]) == (0, None, 0)
                return
    pytest.fail("no outage in five days of ten gateways")


def test_names_carry_the_prefix_and_sites_differ() -> None:
    world = build(1, 700, 1, "sim")
    assert [world.gateways[0].name, world.gateways[-1].name] == ["sim-0001", "sim-0700"]
    assert len({gateway.site.name for gateway in world.gateways}) == 700
