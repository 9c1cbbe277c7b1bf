"""The spool keeps what it accepted, once, in order, within its bound, whatever befalls process or file."""

from __future__ import annotations

import json
import random
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from edge_agent.contract import METERING_UNIT, Batch, ContractError, Link, Reading, decode
from edge_agent.sealing import from_row, leading_group, pack, to_row
from edge_agent.spool import MEMORY, Spool, SpoolBusy, SpoolError, SpoolUnusable, new_epoch

Echo = Callable[..., Reading]

NOW_MS = 1_790_000_500_000
LINKS = (Link("north", target="10.0.0.2"), Link("south", target="10.0.0.3"))


def spool_at(path: Path | str, max_bytes: int = 1 << 20, **options: object) -> Spool:
    return Spool(path, "gw-1", LINKS, max_bytes, 40, **options)  # type: ignore[arg-type]


def batches(spool: Spool) -> list[Batch]:
    return [decode(each.payload) for each in spool.pending(10_000)]


def readings(spool: Spool) -> list[Reading]:
    return [reading for batch in batches(spool) for reading in batch.readings]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool.db"


@pytest.fixture(params=["file", "memory"])
def spool(request: pytest.FixtureRequest, path: Path) -> Iterator[Spool]:
    spool = spool_at(path if request.param == "file" else MEMORY)
    yield spool
    spool.close()


# --- what goes in comes out -----------------------------------------------------------------------


def test_readings_come_out_as_they_went_in_and_in_order(spool: Spool, echo: Echo) -> None:
    given = [echo(number, link=random.Random(number).choice(["north", "south"])) for number in range(150)]
    for start in range(0, 150, 7):
        spool.append(given[start : start + 7])
    spool.seal(NOW_MS)
    assert readings(spool) == given


def test_sequence_numbers_are_consecutive_over_batches(spool: Spool, echo: Echo) -> None:
    spool.append([echo(number) for number in range(100)])
    spool.seal(NOW_MS)
    spool.append([echo(100)])
    spool.seal(NOW_MS)
    assert [(batch.first_sequence, len(batch.readings)) for batch in batches(spool)] == [
        (0, 60),
        (60, 40),
        (100, 1),
    ]
    assert {batch.epoch for batch in batches(spool)} == {spool.stats().epoch}
    assert {(batch.gateway, batch.sealed_ms) for batch in batches(spool)} == {("gw-1", NOW_MS)}


def test_a_sealed_batch_never_changes(path: Path, echo: Echo) -> None:
    spool = spool_at(path)
    spool.append([echo(number) for number in range(5)])
    spool.seal(NOW_MS)
    before = spool.pending(10)
    spool.append([echo(5)])
    spool.seal(NOW_MS + 1)
    spool.close()
    again = spool_at(path)
    assert again.pending(1) == before
    again.close()


def test_sealing_nothing_makes_no_batch(spool: Spool) -> None:
    assert spool.seal(NOW_MS) == 0
    spool.append([])
    assert spool.seal(NOW_MS) == 0
    assert spool.pending(10) == []


def test_an_acknowledged_batch_goes_and_no_other(spool: Spool, echo: Echo) -> None:
    spool.append([echo(number) for number in range(130)])
    spool.seal(NOW_MS)
    spool.ack(60)
    spool.ack(60)
    spool.ack(12_345)
    assert [each.first_sequence for each in spool.pending(10)] == [0, 120]
    stats = spool.stats()
    assert (stats.accepted, stats.acked, stats.dropped, stats.held) == (130, 60, 0, 70)


def test_an_impossible_reading_is_refused_and_nothing_of_its_group_is_kept(spool: Spool, echo: Echo) -> None:
    bad = replace(echo(1), values=(-1, *echo(1).values[1:]))
    with pytest.raises(ContractError):
        spool.append([echo(0), bad])
    assert spool.stats().accepted == 0


