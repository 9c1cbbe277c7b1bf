"""The disk that loses its power: what is synced stays, what is not may be any part of what was written."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable

import pytest

from tests.chaos.medium import SECTOR, Medium
from tests.chaos.power_cut_disk import LifeEnded, PowerCutDisk, Trouble
from tests.edge_agent import test_spool_disk as conformance

TRIES = 200

# While nothing goes wrong it is held to the same tests as every disk.
test_a_new_file_is_full_of_what_nobody_writes = conformance.test_a_new_file_is_full_of_what_nobody_writes
test_what_is_written_is_read_at_its_place = (
    conformance.test_what_is_written_is_read_at_its_place_and_the_file_grows
)
test_a_file_is_cut_renamed_over_another_and_removed = (
    conformance.test_a_file_is_cut_renamed_over_another_and_removed
)
test_more_files_than_stay_open_are_all_within_reach = (
    conformance.test_more_files_than_stay_open_are_all_within_reach
)


@pytest.fixture
def disk() -> PowerCutDisk:
    disk = PowerCutDisk(Medium())
    disk.lock()
    return disk


def after_cuts(medium_of: Callable[[], Medium], tries: int = TRIES) -> list[Medium]:
    """The medium after a power cut, of many kinds."""
    found = []
    for seed in range(tries):
        medium = medium_of()
        medium.cut(random.Random(seed))
        found.append(medium)
    return found


def synced_file() -> Medium:
    medium = Medium()
    disk = PowerCutDisk(medium)
    disk.create("a")
    disk.write("a", 0, b"x" * 2000)
    disk.sync("a")
    disk.sync_folder()
    return medium


def test_what_was_synced_survives_every_power_cut() -> None:
    for medium in after_cuts(synced_file):
        assert medium.names["a"].data == b"x" * 2000


def test_what_was_not_synced_survives_in_part_in_no_order_and_torn() -> None:
    def written() -> Medium:
        medium = synced_file()
        PowerCutDisk(medium).write("a", 0, b"y" * 2000)
        return medium

    images = [bytes(medium.names["a"].data) for medium in after_cuts(written)]
    assert b"x" * 2000 in images and b"y" * 2000 in images
    assert all(len(image) == 2000 and set(image) <= set(b"xy") for image in images)
    later_first = [image for image in images if image[:SECTOR] == b"x" * SECTOR and b"y" in image]
    torn = [image for image in images if 0 < image[:SECTOR].count(b"y") < SECTOR]
    assert later_first and torn


def test_a_file_that_grew_without_a_sync_has_the_old_size_or_the_new_one() -> None:
    def grown() -> Medium:
        medium = synced_file()
        PowerCutDisk(medium).write("a", 2000, b"y" * 1000)
        return medium

    media = after_cuts(grown)
    assert {len(medium.names["a"].data) for medium in media} == {2000, 3000}
    assert all(medium.names["a"].data[:2000] == b"x" * 2000 for medium in media)
    assert any(medium.names["a"].data.count(b"\0") > 0 for medium in media)


def test_names_that_were_not_synced_may_be_there_or_not() -> None:
    def changed() -> Medium:
        medium = synced_file()
        disk = PowerCutDisk(medium)
        disk.create("b")
        disk.rename("a", "c")
        return medium

    seen = {tuple(sorted(medium.names)) for medium in after_cuts(changed)}
    assert seen == {("a",), ("a", "b"), ("c",), ("b", "c")}


def test_a_removed_file_may_come_back() -> None:
    def removed() -> Medium:
        medium = synced_file()
        PowerCutDisk(medium).remove("a")
        return medium

    assert {tuple(medium.names) for medium in after_cuts(removed)} == {(), ("a",)}


def test_a_second_sync_does_not_make_durable_what_the_first_failed_to_write() -> None:
    class Once(Trouble):
        left = 1

        def error(self, call: str) -> int:
            if call == "sync" and self.left:
                self.left = 0
                return errno.EIO
            return 0

    def synced_twice() -> Medium:
        medium = synced_file()
        disk = PowerCutDisk(medium, trouble=Once())
        disk.write("a", 0, b"y" * 2000)
        with pytest.raises(OSError):
            disk.sync("a")
        disk.sync("a")
        return medium

    assert any(b"x" in medium.names["a"].data for medium in after_cuts(synced_twice))


def test_the_last_call_of_a_life_is_done_or_not_and_none_follows() -> None:
    outcomes = set()
    for seed in range(50):
        medium = synced_file()
        disk = PowerCutDisk(medium, random.Random(seed), last_call=1)
        with pytest.raises(LifeEnded):
            disk.write("a", 0, b"y")
        outcomes.add(bytes(medium.names["a"].data[:1]))
        with pytest.raises(LifeEnded):
            disk.names()
    assert outcomes == {b"x", b"y"}


def test_a_full_disk_takes_what_fits_and_says_so() -> None:
    medium = Medium(capacity=100)
    disk = PowerCutDisk(medium)
    disk.create("a")
    with pytest.raises(OSError) as caught:
        disk.write("a", 0, b"x" * 101)
    assert caught.value.errno == errno.ENOSPC
    assert disk.size("a") == 100 and disk.free() == 0


def test_a_sector_that_cannot_be_read_can_again_after_it_is_written() -> None:
    medium = synced_file()
    medium.unreadable.add(("a", 1))
    disk = PowerCutDisk(medium)
    assert disk.read("a", 0, 512) == b"x" * 512
    with pytest.raises(OSError):
        disk.read("a", 500, 100)
    disk.write("a", 512, b"y" * 512)
    assert disk.read("a", 512, 1) == b"y"
