"""What files of sealed batches hold, and the marks that tell what became of them."""

from __future__ import annotations

from edge_agent.contract import ContractError, decode
from edge_agent.spool.found import Found
from edge_agent.spool.marks import Fact, decode_facts
from edge_agent.spool.records import BAD, BATCH_HEAD, Record, decode_batch_head, decode_owner
from edge_agent.spool.salvage import Salvaged
from edge_agent.spool.segments import Segment
from edge_agent.spool.state import State


def read_batches(found: Found, file: Salvaged) -> bool:
    """Take over a file of batches; whether there is anything in it."""
    segment = Segment(file.name, len(file.data), 0, used=file.scan.end, origin=-1)
    gateway = _take_batches(found, file, segment)
    if gateway and gateway != found.gateway:
        found.foreign.append(file.name)
        return False
    tail = file.tail()
    if tail and not file.is_tail_torn():
        file.blame(*tail)
        found.is_unsure = True
    if not segment.firsts and segment.origin < 0:
        return False
    if file.scan.torn or file.scan.damaged or file.is_cut:
        segment.used = segment.size  # nothing more goes into it
    if segment.firsts and not 0 <= segment.origin <= segment.firsts[0]:
        segment.origin = segment.firsts[0]
    found.segments.append(segment)
    return True


def _take_batches(found: Found, file: Salvaged, segment: Segment) -> str:
    """Take over the batches of a file; returns whose it is."""
    gateway = ""
    for frame in file.frames:
        try:
            if frame.kind == Record.OWNER:
                owner = decode_owner(frame.body)
                segment.epoch, segment.level, segment.origin = owner.epoch, owner.level, owner.first
                gateway = owner.gateway
            elif frame.kind == Record.BATCH:
                if not gateway:  # the file's beginning is lost
                    batch = decode(bytes(frame.body[BATCH_HEAD.size :]))
                    gateway, segment.epoch = batch.gateway, batch.epoch
                head = decode_batch_head(frame.body)
                segment.void_from(head.first)
                segment.note(head, frame.offset, frame.end - frame.offset)
                if head.end >= found.batch_end:
                    found.batch_end, found.batch_ms = head.end, head.last_ms
        except (*BAD, ContractError):
            file.scan.damaged.append((frame.offset, frame.end))
    return gateway


def read_marks(found: Found, file: Salvaged) -> bool:
    """Take over a file of marks; whether there is anything in it."""
    facts: list[Fact] = []
    durable = 1  # the beginning was durable before the file got its name
    for frame in file.frames:
        try:
            if frame.kind == Record.STATE:
                state = State.of(frame.body)
                if state.gateway != found.gateway:
                    found.foreign.append(file.name)
                    return False
                found.learn(state)
            else:
                facts += decode_facts(frame.kind, frame.body)
        except BAD:
            file.scan.damaged.append((frame.offset, frame.end))
        if frame.kind == Record.SENDING:
            durable = frame.offset
    # Most marks are not synced one by one: holes that were never written are no damage.
    for start, end in list(file.scan.damaged):
        if start >= durable and file.frames and not file.is_cut and file.looks_torn(start, end):
            file.forgive(start, end)
    found.facts += facts
    if file.frames:
        found.marks.append(file.name)
    found.is_unsure = found.is_unsure or bool(file.scan.damaged) or file.is_cut
    return bool(file.frames)
