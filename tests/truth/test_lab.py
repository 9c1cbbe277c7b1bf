"""The lab end to end: what arrives is what the wire's log says, to the packet; nothing here is timed."""

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.truth.lab import FAR, FAR6, Lab, needs_lab
from tests.truth.matching import fates, replies, requests, round_trips_ns
from tests.truth.passage import Passage
from tests.truth.shape import Shape

pytestmark = needs_lab

SEND = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
    opened.bind(("", 5000))
    for number in range(int(sys.argv[1])):
        opened.sendto(number.to_bytes(4, "big") * 250, ("10.77.0.2", 6000))
"""
RECEIVE = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
    opened.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
    opened.bind(("", 6000))
    print("ready", flush=True)
    while (data := opened.recv(2000)) != b"end":
        print(int.from_bytes(data[:4], "big"), flush=True)
"""
END = """
import socket
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"end", ("127.0.0.1", 6000))
"""


def sent_through(shape: Shape, count: int, seed: int = 1) -> tuple[list[int], list[Passage]]:
    """The numbers that a receiver at far got, and the log of the frames that carried them."""
    with Lab(out=shape, seed=seed) as lab:
        receiver = lab.far.popen([sys.executable, "-c", RECEIVE])
        assert receiver.stdout and receiver.stdout.readline() == "ready\n"
        lab.near.python(SEND, str(count))
        lab.settle()
        lab.far.python(END)
        numbers = [int(line) for line in receiver.stdout.read().split()]
        return numbers, [each for each in lab.log() if each.key.protocol == "udp"]


def expected(log: list[Passage]) -> list[int]:
    """The numbers in the order in which their frames left, copies included; a wrong checksum ends at far."""
    left = [(at, int.from_bytes(each.key.payload[:4], "big")) for each in log for at in each.written_ns]
    spoilt = {int.from_bytes(each.key.payload[:4], "big") for each in log if each.fate == "corrupted"}
    return [number for _, number in sorted(left) if number not in spoilt]


@pytest.mark.parametrize(
    "shape",
    [
        Shape(delay_ms=1),
        Shape(loss=0.2),
        Shape(duplicate=0.3),
        Shape(corrupt=0.3),
        Shape(delay_ms=1, jitter_ms=2),
        Shape(reorder=0.2, reorder_ms=20, rate_kbps=20_000),
        Shape(rate_kbps=20_000, queue_bytes=30_000),
        Shape(rate_kbps=20_000, slot_ms=5),
        Shape(rate_kbps=20_000, aggregate_ms=4),
        Shape(rate_kbps=20_000, bucket_bytes=20_000, bucket_peak_kbps=100_000),
        Shape(delay_ms=1, loss=0.1, duplicate=0.1, corrupt=0.1, reorder=0.1, reorder_ms=10, jitter_ms=1),
    ],
    ids=lambda shape: re.sub(
        r"Shape\(|\)", "", str({k: getattr(shape, k) for k in shape.__slots__ if getattr(shape, k)})
    ),
)
def test_what_arrives_is_what_the_log_says(shape: Shape) -> None:
    numbers, log = sent_through(shape, 150)

    assert [each.index for each in log] == list(range(150))
    assert numbers == expected(log)
    assert len(numbers) == 150 or shape.loss or shape.corrupt or shape.duplicate or shape.queue_bytes < 40_000


def test_the_same_seed_meets_the_same_fates() -> None:
    shape = Shape(loss=0.2, duplicate=0.2, corrupt=0.1)
    first, second, other = ([each.fate for each in sent_through(shape, 60, seed)[1]] for seed in (3, 3, 4))

    assert first == second
    assert first != other


def test_no_frame_leaves_before_it_is_due_nor_is_due_before_it_came() -> None:
    _, log = sent_through(Shape(delay_ms=2, jitter_ms=2, rate_kbps=50_000), 100)

    assert all(each.due_ns and each.due_ns >= each.read_ns for each in log)
    assert all(each.late_ns >= 0 for each in log)


@pytest.mark.parametrize("target", [FAR, FAR6])
def test_ping_agrees_with_the_log(target: str) -> None:
    with Lab(Shape(delay_ms=1, lose=(2, 5)), Shape(delay_ms=1, lose=(0,))) as lab:
        ping = lab.near.run(["ping", "-n", "-q", "-c", "10", "-i", "0.01", "-W", "1", target], check=False)
        lab.settle()
        log = lab.log()

    assert "7 received" in ping.stdout
    assert len(requests(log)) == 10 and fates(requests(log), "lost") == 2
    assert len(replies(log)) == 8
    trips = round_trips_ns(log)
    assert [number for number, trip in enumerate(trips) if trip is None] == [0, 2, 5]
    assert all(trip >= 2_000_000 for trip in trips if trip is not None)


def test_nothing_is_left_behind_after_an_error() -> None:
    with contextlib.suppress(ZeroDivisionError), Lab() as lab:
        sleeper = lab.far.popen(["sleep", "100"])
        raise ZeroDivisionError

    assert sleeper.poll() is not None
    assert not list(Path("/run/netns").glob(f"truth-{os.getpid()}-*"))


def test_the_namespaces_of_a_killed_lab_are_swept_by_the_next() -> None:
    done = subprocess.Popen([sys.executable, "-c", "pass"])
    done.wait()
    name = f"truth-{done.pid}-0-near"
    subprocess.run(["ip", "netns", "add", name], check=True)
    with Lab():
        assert not Path("/run/netns", name).exists()


def test_a_program_that_fails_at_one_end_says_why() -> None:
    with Lab() as lab, pytest.raises(AssertionError, match="this is why"):
        lab.near.python("raise SystemExit('this is why')")
