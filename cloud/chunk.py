"""The item of one sealed batch: key and bytes as sealed, so that writing it again changes nothing (pure)."""

from __future__ import annotations

from cloud import keys
from cloud.decode import Arrival
from cloud.keys import Item
from cloud.validate import present_ms
from edge_agent.contract import Batch, decode

OLDEST_EXPIRY_MS = 4 * 365 * keys.DAY_MS
"""DynamoDB never deletes an item whose time to live is "more than five years in the past" (developer guide,
"TTL before you start"): what a gateway without a clock sends would stay for ever."""


def pack(arrival: Arrival, retention_days: int) -> Item:
    """The chunk of an arrival; it expires so many days after its last reading."""
    sealed = arrival.sealed
    expires_ms = present_ms(arrival, sealed.last_ms) + retention_days * keys.DAY_MS
    expires_ms = max(expires_ms, arrival.envelope.rx_ms - OLDEST_EXPIRY_MS)
    item: Item = {
        keys.PARTITION: {"S": keys.chunk_partition(sealed.gateway, sealed.first_ms)},
        keys.SORT: {"S": keys.chunk_sort(sealed.first_ms, sealed.epoch, sealed.first_sequence)},
        keys.BYTES: {"B": arrival.envelope.payload},
        keys.EXPIRES: {"N": str(expires_ms // 1000)},
    }
    if arrival.envelope.direct:
        item[keys.SOURCE] = {"S": keys.DIRECT}
    return item


def version(arrival: Arrival) -> str:
    """How new what a batch says is, compared with other batches of its gateway."""
    sealed = arrival.sealed
    return keys.version(present_ms(arrival, sealed.last_ms), sealed.epoch, sealed.first_sequence)


def parse(item: Item) -> Batch:
    """The batch of a chunk; raises ContractError when this version cannot read it."""
    return decode(bytes(item[keys.BYTES]["B"]))
