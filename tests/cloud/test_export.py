"""`linkview export`: every reading and rollup once, in flat files that others can read, or none at all."""

from __future__ import annotations

import csv
import subprocess
import sys
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from cloud import __main__ as linkview
from cloud import display
from cloud.buckets import DAY, FINE, Step
from cloud.export import PERIODS, SLICE_MS, Range
from cloud.export_files import CsvWriter, Files
from cloud.export_parquet import ParquetFile
from cloud.export_rows import TEXT, Field, Schema, moment, reading_row, reading_schema
from cloud.target import Target, TargetError
from edge_agent.contract import KINDS, Flag, Reading, row
from tests.cloud.records import NOW, batch, denied, echo, envelope, interface, records
from tests.cloud.views import STACK

if TYPE_CHECKING:
    from tests.cloud.conftest import Cloud

SINCE, UNTIL = "2026-11-20", "2026-11-23"
HOUR_MS = 3_600_000


@pytest.fixture
def filled(cloud: Cloud) -> Cloud:
    """Two gateways, 20 hours apart within a slice and over its border; one reading could not measure."""
    for hour in range(20):
        at = NOW - hour * HOUR_MS - 5_000
        readings = [echo("a.b", at, 10_002), interface("a.b", at + 1), denied("c.d", at + 2)]
        sent = batch("gw-1", readings, sequence=3 * (20 - hour))
        assert cloud.ingest(records(envelope(sent, rx=at + 500)), now_ms=NOW) == []
    lone = batch("gw-2", [echo("e.f", NOW - 9_000, received=0)])
    assert cloud.ingest(records(envelope(lone)), now_ms=NOW) == []
    return cloud


def export(folder: Path, *arguments: str) -> int:
    span = ("--since", SINCE, "--until", UNTIL)
    return linkview.main(["export", "--stack", STACK, "--output", str(folder), *span, *arguments])


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# --- readings -------------------------------------------------------------------------------------


def test_every_reading_is_a_row_in_the_file_of_its_kind_by_gateway_and_time(
    filled: Cloud, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(tmp_path) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["echo.csv", "interface.csv"]
    rows = read(tmp_path / "echo.csv")
    assert [each["gateway"] for each in rows] == ["gw-1"] * 40 + ["gw-2"]
    times = [each["at"] for each in rows if each["gateway"] == "gw-1"]
    assert times == sorted(times)
    assert len({(each["link"], each["at"]) for each in rows}) == 41
    assert f"{tmp_path / 'echo.csv'}  41 rows" in capsys.readouterr().out


def test_a_row_is_what_was_measured_and_what_was_not_is_empty(filled: Cloud, tmp_path: Path) -> None:
    assert export(tmp_path, "--kind", "echo") == 0
    rows = read(tmp_path / "echo.csv")
    newest = next(each for each in reversed(rows) if each["link"] == "a.b")
    assert newest["at"] == moment(NOW - 5_000).strftime("%Y-%m-%dT%H:%M:%S.") + "000Z"
    assert (newest["rtt_p50_us"], newest["rtt_p95_us"], newest["sent"]) == ("10002", "", "5")
    assert (newest["outcome"], newest["flags"]) == ("measured", "clock_synced")
    refused = next(each for each in rows if each["link"] == "c.d")
    assert (refused["outcome"], refused["sent"], refused["rtt_p50_us"]) == ("denied", "", "")
    assert not (tmp_path / "interface.csv").exists()


def test_si_values_have_their_unit_in_the_header(filled: Cloud, tmp_path: Path) -> None:
    assert export(tmp_path, "--si", "--gateway", "gw-1") == 0
    newest = [each for each in read(tmp_path / "echo.csv") if each["link"] == "a.b"][-1]
    assert newest["rtt_p50 [s]"] == "0.010002"
    busy = read(tmp_path / "interface.csv")[-1]
    assert busy["speed [bit/s]"] == "100000000.0"
    assert busy["period [s]"] == "10.0"


def test_every_kind_has_a_row_as_long_as_its_header() -> None:
    for kind in KINDS:
        for si in (False, True):
            given = Reading("a.b", kind, NOW, tuple(range(1, 1 + len(KINDS[kind].columns))), Flag(7))
            schema = reading_schema(kind, si)
            assert len(reading_row(given, "gw", si)) == len(schema.fields)
            assert len({each.name for each in schema.fields}) == len(schema.fields)


def test_addresses_and_names_of_others_are_texts() -> None:
    values = row("path", hop=1, address_high=0, address_low=0xFFFF_0A00_0001)
    schema = [each.name for each in reading_schema("path", False).fields]
    found = dict(zip(schema, reading_row(Reading("a.b", "path", NOW, values), "gw", False), strict=True))
    assert found["address"] == "10.0.0.1"
    assert "address_low" not in found
    assert {"mac", "name", "port"} <= {each.name for each in reading_schema("neighbour", False).fields}


def test_parquet_holds_the_same_rows_with_types_and_units(filled: Cloud, tmp_path: Path) -> None:
    assert export(tmp_path) == 0
    assert export(tmp_path, "--format", "parquet") == 0
    plain, table = read(tmp_path / "echo.csv"), pq.read_table(tmp_path / "echo.parquet")
    assert table.num_rows == len(plain)
    assert [str(each or "") for each in table["rtt_p50_us"].to_pylist()] == [
        each["rtt_p50_us"] for each in plain
    ]
    assert table["at"][0].as_py() == datetime.fromisoformat(plain[0]["at"])
    assert str(table.schema.field("at").type) == "timestamp[ms, tz=UTC]"
    assert table.schema.field("rtt_p50_us").metadata == {b"unit": b"1e-06 s", b"null": b"no reply"}


def test_parquet_is_written_a_group_of_rows_at_a_time(tmp_path: Path) -> None:
    file = ParquetFile(tmp_path / "few.parquet", Schema("few", (Field("name", TEXT),)), group=10)
    for number in range(25):
        file.write((str(number),))
    file.close()
    found = pq.ParquetFile(tmp_path / "few.parquet")
    assert [found.metadata.row_group(at).num_rows for at in range(3)] == [10, 10, 5]


@pytest.mark.parametrize("name", KINDS)
def test_the_greatest_values_of_each_kind_fit_a_parquet_file(name: str, tmp_path: Path) -> None:
    greatest = Reading("a.b", name, NOW, tuple(each.maximum for each in KINDS[name].columns))
    for si in (False, True):
        schema = reading_schema(name, si)
        file = ParquetFile(tmp_path / f"{si}.parquet", schema)
        file.write(reading_row(greatest, "gw", si))
        file.close()
        assert pq.read_table(tmp_path / f"{si}.parquet").num_rows == 1


def test_without_pyarrow_parquet_is_one_clear_line_before_anything_is_asked() -> None:
    code = "import sys; sys.modules['pyarrow'] = None; from cloud.__main__ import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "export", "--format", "parquet", "--stack", "nowhere"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr == (
        "linkview: Parquet needs pyarrow: pip install 'linkpulse[parquet]', or take --format csv\n"
    )


