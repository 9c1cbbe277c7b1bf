"""Importing what people say of gateways and links: CSV and NetJSON, clear errors, twice the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud import latest
from cloud.latest import Neighbour
from cloud.registry_file import read
from cloud.registry_metadata import LinkMetadata, Metadata
from cloud.registry_rows import FileError
from edge_agent.contract import Link
from tests.cloud.records import batch, envelope, records
from tests.cloud.views import View

if TYPE_CHECKING:
    from tests.cloud.conftest import Cloud

CSV = """gateway,site,region,latitude,longitude,link,peer,medium,capacity_mbps
gw-1,Table Mountain,Western Cape,-33.962778,18.409722,,,,
gw-1,,,,,a.b,,radio,866.7
gw-1,,,,,,gw-2,fibre,1000

gw-2,Valley,,,,,,,
"""
SAID = {
    "gw-1": Metadata(
        "Table Mountain",
        "Western Cape",
        -33.962778,
        18.409722,
        {"a.b": LinkMetadata("radio", 866_700)},
        {"gw-2": LinkMetadata("fibre", 1_000_000)},
    ),
    "gw-2": Metadata("Valley"),
}


def errors(content: str) -> list[str]:
    with pytest.raises(FileError) as found:
        read(content.encode())
    return found.value.messages


def test_a_csv_file_tells_of_gateways_links_and_peers() -> None:
    assert read(CSV.encode()).gateways == SAID
    assert read(("\ufeff" + CSV.replace("\n", "\r\n")).encode()).gateways == SAID  # as spreadsheets save it


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("bad name,,,,,,,,", "line 3: 'bad name' cannot be a gateway's name"),
        (",,,,,a.b,,,", "line 3: no gateway is given"),
        ("gw-1,,,91,0,,,,", "line 3: latitude 91 is not within -90 and 90 degrees"),
        ("gw-1,,,nan,0,,,,", "line 3: latitude nan is not within -90 and 90 degrees"),
        ("gw-1,,,1,,,,,", "line 3: latitude and longitude are given together or not at all"),
        ("gw-1,,,,,a b,,,", "line 3: 'a b' cannot be a link's name"),
        ("gw-1,,,,,a.b,,,fast", "line 3: capacity_mbps 'fast' is no number"),
        ("gw-1,,,,,a.b,,,1_000", "line 3: capacity_mbps '1_000' is no number"),
        ("gw-1,,,,,a.b,,,0", "line 3: capacity_mbps 0 is not within 1 kbit/s and 4294967296 kbit/s"),
        ("gw-1,,,,,,,radio,", "line 3: medium or capacity of gw-1, but no link and no peer that has it"),
        ("gw-1,,", "line 3: 3 cells, not 9"),
        ("gw-1,Hill,,,,,,,", "line 3: site of gw-1 is Hill, but Table Mountain in line 2"),
        ("gw-1,,,1,2,,,,", "line 3: coordinates of gw-1 is 1.0, 2.0, but -33.962778, 18.409722 in line 2"),
        ('gw-1,"Ta\nble",,,,,,,', "line 4: site 'Ta\\nble' is longer than 128 or not printable"),
        ("gw-1,Ta\x0cgw-2,,,,,,,", "line 3: site 'Ta\\x0cgw-2' is longer than 128 or not printable"),
        (f"gw-1,{'x' * 129},,,,,,,", f"line 3: site {'x' * 20!r} is longer than 128 or not printable"),
        ("gw-1,\x1b[2J,,,,,,,", "line 3: site '\\x1b[2J' is longer than 128 or not printable"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(row: str, message: str) -> None:
    header, first, *_ = CSV.splitlines()
    assert errors(f"{header}\n{first}\n{row}\n") == [message]


def test_rows_that_contradict_each_other_are_both_named() -> None:
    rows = CSV + "gw-1,,,,,a.b,,fibre,866.7\ngw-1,,,,,,gw-2,fibre,999\ngw-2,Valley,,,,,,,\n"
    assert errors(rows) == [
        "line 7: medium of gw-1 link a.b is fibre, but radio in line 3",
        "line 8: capacity_kbps of gw-1 peer gw-2 is 999000, but 1000000 in line 4",
    ]


def test_tables_of_other_languages_and_formats_are_read_or_named() -> None:
    for delimiter in (";", "\t"):
        assert read(CSV.replace(",", delimiter).encode()).gateways == SAID
    (said,) = errors(CSV.replace(",", ";").replace("866.7", "866,7"))
    assert said == "line 3: capacity_mbps '866,7' is no number: decimals follow a point"
    wanted = "give CSV, or NetJSON of type NetworkGraph"
    assert errors('<?xml version="1.0"?><graphml/>') == [f"line 1: this is XML: {wanted}"]
    assert errors('[{"gateway": "gw-1"}]') == [f"line 1: this is a JSON list: {wanted}"]


def test_an_empty_file_is_said_to_be() -> None:
    assert errors("") == errors("\n \n") == ["line 1: the file is empty"]


def test_all_errors_are_told_at_once() -> None:
    assert len(errors(CSV + "bad name,,,,,,,,\ngw-3,,\n")) == 2


def test_a_header_that_is_not_known_is_named() -> None:
    assert errors("gateway,colour\n")[0].startswith("line 1: 'colour' is not known; the columns are gateway,")
    assert errors("site\nHill\n")[0].startswith("line 1: a column gateway, and none twice")


@given(st.text(max_size=60) | st.text(max_size=40).map(lambda rest: "{" + rest), st.binary(max_size=8))
def test_any_file_is_read_or_refused_with_lines(content: str, rest: bytes) -> None:
    for given_bytes in (content.encode(errors="replace") + rest, b"gateway,site\n" + rest):
        try:
            read(given_bytes)
        except FileError as exc:
            assert all(each.startswith("line ") for each in exc.messages)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "fleet.csv"
    path.write_text(CSV)
    return path


def test_an_import_reaches_the_registry_and_the_latest_state(cloud: Cloud, view: View, file: Path) -> None:
    assert view.json("registry", "import", str(file))["gateways"] == 2
    cloud.ingest(records(envelope(batch(links=[Link("a.b", peer="far")]))))
    assert latest.parse(cloud.items("latest")[0]).links == {"a.b": Neighbour("far", "radio", 866_700)}
    found = {each["gateway"]: each for each in view.json("registry", "list")}
    assert (found["gw-1"]["site"], found["gw-1"]["latitude"]) == ("Table Mountain", -33.962778)
    assert found["gw-1"]["links"] == [
        {"link": "a.b", "peer": "far", "medium": "radio", "capacity_kbps": 866_700}
    ]
    _, out, _ = view("registry", "list")
    assert all(each in out for each in ("Table Mountain", "866.7", "-33.96278, 18.40972", "Valley"))


def test_a_file_imported_twice_changes_nothing_the_second_time(cloud: Cloud, view: View, file: Path) -> None:
    assert len(view.json("registry", "import", str(file))["changes"]) == 6
    before = cloud.everything()
    assert view.json("registry", "import", str(file))["changes"] == []
    assert cloud.everything() == before


def test_a_dry_run_shows_the_changes_and_writes_nothing(cloud: Cloud, view: View, file: Path) -> None:
    code, out, _ = view("registry", "import", str(file), "--dry-run")
    assert code == 0
    assert "2 gateways in the file, 2 would change" in out
    assert "radio, 866,700 kbit/s" in out
    assert cloud.items("registry") == []


def test_what_a_link_leaves_open_is_taken_from_its_peer() -> None:
    said = Metadata(
        links={"a.b": LinkMetadata("fibre"), "c.d": LinkMetadata()},
        peers={"far": LinkMetadata("radio", 54_000)},
    )
    assert said.of("a.b", "far") == LinkMetadata("fibre", 54_000)
    assert said.of("c.d", "far") == said.of("e.f", "far") == LinkMetadata("radio", 54_000)
    assert said.of("e.f", "") is None


def test_what_is_said_by_peer_is_listed(view: View, file: Path) -> None:
    file.write_text("gateway,peer,medium,capacity_mbps\nq2,towerB,microwave,77\n")
    view("registry", "import", str(file))
    out = view("registry", "list")[1]
    assert all(each in out for each in ("towerB", "microwave", "77.0"))


def test_what_was_forgotten_can_be_said_again(view: View, file: Path) -> None:
    """An import that says nothing in place of all leaves an item that says nothing."""
    for content in ("gateway,site\ngw-1,Hill\n", "gateway\ngw-1\n", "gateway,site\ngw-1,Dale\n"):
        file.write_text(content)
        assert view.json("registry", "import", str(file), "--replace")["gateways"] == 1
    assert view.json("registry", "list")[0]["site"] == "Dale"


def test_long_tables_are_shown_in_part(cloud: Cloud, view: View, file: Path) -> None:
    file.write_text("gateway,site\n" + "".join(f"gw-{number},Hill\n" for number in range(60)))
    for arguments, total in ((("import", str(file)), 60), (("list",), 60)):
        _, out, _ = view("registry", *arguments)
        assert out.count("Hill") == 50
        assert f"{total - 50} more: --limit 0 shows all" in out
    assert view("registry", "list", "--limit", "0")[1].count("Hill") == 60
    assert len(view.json("registry", "list")) == 60


def test_what_a_file_does_not_say_stays_unless_it_is_to_replace(view: View, cloud: Cloud, file: Path) -> None:
    view("registry", "import", str(file))
    file.write_text("gateway,site\ngw-1,Lion's Head\n")
    assert [each["what"] for each in view.json("registry", "import", str(file))["changes"]] == ["site"]
    changes = view.json("registry", "import", str(file), "--replace")["changes"]
    assert {each["what"] for each in changes} == {"region", "coordinates", "link a.b", "to gw-2"}


def test_a_file_with_errors_changes_nothing_and_is_a_wrong_command_line(
    cloud: Cloud, view: View, file: Path
) -> None:
    file.write_text(CSV + "bad name,,,,,,,,\n")
    code, out, err = view("registry", "import", str(file))
    assert (code, out) == (2, "")
    assert f"{file}: line 7: 'bad name' cannot be a gateway's name" in err
    assert "has 1 error; nothing was changed" in err
    assert cloud.items("registry") == []
    assert view("registry", "import", "nowhere.csv")[0] == 2
