"""`make smoke` on the local cloud, as on a stack on AWS."""

from __future__ import annotations

from typing import Any


def test_the_smoke_test_passes_and_leaves_nothing_behind(cloud: Any) -> None:
    done = cloud.run("infrastructure.smoke", "--stack", cloud.connection["stack"])
    steps = [line.rsplit(None, 3)[0] for line in done.stdout.splitlines()[1:]]
    assert steps[0] == "find stack linkpulse-local of the local cloud"
    assert steps[2:] == [
        "connect with its certificate",
        "publish 3 readings",
        "find it in the table",
        "compare it byte for byte",
        "find the gateway's latest state",
        "remove what was made",
    ]
    assert all(line.split()[-1] == "ok" for line in done.stdout.splitlines()[1:])
    assert not [each for each in cloud.client("iot").list_things()["things"] if "smoke" in each["thingName"]]
    for table in ("ReadingsTable", "LatestTable", "RegistryTable"):
        items = cloud.client("dynamodb").scan(TableName=cloud.output(table))["Items"]
        assert not [item for item in items if "smoke-" in repr(item)]
