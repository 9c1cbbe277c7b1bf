"""The report: what counts as reached, when a case is run again, and how rows look."""

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import replace

import pytest
from rich.console import Console

from tests.truth.__main__ import ATTEMPTS, measure, suites
from tests.truth.passage import Passage, key, shaped
from tests.truth.picture import BAR, condensed, picture
from tests.truth.report import LATE_US, Row, judge, unmeasured, wire_late_us
from tests.truth.table import table

GOOD = judge("echo rtt", "20 ms", 20.05, 20.0, "ms", 0.1, {"ping": 0.2})
BAD = judge("echo <rtt>", "a & b", 21.0, 20.0, "ms", 0.1)


def passage(late_ns: int, index: int = 0) -> Passage:
    head = bytes(40)
    return Passage("out", index, 0, 1000, (1000 + late_ns,), "passed", 40, head, key(head))


@pytest.mark.parametrize(
    ("estimate", "truth", "bound", "reached"),
    [(3, 3, 0, True), (3, 4, 0, False), (1.1, 1.0, 0.2, True), (None, 1, 5, False), (1, None, 5, False)],
)
def test_a_row_is_reached_when_its_error_is_within_the_bound(
    estimate: float | None, truth: float | None, bound: float, reached: bool
) -> None:
    assert judge("x", "y", estimate, truth, "ms", bound).reached is reached


def test_the_wire_is_as_late_as_its_99th_percentile_and_only_shaped_frames_count() -> None:
    log = [passage(1000 * number) for number in range(1, 101)] + [passage(10**9, index=-1)]
    assert wire_late_us(log) == 99
    assert wire_late_us([]) == 0


@pytest.mark.parametrize(
    ("late_us", "reached", "runs"),
    [(LATE_US + 1, False, ATTEMPTS), (LATE_US - 1, False, 1), (LATE_US + 1, True, 1)],
)
def test_a_miss_is_run_again_only_while_the_wire_was_late(late_us: float, reached: bool, runs: int) -> None:
    done: list[Row] = []

    def case() -> Iterator[Row]:
        done.append(replace(GOOD, reached=reached, wire_late_us=late_us))
        yield done[-1]

    assert measure("x", case, lambda _: None) == done[-1:]
    assert len(done) == runs


def test_a_case_that_raises_is_a_miss_with_its_reason() -> None:
    def case() -> list[Row]:
        raise OSError("no such wire")

    (row,) = measure("echo", case)
    assert not row.reached
    assert "no such wire" in row.note


def test_the_table_marks_a_miss_in_words() -> None:
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(table([GOOD, BAD, unmeasured("dns", "[reason]")]))
    good, bad, none = console.export_text().splitlines()[-4:-1]

    assert " ok " in good and "ping 0.200" in good
    assert " MISS " in bad
    assert " MISS " in none and "[reason]" in none


def test_the_picture_is_xml_with_a_bar_for_each_row() -> None:
    rows = [
        GOOD,
        BAD,
        judge("count", "exact", 5, 5, "packets", 0),
        judge("count", "wrong", 4, 5, "packets", 0),
    ]
    tree = ElementTree.fromstring(picture([*rows, unmeasured("dns", "why")]))
    name = "{http://www.w3.org/2000/svg}"
    bars = [each for each in tree.iter(f"{name}rect") if each.get("rx")]
    widths = [float(each.get("width", "0")) for each in bars]

    assert [each.get("class") for each in bars] == ["ok", "miss", "ok", "miss", "miss"]
    assert widths[0] == pytest.approx(BAR / 2, abs=0.1)
    assert widths[1] > BAR and widths[2] < 5 and widths[3] > BAR
    assert any("echo <rtt>" in (each.text or "") for each in tree.iter(f"{name}text"))


def test_exact_counts_share_a_line_of_the_picture_and_wrong_ones_do_not() -> None:
    right, wrong = (
        judge("echo sent", "1 %", 5, 5, "packets", 0),
        judge("echo late", "1 %", 4, 5, "packets", 0),
    )
    names = judge("dns answered", "1 %", 5, 5, "packets", 0)

    lines = condensed([GOOD, right, wrong, names, replace(right, condition="2 %")])

    assert [each.what for each in lines] == ["echo rtt", "echo: 2 counts", "echo late", "dns: 1 counts"]


def test_rows_are_plain_json() -> None:
    assert json.loads(json.dumps(GOOD.as_json()))["peers"] == {"ping": 0.2}


def test_every_suite_of_this_part_is_found() -> None:
    assert {"echo", "loss", "connect"} <= set(suites())


@pytest.mark.parametrize(
    ("frame", "is_shaped"),
    [
        (b"\x02" + bytes(11) + b"\x08\x00" + bytes(40), True),
        (b"\x02" + bytes(11) + b"\x08\x06" + bytes(40), False),
        (b"\x33" + bytes(11) + b"\x86\xdd" + bytes(60), False),
        (b"\x02" + bytes(11) + b"\x86\xdd" + bytes(6) + b"\x3a" + bytes(33) + b"\x87" + bytes(20), False),
        (b"\x02" + bytes(11) + b"\x86\xdd" + bytes(6) + b"\x3a" + bytes(33) + b"\x80" + bytes(20), True),
        (b"\x02", False),
    ],
    ids=["ipv4", "arp", "multicast", "neighbour discovery", "echo", "short"],
)
def test_the_shape_holds_for_unicast_ip_alone(frame: bytes, is_shaped: bool) -> None:
    assert shaped(frame) is is_shaped
