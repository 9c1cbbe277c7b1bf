"""Changes of link states that wait in latest items, as ingestion leaves them when the bus does not answer."""

from __future__ import annotations

from typing import Any

from cloud import keys, link_change
from cloud.latest_telling import Teller
from cloud.link_change import Change
from cloud.link_state import State
from cloud.rollup_telling import SilentTelling
from tests.cloud.conftest import Cloud
from tests.cloud.records import EPOCH, NOW


def change(gateway: str, number: int = 1) -> Change:
    return Change(gateway, "a.b", State.UP, State.DOWN, NOW, EPOCH, number)


def leave(cloud: Cloud, gateway: str, *waiting: Change) -> None:
    """Let changes wait in the latest item of a gateway."""
    item = latest_item(cloud, gateway)
    item[keys.CHANGES] = {"B": link_change.pack_all(waiting)}
    cloud.client.put_item(TableName=cloud.settings.latest_table, Item=item)


def latest_item(cloud: Cloud, gateway: str) -> dict[str, Any]:
    (found,) = [dict(item) for item in cloud.items("latest") if item["gateway"]["S"] == gateway]
    return found


def waiting(cloud: Cloud) -> list[str]:
    """The ids of the changes that wait."""
    return [
        each.id
        for item in cloud.items("latest")
        if keys.CHANGES in item
        for each in link_change.unpack_all(item["gateway"]["S"], bytes(item[keys.CHANGES]["B"]))
    ]


def telling(cloud: Cloud, client: Any = None, bus: Any = None) -> SilentTelling:
    """What tells of the changes in the latest table."""
    return SilentTelling(Teller(client or cloud.client, cloud.settings.latest_table, bus or cloud.bus))
