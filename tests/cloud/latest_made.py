"""Made for the tests of the latest state: arrivals, entries of the registry, batches, and their outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from cloud import enrich, keys, latest
from cloud.decode import Arrival, Envelope, decode
from cloud.enrich import Progress
from cloud.latest import Latest
from cloud.latest_image import Row
from cloud.poison import Position
from cloud.registry import Definition, Entry
from edge_agent.contract import KINDS, Batch, Link, Reading, encode
from edge_agent.contract.sealed import sealed
from tests.cloud.records import EPOCH, NOW, batch, echo, envelope, records

if TYPE_CHECKING:
    from tests.cloud.conftest import Cloud


KEEP_MS = 7 * keys.DAY_MS
DAY_MS = keys.DAY_MS


def arrival(given: Batch, rx_ms: int = NOW, sequence: str = "1") -> Arrival:
    position = Position("shardId-000000000000", sequence, rx_ms)
    return decode(Envelope(position, given.gateway, given.gateway, rx_ms, False, encode(given)))


def entry(links: dict[str, Link] | None = None, **said: Any) -> Entry:
    version = keys.version(NOW, EPOCH, 0)
    return Entry({name: Definition(link, version) for name, link in (links or {}).items()}, **said)


def item_of(progress: Progress, gateway: str = "gw-1") -> dict[str, Any]:
    return latest.pack(gateway, progress.version, progress.image, b"")


def state_of(*given: Batch, known: Entry | None = None) -> Latest:
    """The state after live batches of a gateway, written and read."""
    progress = Progress()
    enrich.advance(progress, [arrival(each) for each in given], known or Entry(), KEEP_MS)
    return latest.parse(item_of(progress, given[0].gateway))


def row(reading: Reading, sent: int = 0, lost: int = 0) -> Row:
    """A series as an image has it, without a witness."""
    (content,) = sealed(batch(readings=[reading])).tables[KINDS[reading.kind].code].raw([0])
    return Row(reading.at_ms, 0, 0, 0, int(reading.flags), int(reading.outcome), sent, lost, content)


MINUTE_MS = 60_000


def minute(number: int, *rounds: Reading, gateway: str = "gw-1") -> Batch:
    """A batch of a minute; its rounds get that minute's times."""
    start = NOW + number * MINUTE_MS
    timed = [
        Reading(each.link, each.kind, start + index * 1_000, each.values, each.flags, each.outcome)
        for index, each in enumerate(rounds)
    ]
    return batch(gateway, timed, sequence=number * 100)


def sent(*batches: Batch, first: int = 100) -> list[Any]:
    """Records of batches, each received a second after its last reading."""
    return records(*(envelope(each, rx=each.last_ms + 1_000) for each in batches), first=first)


GOOD, BAD = echo(), echo(received=0)
UP, DOWN, AGAIN = minute(0, GOOD, GOOD, GOOD), minute(1, BAD, BAD, BAD), minute(2, GOOD, GOOD)


def throttled(operation: str) -> ClientError:
    return ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow down"}}, operation)


def told(cloud: Cloud) -> list[tuple[str, str]]:
    return [(each.before.name, each.after.name) for each in cloud.bus.told]


def state(cloud: Cloud) -> latest.Latest:
    (item,) = cloud.items("latest")
    return latest.parse(item)
