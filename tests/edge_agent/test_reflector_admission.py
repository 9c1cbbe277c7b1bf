"""Who a reflector answers, how often, and what it remembers of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from edge_agent.reflector.admission import MOST_SOURCES, Admission
from edge_agent.reflector.departure import LONGEST_NS, Departure
from edge_agent.reflector.replays import GENERATION, Replays
from edge_agent.reflector.sessions import FORGET_AFTER_S, MOST_SESSIONS, Sessions
from edge_agent.reflector.settings import ReflectorSettings


class Time:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def admission(time: Time | None = None, rate: int = 1_000, in_all: int = 10_000, *allow: str) -> Admission:
    settings = ReflectorSettings(packets_per_s=rate, packets_per_s_in_all=in_all)
    if allow:
        settings = ReflectorSettings(packets_per_s=rate, packets_per_s_in_all=in_all, allow=allow)
    return Admission(settings, time or Time())


@pytest.mark.parametrize(
    "source", ["127.0.0.1", "10.1.2.3", "::1", "fd00::5", "fe80::1%eth0", "::ffff:10.1.2.3"]
)
def test_nearby_sources_are_admitted_by_default(source: str) -> None:
    assert admission().admits(source)


@pytest.mark.parametrize("source", ["8.8.8.8", "2001:db8::1", "::ffff:8.8.8.8", "172.32.0.1"])
def test_sources_of_the_internet_are_refused_by_default(source: str) -> None:
    gate = admission()
    assert not gate.admits(source) and not gate.allows(source)
    assert (gate.refused, gate.limited) == (2, 0)


def test_only_what_is_listed_is_admitted() -> None:
    gate = admission(None, 10, 10, "192.0.2.0/24")
    assert gate.admits("192.0.2.7") and not gate.admits("10.0.0.1")


def test_a_source_has_its_rate_and_a_burst_of_one_second() -> None:
    time = Time()
    gate = admission(time, 10)
    assert [gate.admits("10.0.0.1") for _ in range(12)] == [True] * 10 + [False] * 2
    assert gate.limited == 2
    time.now += 0.25
    assert [gate.admits("10.0.0.1") for _ in range(3)] == [True, True, False]
    time.now += 3_600
    assert sum(gate.admits("10.0.0.1") for _ in range(20)) == 10


def test_a_greedy_source_takes_nothing_from_another() -> None:
    gate = admission(None, 10, 30)
    for _ in range(1_000):
        gate.admits("10.0.0.1")
    assert all(gate.admits("10.0.0.2") for _ in range(10))


def test_many_sources_share_a_limit() -> None:
    gate = admission(None, 10, 30)
    assert sum(gate.admits(f"10.0.{host}.1") for host in range(200)) == 30


def test_a_packet_may_count_as_several() -> None:
    gate = admission(None, 10)
    assert gate.admits("10.0.0.1", 8) and not gate.admits("10.0.0.1", 3) and gate.admits("10.0.0.1", 2)


def test_what_is_remembered_of_sources_is_bounded() -> None:
    gate = admission(None, 1, 1_000_000)
    for host in range(2 * MOST_SOURCES):
        gate.admits(f"10.{host >> 16}.{host >> 8 & 255}.{host & 255}")
    assert len(gate._sources) == MOST_SOURCES


def test_what_is_remembered_of_answered_packets_is_bounded_and_the_oldest_goes() -> None:
    replays = Replays()
    for number in range(3 * GENERATION):
        replays.remember("10.0.0.1", number)
        assert replays.knows("10.0.0.1", number)
    assert len(replays) == 2 * GENERATION
    assert replays.knows("10.0.0.1", 2 * GENERATION) and not replays.knows("10.0.0.1", 0)
    assert not replays.knows("10.0.0.2", 2 * GENERATION)


def test_a_session_is_numbered_from_0_and_apart_from_others() -> None:
    sessions = Sessions(Time())
    for number in range(3):
        assert sessions.next(("10.0.0.1", 5_000, 7)) == number
        sessions.sent(("10.0.0.1", 5_000, 7), number)
    assert sessions.next(("10.0.0.1", 5_000, 8)) == sessions.next(("10.0.0.1", 5_001, 7)) == 0


def test_a_silent_session_begins_again_and_its_room_is_freed() -> None:
    time = Time()
    sessions = Sessions(time)
    sessions.sent(("10.0.0.1", 1, 1), 4)
    time.now += FORGET_AFTER_S
    assert sessions.next(("10.0.0.1", 1, 1)) == 0
    sessions.sent(("10.0.0.2", 1, 1), 0)
    assert len(sessions) == 1


def test_sessions_are_bounded_and_the_one_silent_for_longest_goes() -> None:
    sessions = Sessions(Time())
    for port in range(MOST_SESSIONS):
        sessions.sent(("10.0.0.1", port, 1), 0)
    sessions.sent(("10.0.0.1", 0, 1), 1)
    sessions.sent(("10.0.0.9", 0, 1), 0)
    assert len(sessions) == MOST_SESSIONS
    assert [sessions.next(("10.0.0.1", port, 1)) for port in range(3)] == [2, 0, 1]


def test_a_session_that_never_ends_counts_on_from_0() -> None:
    sessions = Sessions(Time())
    sessions.sent(("10.0.0.1", 1, 1), 0xFFFF_FFFF)
    assert sessions.next(("10.0.0.1", 1, 1)) == 0


def test_the_time_of_departure_is_learnt_from_the_fastest_of_the_last_replies() -> None:
    departure = Departure()
    for lag_ns in (300_000, 40_000, 900_000, 42_000, LONGEST_NS + 1, -5):
        departure.learn(lag_ns)
    assert departure.lag_ns == 0  # too few to tell: the first are slow
    departure.learn(41_000)
    assert departure.lag_ns == 40_000
    for _ in range(15):
        departure.learn(60_000)
    assert departure.lag_ns == 60_000


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (partial(ReflectorSettings, allow=("10.0.0.1/8",)), "allow has '10.0.0.1/8'"),
        (partial(ReflectorSettings, allow=("everyone",)), "allow has 'everyone'"),
        (partial(ReflectorSettings, allow=(), enabled=True), "allow is empty"),
        (partial(ReflectorSettings, listen="eth0"), "listen is 'eth0'"),
        (partial(ReflectorSettings, port=70_000), "port is 70000"),
        (partial(ReflectorSettings, port=8620), "port and train_port are both 8620"),
        (partial(ReflectorSettings, packets_per_s=0), "packets_per_s is 0"),
        (partial(ReflectorSettings, bulk_max_mb=0), "bulk_max_mb is 0"),
    ],
)
def test_settings_that_cannot_work_are_refused(
    settings: Callable[[], ReflectorSettings], message: str
) -> None:
    with pytest.raises(ValueError, match=r"^reflector: ") as caught:
        settings()
    assert message in str(caught.value)