def test_sealing_only_full_batches_leaves_the_open_one(spool: Spool, echo: Echo) -> None:
    spool.append([echo(number) for number in range(130)])
    assert spool.seal(NOW_MS, full_only=True) == 2
    assert spool.stats().unsealed == 10
    spool.append([echo(number) for number in range(130, 200)])
    assert spool.seal(NOW_MS, full_only=True) == 1
    spool.seal(NOW_MS)
    assert [len(batch.readings) for batch in batches(spool)] == [60, 60, 60, 20]


def test_a_batch_never_spans_more_than_an_hour(spool: Spool, echo: Echo) -> None:
    times = [0, 3_600_000, 3_600_001, 0, 10_000_000, 10_000_500]
    spool.append([echo(number, at_ms=NOW_MS + at) for number, at in enumerate(times)])
    spool.seal(NOW_MS)
    assert [len(batch.readings) for batch in batches(spool)] == [2, 1, 1, 2]


# --- the size of a batch --------------------------------------------------------------------------


def test_a_batch_and_its_topic_fit_the_metering_unit(path: Path) -> None:
    rng = random.Random(1)
    spool = Spool(path, "gw-1", LINKS, 1 << 20, 200, batch_readings=2000)
    given = [
        Reading(
            "north",
            "echo",
            NOW_MS + number,
            (5, 5, 0, 0, 0, 0, *(rng.getrandbits(31) for _ in range(7)), 0, 64),
        )
        for number in range(1000)
    ]
    spool.append(given)
    spool.seal(NOW_MS)
    sizes = [len(each.payload) for each in spool.pending(1000)]
    assert max(sizes) + 200 <= METERING_UNIT
    assert len(sizes) > 5
    assert readings(spool) == given
    spool.close()


def test_more_definitions_than_fit_are_spread_over_batches(path: Path, echo: Echo) -> None:
    rng = random.Random(2)
    links = [Link(f"l{number}", peer=rng.randbytes(40).hex()) for number in range(255)]
    spool = Spool(path, "gw-1", links, 1 << 20, 200)
    spool.append([echo(number, link="l0") for number in range(600)])
    spool.seal(NOW_MS)
    assert [link for batch in batches(spool) for link in batch.links] == links
    assert max(len(each.payload) for each in spool.pending(100)) + 200 <= METERING_UNIT
    spool.close()


def test_one_reading_that_does_not_fit_is_an_error_not_a_loop(echo: Echo) -> None:
    with pytest.raises(ContractError, match="does not fit 20 B"):
        pack(Batch("gw-1", 1, 0, NOW_MS, (echo(0), echo(1))), 20)


def test_the_first_batch_of_each_process_carries_the_link_definitions(path: Path, echo: Echo) -> None:
    for _ in range(2):
        spool = spool_at(path)
        for number in range(2):
            spool.append([echo(number)])
            spool.seal(NOW_MS)
        spool.close()
    spool = spool_at(path)
    assert [batch.links for batch in batches(spool)] == [LINKS, (), LINKS, ()]
    spool.close()


# --- rows -----------------------------------------------------------------------------------------


def test_a_row_of_an_older_or_newer_agent_is_read(echo: Echo) -> None:
    reading = echo(3)
    row = json.loads(to_row(reading))
    older = from_row(json.dumps(row[:-1]).encode())
    assert older == replace(reading, values=(*reading.values[:-1], None))
    assert from_row(json.dumps([*row, 99]).encode()) == reading


@pytest.mark.parametrize(
    "row",
    [b"", b"{", b"[]", b"\xff", b'["a"]', b'["l","echo","x",0,0]', b"7", b"null", b'["l","echo",1,0,0,5.5]'],
)
def test_a_damaged_row_is_a_contract_error(row: bytes) -> None:
    with pytest.raises(ContractError):
        from_row(row)


