"""What the files of a spool hold, as it was found on the disk."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge_agent.spool.journal import JournalFile
from edge_agent.spool.marks import Fact
from edge_agent.spool.segments import Segment
from edge_agent.spool.state import State


@dataclass(slots=True)
class Found:
    """What was read, and what is known of the rest."""

    gateway: str
    state: State | None = None
    journal: list[JournalFile] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    hopeless: list[str] = field(default_factory=list)
    """Files in which nothing is whole."""
    damaged: list[tuple[str, int, int]] = field(default_factory=list)
    """File, offset and end of what is damaged."""
    torn: int = 0
    batch_ms: int = 0
    """The newest time in the last batch."""
    batch_end: int = 0
    """Behind its last number."""
    rows_ms: int = 0
    """The newest time of the last readings whose clock was believed."""
    claimed: int = 0
    """Behind the last number that a damaged end of the journal claims to have had."""
    is_unsure: bool = False
    """Whether it is in doubt what was sent: numbers not sealed yet belong to a new epoch."""
    is_end_lost: bool = False
    """Whether readings may have been accepted of which nothing tells how many."""
    is_tail_clean: bool = True
    """Whether the last file of the journal can be written on."""

    def learn(self, state: State) -> None:
        """Take over a state that is newer."""
        if self.state is None or state.version >= self.state.version:
            self.state = state
