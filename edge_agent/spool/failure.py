"""What the spool says when it cannot: try again, another has it, or somebody must change something."""

from __future__ import annotations


class SpoolError(Exception):
    """The spool cannot do this now (disk full, read-only, I/O error); nothing was changed, try again."""


class SpoolBusy(SpoolError):
    """Another process has this spool open."""


class SpoolUnusable(SpoolError):
    """The path or its permissions are wrong: waiting does not help, somebody must change them."""
