"""Either form of a batch, told apart by its first byte."""

from __future__ import annotations

import struct
import zlib

from edge_agent.contract.json_form import decode_json
from edge_agent.contract.model import Batch, ContractError
from edge_agent.contract.sealed import Sealed, sealed
from edge_agent.contract.unpack import open_packed

_DAMAGE = (ValueError, LookupError, TypeError, AttributeError, RecursionError, struct.error, zlib.error)


def decode(data: bytes) -> Batch:
    """The batch in either form; raises ContractError, and nothing else, for anything but a valid one."""
    return unseal(data).batch


def unseal(data: bytes) -> Sealed:
    """The columns of a batch in either form, its readings not unfolded; raises as decode does."""
    try:
        return sealed(decode_json(data)) if data[:1] == b"{" else open_packed(data)
    except ContractError:
        raise
    except _DAMAGE as error:
        raise ContractError(f"not a batch: {error!r}") from error