def test_a_damaged_row_costs_itself_only_and_is_counted(path: Path, echo: Echo) -> None:
    spool = spool_at(path)
    spool.append([echo(number) for number in range(5)])
    spool.close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE readings SET body = x'ff00' WHERE sequence = 2")
    db.close()
    spool = spool_at(path)
    spool.seal(NOW_MS)
    assert readings(spool) == [echo(number) for number in (0, 1, 3, 4)]
    assert [batch.first_sequence for batch in batches(spool)] == [0, 3]
    assert (spool.stats().dropped, spool.stats().held) == (1, 4)
    spool.close()


def test_a_group_stops_at_a_gap(echo: Echo) -> None:
    assert leading_group([(4, echo(0)), (5, echo(1)), (7, echo(2))]) == [(4, echo(0)), (5, echo(1))]
    assert leading_group([]) == []


# --- the bound ------------------------------------------------------------------------------------


def test_a_full_spool_drops_the_oldest_and_counts_it(path: Path, echo: Echo) -> None:
    small = spool_at(path, max_bytes=20_000)
    rng = random.Random(3)
    for start in range(0, 3000, 20):
        small.append([echo(number) for number in range(start, start + 20)])
        if rng.random() < 0.3:
            small.seal(NOW_MS)
        assert small.stats().bytes <= 20_000
    small.seal(NOW_MS)
    kept, stats = readings(small), small.stats()
    assert stats.dropped > 0
    assert kept == [echo(number) for number in range(stats.dropped, 3000)]
    assert stats.held == len(kept) == stats.accepted - stats.dropped
    small.close()


def test_the_counts_survive_a_restart(path: Path, echo: Echo) -> None:
    spool = spool_at(path, max_bytes=5000)
    spool.append([echo(number) for number in range(200)])
    spool.seal(NOW_MS)
    spool.ack(spool.pending(1)[0].first_sequence)
    before = spool.stats()
    assert before.dropped and before.acked
    spool.close()
    again = spool_at(path, max_bytes=5000)
    assert again.stats() == before
    again.close()


def test_definitions_that_were_dropped_are_sent_again(path: Path, echo: Echo) -> None:
    spool = spool_at(path, max_bytes=3000)
    spool.append([echo(0)])
    spool.seal(NOW_MS)
    spool.append([echo(number) for number in range(1, 80)])
    assert spool.stats().dropped
    spool.seal(NOW_MS)
    assert batches(spool)[0].links == LINKS
    spool.close()


def test_a_month_of_the_default_gateway_fits_the_default_bound(echo: Echo) -> None:
    spool = spool_at(MEMORY)
    spool.append([echo(number) for number in range(60)])
    spool.seal(NOW_MS)
    assert spool.stats().bytes * 60 * 24 * 30 < 64 << 20
    spool.close()


# --- one owner, and any file ----------------------------------------------------------------------


def test_a_second_owner_is_told_so(path: Path) -> None:
    spool = spool_at(path)
    with pytest.raises(SpoolBusy, match=f"{path} is in use by another edge-agent"):
        spool_at(path)
    spool.close()
    spool_at(path).close()


def test_a_folder_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SpoolUnusable, match=r"Not a directory|File exists"):
        spool_at(tmp_path / "file" / "spool.db")
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(SpoolUnusable, match="Is a directory"):
        spool_at(tmp_path / "folder.db")


