"""Imports of the registry by several people at the same time, and by newer ones: nothing is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cloud import keys, registry_import, registry_metadata
from cloud.registry_import import Difference
from cloud.registry_metadata import LinkMetadata, Metadata
from cloud.target import Target, TargetError
from tests.cloud.test_registry_import import SAID

if TYPE_CHECKING:
    from tests.cloud.conftest import Cloud


def test_imports_at_the_same_time_both_reach_the_registry(target: Target) -> None:
    """Of the same file one finds the work done; of others each adds what it says."""
    other = {"gw-1": Metadata("Elsewhere", links={"c.d": LinkMetadata("fibre")})}
    mine, same, others = (registry_import.differences({}, each) for each in (SAID, SAID, other))
    assert all(registry_import.write(target, each) for each in mine)
    assert [registry_import.write(target, each) for each in same] == [None, None]
    (changed,) = (registry_import.write(target, each) for each in others)
    assert changed is not None
    assert [what for what, _, _ in changed.lines()] == ["site", "link c.d"]
    stored = registry_import.entries(target)["gw-1"].metadata
    assert (stored.site, stored.region, set(stored.links)) == ("Elsewhere", "Western Cape", {"a.b", "c.d"})


def test_what_does_not_fit_beside_what_others_wrote_is_told_with_its_gateway(target: Target) -> None:
    def many(name: str) -> Metadata:
        return Metadata(links={f"{name}-{at:050}": LinkMetadata("radio") for at in range(3_000)})

    mine, others = (registry_import.differences({}, {"gw-1": many(name)}) for name in "ab")
    assert registry_import.write(target, others[0]) is not None
    with pytest.raises(TargetError, match=r"gw-1: its links take .* B in the registry"):
        registry_import.write(target, mine[0])


def test_an_import_gives_up_when_others_never_rest(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    (first, _) = registry_import.differences({}, SAID)
    tries: list[Difference] = []

    def never(target: Target, difference: Difference) -> bool:
        tries.append(difference)
        return False

    monkeypatch.setattr(registry_import, "_put", never)
    with pytest.raises(TargetError, match="gw-1: others import all the time; do it again"):
        registry_import.write(target, first)
    assert len(tries) == 10


def test_metadata_of_a_newer_linkview_is_not_overwritten(cloud: Cloud, target: Target) -> None:
    (first, _) = registry_import.differences({}, SAID)
    item = {**registry_metadata.pack("gw-1", Metadata()), keys.SAID: {"S": '{"v":9}'}}
    cloud.client.put_item(TableName=cloud.settings.registry_table, Item=item)
    with pytest.raises(TargetError, match=r"gw-1: .*: is there a newer linkview"):
        registry_import.write(target, first)
    assert cloud.items("registry") == [item]
