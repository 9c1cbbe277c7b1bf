"""Either form of a batch, told apart by its first byte."""

from __future__ import annotations

import struct
import zlib

from edge_agent.contract.json_form import decode_json
from edge_agent.contract.model import Batch, ContractError
from edge_agent.contract.unpack import decode_packed

_DAMAGE = (ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error, zlib.error)


def decode(data: bytes) -> Batch:
    """The batch in either form; raises ContractError, and nothing else, for anything but a valid one."""
    try:
        return decode_json(data) if data[:1] == b"{" else decode_packed(data)
    except ContractError:
        raise
    except _DAMAGE as error:
        raise ContractError(f"not a batch: {error!r}") from error
