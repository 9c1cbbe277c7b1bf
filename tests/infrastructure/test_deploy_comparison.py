"""What the deployment compares: which values are equal, and what the reviewed file covers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infrastructure.local.deployment import differences
from infrastructure.local.deployment.comparison import Difference, compare
from infrastructure.local.deployment.differences import DifferencesError, Reviewed

# --- the comparison -----------------------------------------------------------------------------------


def test_numbers_and_truths_are_equal_in_whatever_form_cloudformation_takes_them() -> None:
    expected = {"A": "72", "B": True, "C": 300_000, "D": "true", "E": 0.5}
    found = {"A": 72, "B": "true", "C": 300_000.0, "D": True, "E": "0.5"}
    assert compare("R", "T", expected, found) == []


def test_more_than_the_template_says_is_no_difference() -> None:
    assert compare("R", "T", {"Tags": [{"Key": "a", "Value": "1"}]}, _tags("a", "b")) == []


def test_the_order_of_named_elements_means_nothing_and_that_of_others_does() -> None:
    assert compare("R", "T", _tags("a", "b"), _tags("b", "a")) == []
    assert [each.property for each in compare("R", "T", {"L": [1, 2]}, {"L": [2, 1]})] == ["L[0]", "L[1]"]


def test_a_difference_names_the_deepest_property_that_differs() -> None:
    expected = {"P": {"Rules": [{"Id": "x", "Days": 1}]}}
    (difference,) = compare("Bucket", "T", expected, {"P": {"Rules": [{"Id": "x", "Days": 2}]}})
    assert (difference.property, difference.expected, difference.found) == ("P.Rules[0].Days", "1", "2")
    assert str(difference) == "Bucket (T) P.Rules[0].Days: the template says 1, the engine has 2"


def _tags(*names: str) -> dict[str, Any]:
    return {"Tags": [{"Key": name, "Value": "1"} for name in names]}


# --- the reviewed file --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "covered"),
    [("A.B", True), ("A.B.C", True), ("A.B[0].C", True), ("A.Bcd", False), ("A", False), ("", False)],
)
def test_an_entry_covers_its_property_and_what_is_below(path: str, covered: bool) -> None:
    entry = Reviewed("T", "A.B", "dropped", "reason")
    assert entry.covers(Difference("R", "T", path, "1", "2")) is covered
    assert not entry.covers(Difference("R", "Other", path, "1", "2"))


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        ('type = "T"\nproperty = "P"\nclass = "ignored"\nreason = "r"', "class 'ignored' is not one of"),
        ('type = "T"\nproperty = "P"\nclass = "dropped"', "must have type, property, class and reason"),
        ('type = "T"\nproperty = "P"\nclass = "dropped"\nreason = " "', "needs a reason"),
        (
            'type = "T"\nproperty = "P"\nclass = "modelled"\nreason = "r"',
            "a model exactly when it is modelled",
        ),
        ('type = "T"\nproperty = "P"\nclass = "dropped"\nreason = "r"\nwhy = "x"', "why"),
        ("type = ", "Invalid value"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path: Path, entry: str, named: str) -> None:
    path = tmp_path / "differences.toml"
    path.write_text(f"[[difference]]\n{entry}\n")
    with pytest.raises(DifferencesError, match=named):
        differences.load(path)
