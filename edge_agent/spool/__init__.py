"""The spool: where readings wait on the gateway, on a log of its own making."""

from __future__ import annotations

from edge_agent.sealing import Sealed
from edge_agent.spool.disk import Disk
from edge_agent.spool.failure import SpoolBusy, SpoolError, SpoolUnusable
from edge_agent.spool.folder_disk import FolderDisk
from edge_agent.spool.memory_disk import MemoryDisk
from edge_agent.spool.spool import Spool, new_epoch
from edge_agent.spool.stats import SpoolStats

__all__ = [
    "Disk",
    "FolderDisk",
    "MemoryDisk",
    "Sealed",
    "Spool",
    "SpoolBusy",
    "SpoolError",
    "SpoolStats",
    "SpoolUnusable",
    "new_epoch",
]