@pytest.mark.parametrize("content", [b"garbage" * 999, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_no_spool_is_set_aside(
    path: Path, echo: Echo, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_bytes(content)
    spool = spool_at(path, now_s=lambda: 1_790_000_000)
    aside = path.with_name("spool.db.corrupt-20260921T141320Z")
    assert aside.read_bytes() == content
    assert [record.message for record in caplog.records if aside.name in record.message]
    spool.append([echo(0)])
    assert spool.stats().held == 1
    spool.close()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE sqlite_schema SET sql = replace(sql, 'body', 'bodx') WHERE name = 'readings'",
        "UPDATE sqlite_schema SET sql = CAST(x'ff435245' AS TEXT) WHERE name = 'batches'",
        "UPDATE sqlite_schema SET sql = 'CREATE TABLE readings (sequence, body)' WHERE name = 'readings'",
        "UPDATE owner SET gateway = CAST(x'ff' AS TEXT)",
        "UPDATE state SET next_sequence = 2",
        "UPDATE state SET unsealed = 7",
        "UPDATE state SET epoch = 1.5",
        "UPDATE batches SET payload = 'text'",
        "DELETE FROM state",
    ],
)
def test_rot_that_no_checksum_finds_is_found_when_it_is_opened(path: Path, echo: Echo, damage: str) -> None:
    spool = spool_at(path)
    spool.append([echo(number) for number in range(70)])
    spool.seal(NOW_MS, full_only=True)
    spool.close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA writable_schema=ON")
        db.execute(damage)
    db.close()
    spool = spool_at(path)
    assert len(list(path.parent.glob("spool.db.*-*Z"))) == 1
    spool.append([echo(0)])
    spool.seal(NOW_MS)
    assert readings(spool) == [echo(0)]
    spool.close()


def test_a_wrong_weight_is_put_right_or_it_would_drop_all_that_follows(path: Path, echo: Echo) -> None:
    spool = spool_at(path)
    spool.append([echo(0)])
    weight = spool.stats().bytes
    spool.close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE state SET bytes = 1 << 40")
    db.close()
    spool = spool_at(path)
    assert (spool.stats().bytes, spool.stats().held) == (weight, 1)
    spool.close()


def test_a_spool_cut_short_is_set_aside_and_a_new_epoch_begins(path: Path, echo: Echo) -> None:
    spool = spool_at(path)
    spool.append([echo(number) for number in range(400)])
    before = spool.stats().epoch
    spool.close()
    path.write_bytes(path.read_bytes()[:-20_000])
    spool = spool_at(path)
    assert spool.stats().epoch != before
    assert spool.stats().accepted == 0
    assert list(path.parent.glob("spool.db.corrupt-*"))
    spool.close()


def test_a_file_that_rotted_inside_is_found_when_it_is_opened(path: Path, echo: Echo) -> None:
    spool = spool_at(path)
    spool.append([echo(number) for number in range(400)])
    spool.close()
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\xa5" * 4096)
    spool = spool_at(path)
    assert spool.stats().accepted == 0
    assert list(path.parent.glob("spool.db.corrupt-*"))
    spool.close()


def test_a_file_that_rots_while_it_is_open_is_replaced(path: Path, echo: Echo) -> None:
    spool = spool_at(path)
    spool.append([echo(number) for number in range(5000)])  # more than SQLite keeps in memory
    spool.close()
    spool = spool_at(path)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (size - 4096))
    with pytest.raises(SpoolError):
        for number in range(1000):
            spool.append([echo(number)])
            spool.seal(NOW_MS)
    spool.append([echo(7)])
    spool.seal(NOW_MS)
    assert readings(spool)[-1] == echo(7)
    assert batches(spool)[0].links == LINKS
    spool.close()


def test_the_spool_of_another_gateway_is_set_aside_whole(path: Path, echo: Echo) -> None:
    spool = spool_at(path)
    spool.append([echo(0)])
    spool.close()
    other = Spool(path, "gw-2", LINKS, 1 << 20, 40)
    assert other.stats().held == 0
    other.close()
    (aside,) = path.parent.glob("spool.db.foreign-*")
    first = spool_at(aside)
    assert first.stats().held == 1
    first.close()


def test_only_the_newest_damaged_files_are_kept(path: Path) -> None:
    for second in range(5):
        path.write_bytes(b"garbage %d" % second)
        spool_at(path, now_s=lambda second=second: 1_790_000_000 + second).close()
    kept = sorted(each.read_bytes() for each in path.parent.glob("spool.db.corrupt-*"))
    assert kept == [b"garbage 3", b"garbage 4"]


