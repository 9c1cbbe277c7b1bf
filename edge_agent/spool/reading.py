"""Reading a spool's files without changing any of them: for the start, and for who looks on."""

from __future__ import annotations

import errno
from collections.abc import Callable

from edge_agent.spool.disk import Disk
from edge_agent.spool.found import Found
from edge_agent.spool.layout import BATCHES, JOURNAL, MARKS, number_of, sort_of
from edge_agent.spool.reading_journal import read_journal
from edge_agent.spool.reading_sealed import read_batches, read_marks
from edge_agent.spool.salvage import Salvaged, salvage

_READ: dict[str, Callable[[Found, Salvaged], bool]] = {
    JOURNAL: read_journal,
    BATCHES: read_batches,
    MARKS: read_marks,
}


def read_all(disk: Disk, gateway: str) -> Found:
    """All files in the order of their numbers; raises OSError when none can be read."""
    found, last_lost, unread = Found(gateway), -1, 0
    names = [name for name in disk.names() if sort_of(name)]
    for name in names:
        file = salvage(disk, name)
        unread += file is None
        if file is not None and _READ[sort_of(name)](found, file):
            found.damaged += [(name, start, end) for start, end in file.scan.damaged]
            found.torn += file.scan.torn
            continue
        if name in found.foreign:
            continue
        found.hopeless.append(name)
        found.is_unsure = True
        if sort_of(name) == JOURNAL:
            last_lost = number_of(name)
    if unread and unread == len(names):
        raise OSError(errno.EIO, "nothing in it can be read")
    found.is_end_lost |= last_lost > max((number_of(each.name) for each in found.journal), default=-1)
    _order(found)
    if (found.journal or found.segments) and not found.marks:
        found.is_unsure = True  # a file is missing that is always there
    if (found.marks or found.segments) and not found.journal:
        found.is_end_lost = True
    return found


def _order(found: Found) -> None:
    """The files in the order of their numbers, none of which is in two places: the later file has it."""
    for place, file in enumerate(found.journal):
        for later in found.journal[place + 1 :]:
            if later.start >= 0:
                file.void_from(later.start)
    found.segments.sort(key=lambda each: (each.origin, each.name))
    for segment, later_one in zip(found.segments, found.segments[1:], strict=False):
        segment.void_from(later_one.origin)