# --- rollups --------------------------------------------------------------------------------------


def test_rollups_are_rows_of_their_periods(filled: Cloud, target: Target, tmp_path: Path) -> None:
    assert export(tmp_path, "--rollups", "1h", "--kind", "echo") == 0
    rows = [each for each in read(tmp_path / "echo-1h.csv") if each["link"] == "a.b"]
    assert len(rows) == 20
    assert len({each["start"] for each in rows}) == 20
    assert {(each["readings"], each["sent"], each["rtt_us_mean"]) for each in rows} == {("1", "5", "10052")}
    assert rows[0]["rtt_us_p50"] == "10002" or abs(int(rows[0]["rtt_us_p50"]) - 10002) <= 124


def test_rollups_of_5_minutes_are_the_default_and_each_is_there_once(filled: Cloud, tmp_path: Path) -> None:
    assert export(tmp_path, "--rollups") == 0
    rows = read(tmp_path / "echo-5m.csv")
    assert len(rows) == 41
    assert len({(each["gateway"], each["link"], each["start"]) for each in rows}) == 41


@pytest.mark.parametrize("step", [None, FINE, DAY])
def test_slices_touch_and_cover_the_range_in_whole_periods(step: Step | None) -> None:
    wanted = Range(NOW, NOW + 1_000 * HOUR_MS, None, step, False)
    slices = wanted.slices()
    assert all(a[1] == b[0] for a, b in pairwise(slices))
    assert slices[0][0] == (wanted.step.start(NOW) if wanted.step else NOW)
    assert slices[-1][1] == wanted.until_ms
    widest = PERIODS * wanted.step.length_ms if wanted.step else SLICE_MS
    assert max(end - begin for begin, end in slices) == min(widest, slices[-1][1] - slices[0][0])
    if wanted.step:
        assert all(each[0] % wanted.step.length_ms == 0 for each in slices)


# --- what is written ------------------------------------------------------------------------------


def test_an_export_that_fails_leaves_the_files_of_the_one_before(tmp_path: Path) -> None:
    (tmp_path / "few.csv").write_text("before")
    with pytest.raises(TargetError, match="gone"), Files(tmp_path, "csv", CsvWriter) as files:
        files.write(Schema("few", (Field("name", TEXT),)), ("x",))
        files.write(Schema("more", (Field("name", TEXT),)), ("x",))
        raise TargetError("the table is gone")
    assert [path.name for path in tmp_path.iterdir()] == ["few.csv"]
    assert (tmp_path / "few.csv").read_text() == "before"


def test_a_disk_that_takes_no_more_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    class Full(CsvWriter):
        def close(self) -> None:
            super().close()
            raise OSError(28, "No space left on device")

    with pytest.raises(TargetError, match="No space left on device"), Files(tmp_path, "csv", Full) as files:
        files.write(Schema("few", (Field("name", TEXT),)), ("x",))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_one_line(
    filled: Cloud, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert export(tmp_path / "file") == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_gateway_that_is_not_known_is_an_error(
    filled: Cloud, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(tmp_path / "new", "--gateway", "nope") == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "no gateway nope on" in said.err


def test_nothing_in_the_range_says_so_and_writes_nothing(
    cloud: Cloud, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(tmp_path / "new") == 0
    assert "no file was written" in capsys.readouterr().out
    assert not (tmp_path / "new").exists()


def test_wrong_uses_are_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert linkview.main(["export", "--since", "1h", "--until", "2h"]) == 2
    assert linkview.main(["export", "--si", "--rollups"]) == 2
    assert capsys.readouterr().err.count("\n") == 2


def test_times_are_utc_to_the_millisecond() -> None:
    assert moment(1_795_300_000_123) == datetime.fromtimestamp(1_795_300_000, UTC).replace(
        microsecond=123_000
    )
    assert display.utc(1_795_300_000_123).startswith(moment(1_795_300_000_123).strftime("%Y-%m-%d %H:%M:%S"))
