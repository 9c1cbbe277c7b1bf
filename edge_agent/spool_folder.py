"""Where the spool lies, for configurations that still name the file of a former version."""

from __future__ import annotations

from pathlib import Path


def folder_of(path: Path) -> Path:
    """The folder of the spool: ``path``, or beside it where a file has that name, which is left alone.

    Before it was a folder of its own the spool was one file, spool.db, and enrolment wrote that into configs.
    """
    try:
        is_file = path.is_file()
    except PermissionError:  # to whoever only asks for the status
        is_file = False
    if not is_file:
        return path
    return path.with_suffix("") if path.suffix else path.with_name(f"{path.name}.folder")