def test_epochs_differ_even_when_the_clock_stands_still() -> None:
    assert new_epoch(1_790_000_000, lambda bits: (1 << bits) - 1) == (1_790_000_000 << 32) + 0xFFFF_FFFF
    assert new_epoch(0) != new_epoch(0)
    assert new_epoch(2**40) < 1 << 63


# --- a disk that fails ----------------------------------------------------------------------------


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """A disk that is full: the kernel refuses to let any file of this process grow beyond ``size``."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)


def test_a_full_disk_is_an_error_that_keeps_what_was_accepted_and_passes(path: Path, echo: Echo) -> None:
    spool = spool_at(path)
    spool.append([echo(0)])
    refused = [echo(number) for number in range(1, 400)]
    with files_no_larger_than(30_000):
        with pytest.raises(SpoolError):
            spool.append(refused)
        with pytest.raises(SpoolError):
            spool.append(refused)
    spool.append(refused)
    spool.seal(NOW_MS)
    assert readings(spool) == [echo(number) for number in range(400)]
    spool.close()


def test_a_disk_that_is_full_at_the_start_does_not_keep_the_spool_from_opening(
    path: Path, echo: Echo
) -> None:
    with files_no_larger_than(0):
        spool = spool_at(path)
        with pytest.raises(SpoolError):
            spool.append([echo(0)])
    spool.append([echo(0)])
    assert spool.stats().accepted == 1
    spool.close()


def test_what_arrived_while_the_disk_is_full_is_not_given_out_again(path: Path, echo: Echo) -> None:
    spool = spool_at(path)
    spool.append([echo(number) for number in range(120)])
    spool.seal(NOW_MS)
    with files_no_larger_than(0), pytest.raises(SpoolError):
        spool.ack(0)
    assert [each.first_sequence for each in spool.pending(1)] == [60]
    spool.ack(60)
    assert (spool.stats().acked, spool.stats().held, spool.pending(10)) == (120, 0, [])
    spool.close()


WRITER = """
import sys
from edge_agent.contract import Flag, Reading
from edge_agent.spool import Spool
spool = Spool(sys.argv[1], "gw-1", [], 1 << 24, 40)
number = spool.stats().accepted
while True:
    values = (5, 5, 0, 0, 0, 0, *[number % 1000] * 7, 0, 64)
    spool.append([Reading("north", "echo", 1_790_000_000_000 + number, values, Flag.NONE)])
    number += 1
    print(number, flush=True)
    if number % 7 == 0:
        spool.seal(1)
    if number % 40 == 0:
        for batch in spool.pending(2):
            spool.ack(batch.first_sequence)
"""


def test_what_was_accepted_survives_a_kill_at_any_moment(path: Path) -> None:
    rng, accepted = random.Random(4), 0
    for _ in range(8):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        for _ in range(rng.randrange(20, 120)):
            accepted = int(writer.stdout.readline())
        writer.kill()
        accepted = max([accepted, *map(int, writer.stdout.read().split("\n")[:-1])])
        writer.stdout.close()
        writer.wait()
        spool = spool_at(path, max_bytes=1 << 24)
        stats = spool.stats()
        assert stats.accepted - accepted in (0, 1), "one more may have been committed and not yet printed"
        assert stats.held == stats.accepted - stats.acked
        spool.close()
        accepted = stats.accepted
    spool = spool_at(path, max_bytes=1 << 24)
    spool.seal(NOW_MS)
    kept = readings(spool)
    assert len(kept) == spool.stats().held
    assert len({reading.at_ms for reading in kept}) == len(kept)
    assert kept[-1].at_ms == 1_790_000_000_000 + accepted - 1
    assert not list(path.parent.glob("*.corrupt-*"))
    spool.close()
