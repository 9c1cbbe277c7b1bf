"""Frames are found again after any damage, and a torn write is told from a changed one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some

from edge_agent.spool.disk import FILL
from edge_agent.spool.frame import OVERHEAD, SECTOR, encode_frame, scan
from edge_agent.spool.ranges import Ranges

BODIES = some.lists(some.binary(max_size=80), min_size=1, max_size=12)


def file_of(bodies: list[bytes], size: int = 4096) -> bytes:
    data = b"".join(encode_frame(number % 200 + 1, body) for number, body in enumerate(bodies))
    return data + FILL * max(0, size - len(data))


@given(BODIES)
def test_all_frames_of_a_file_are_found(bodies: list[bytes]) -> None:
    found = scan(file_of(bodies))
    assert [bytes(frame.body) for frame in found.frames] == bodies
    assert (found.damaged, found.torn) == ([], 0)


@given(BODIES, some.data())
def test_one_changed_bit_costs_one_frame_at_most(bodies: list[bytes], data: some.DataObject) -> None:
    content = bytearray(file_of(bodies, 0))
    at = data.draw(some.integers(0, len(content) * 8 - 1))
    content[at // 8] ^= 1 << at % 8
    found = scan(bytes(content) + FILL * 512)
    frames = scan(file_of(bodies)).frames
    hit = sum(frame.end <= at // 8 for frame in frames)
    is_end = at // 8 >= frames[hit].end - 5
    whole = [bytes(frame.body) for frame in found.frames]
    assert whole == [body for number, body in enumerate(bodies) if is_end or number != hit]


@given(BODIES, some.data())
def test_one_changed_bit_is_never_taken_for_a_torn_write(bodies: list[bytes], data: some.DataObject) -> None:
    content = bytearray(file_of(bodies, 0))
    at = data.draw(some.integers(0, len(content) * 8 - 1))
    content[at // 8] ^= 1 << at % 8
    assert scan(bytes(content) + FILL * 512).torn == 0


@given(BODIES, some.data())
def test_a_file_that_ends_in_a_frame_is_torn_not_damaged(bodies: list[bytes], data: some.DataObject) -> None:
    content = file_of(bodies, 0)
    last = scan(content).frames[-1]
    cut = data.draw(some.integers(last.offset, last.end - 6))
    for rest in (content[:cut], content[:cut] + FILL * 600):
        found = scan(rest)
        assert [bytes(frame.body) for frame in found.frames] == bodies[:-1]
        assert found.damaged == []
        assert found.torn <= cut - last.offset


@given(some.integers(1500, 3000), some.integers(0, 100), some.data())
def test_sectors_that_were_not_written_are_torn_and_sectors_that_are_zeros_damaged(
    size: int, before: int, data: some.DataObject
) -> None:
    body = bytes(1 + number % 50 for number in range(size))  # nothing of it is as what comes instead
    first = encode_frame(1, bytes(before))
    content = bytearray(first + encode_frame(2, body))
    content += FILL * (-len(content) % SECTOR + SECTOR)
    for what, is_torn in ((FILL, True), (b"\0", False), (b"\xff", False)):
        changed = bytearray(content)
        start = data.draw(some.integers(0, (len(first) + len(body)) // SECTOR)) * SECTOR
        end = start + SECTOR * data.draw(some.integers(1, 3))
        start = max(start, len(first))
        changed[start:end] = what * (end - start)
        found = scan(bytes(changed))
        assert (len(found.frames), bool(found.damaged)) == (1, not is_torn)


def test_a_whole_last_frame_that_was_changed_is_damage() -> None:
    content = bytearray(file_of([b"first", b"x" * 100]))
    content[60] ^= 4
    found = scan(bytes(content))
    assert (len(found.frames), found.torn) == (1, 0)
    assert found.damaged == [(5 + OVERHEAD, 105 + 2 * OVERHEAD)]


SPANS = some.lists(some.tuples(some.integers(0, 60), some.integers(0, 60)), max_size=12)


@given(SPANS, some.integers(0, 60), some.integers(0, 60))
def test_ranges_are_sets_of_numbers(spans: list[tuple[int, int]], start: int, end: int) -> None:
    ranges = Ranges(spans)
    members = {number for first, last in spans for number in range(first, last)}
    assert {number for number in range(70) if number in ranges} == members
    assert ranges.total == len(members)
    assert all(one[1] < two[0] for one, two in zip(list(ranges), list(ranges)[1:], strict=False))
    missing = [number for part in ranges.missing(start, end) for number in range(*part)]
    assert missing == [number for number in range(start, end) if number not in members]
    without = ranges.without(start, end)
    assert {number for part in without for number in range(*part)} == members - set(range(start, end))
