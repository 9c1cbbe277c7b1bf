"""Both disks keep the same promises; the one in memory loses its power as a real one does."""

from __future__ import annotations

import errno
import random
import stat
from pathlib import Path

import pytest

from edge_agent.spool import Disk, FolderDisk, MemoryDisk, SpoolBusy, SpoolUnusable
from edge_agent.spool.disk import FILL


@pytest.fixture(params=["folder", "memory"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Disk:
    disk: Disk = FolderDisk(tmp_path / "spool") if request.param == "folder" else MemoryDisk()
    disk.lock()
    return disk


def test_a_new_file_is_full_of_what_nobody_writes(disk: Disk) -> None:
    disk.create("a", 10_000)
    assert (disk.names(), disk.size("a"), disk.read("a", 0, 20_000)) == (["a"], 10_000, FILL * 10_000)
    with pytest.raises(FileExistsError):
        disk.create("a")


def test_what_is_written_is_read_at_its_place_and_the_file_grows(disk: Disk) -> None:
    disk.create("a", 8)
    disk.write("a", 6, b"12345")
    disk.write("a", 20, b"x")
    disk.sync("a")
    disk.sync_folder()
    assert disk.read("a", 0, 100) == FILL * 6 + b"12345" + b"\0" * 9 + b"x"
    assert disk.read("a", 7, 2) == b"23"


def test_a_file_is_cut_renamed_over_another_and_removed(disk: Disk) -> None:
    for name in ("a", "b"):
        disk.create(name)
        disk.write(name, 0, name.encode() * 9)
    disk.truncate("a", 4)
    disk.rename("a", "b")
    assert (disk.names(), disk.read("b", 0, 99)) == (["b"], b"aaaa")
    disk.truncate("b", 6)
    assert disk.read("b", 0, 99) == b"aaaa\0\0"
    disk.remove("b")
    assert disk.names() == []
    for gone in (lambda: disk.read("b", 0, 1), lambda: disk.size("b"), lambda: disk.remove("b")):
        with pytest.raises(FileNotFoundError):
            gone()
    assert disk.free() > 0


def test_what_was_synced_survives_a_power_cut_and_the_rest_may_not() -> None:
    fates = set()
    for seed in range(40):
        disk = MemoryDisk()
        disk.create("a", 2048)
        disk.write("a", 0, b"1" * 1024)
        disk.sync("a")
        disk.sync_folder()
        disk.write("a", 1024, b"2" * 1024)
        disk.create("b")
        found = disk.after_power_cut(random.Random(seed))
        assert found.read("a", 0, 1024) == b"1" * 1024
        fates.add((found.read("a", 1024, 512), found.read("a", 1536, 512), "b" in found.names()))
    assert len(fates) == 8, "each sector and each name has its own fate"


def test_a_disk_in_memory_fills_up() -> None:
    disk = MemoryDisk(1000)
    disk.create("a", 900)
    with pytest.raises(OSError, match="No space left") as refused:
        disk.write("a", 850, bytes(200))
    assert refused.value.errno == errno.ENOSPC
    disk.remove("a")
    assert disk.free() == 1000


def test_a_folder_and_its_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    disk = FolderDisk(tmp_path / "new" / "spool")
    disk.lock()
    disk.create("a", 1)
    modes = [stat.S_IMODE((tmp_path / "new" / "spool" / name).stat().st_mode) for name in ("", "a", "lock")]
    assert modes == [0o700, 0o600, 0o600]
    disk.close()


def test_a_second_owner_is_told_so(tmp_path: Path) -> None:
    first, second = FolderDisk(tmp_path), FolderDisk(tmp_path)
    first.lock()
    with pytest.raises(SpoolBusy, match=f"{tmp_path} is in use by another edge-agent"):
        second.lock()
    first.close()
    second.lock()
    second.close()


def test_a_path_that_is_a_file_or_below_one_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "spool.db").touch()
    with pytest.raises(SpoolUnusable, match=r"spool.db: File exists: the spool is a folder"):
        FolderDisk(tmp_path / "spool.db").lock()
    with pytest.raises(SpoolUnusable, match="Not a directory"):
        FolderDisk(tmp_path / "spool.db" / "spool").lock()


def test_more_files_than_stay_open_are_all_within_reach(disk: Disk) -> None:
    for number in range(20):
        disk.create(f"f{number:02d}")
        disk.write(f"f{number:02d}", 0, bytes([number]))
    assert [disk.read(f"f{number:02d}", 0, 9) for number in range(20)] == [bytes([n]) for n in range(20)]
    disk.close()
