"""The files of an export: written beside their place as rows come, and put there when all are whole."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Protocol

from cloud.export_rows import Row, Schema, Value
from cloud.target import TargetError


class Writer(Protocol):
    """One open file of some format; rows are in the order of its schema's fields."""

    def write(self, row: Row) -> None:
        """Take a row; raises OSError when it cannot be written."""

    def close(self) -> None:
        """Write what is held and close; once. Raises OSError."""


Opener = Callable[[Path, Schema], Writer]


class CsvWriter:
    """RFC 4180, UTF-8, times in ISO 8601; nothing between two commas is what was not measured."""

    def __init__(self, path: Path, schema: Schema) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._rows = csv.writer(self._file)
        self._rows.writerow(field.name for field in schema.fields)

    def write(self, row: Row) -> None:
        """Take a row."""
        self._rows.writerow(map(_written, row))

    def close(self) -> None:
        """Close."""
        with self._file:
            self._file.flush()
            os.fsync(self._file.fileno())


def _written(value: Value) -> Value:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value


class Files:
    """The files of one export, one for each schema that has rows; none is seen before all are whole."""

    def __init__(self, folder: Path, ending: str, opener: Opener) -> None:
        self._folder, self._ending, self._opener = folder, ending, opener
        self._open: dict[str, tuple[Path, Writer]] = {}
        self._closed: set[str] = set()
        self.rows: dict[str, int] = {}
        """Rows by file name."""

    def write(self, schema: Schema, row: Row) -> None:
        """Append a row to the file of its schema."""
        try:
            found = self._open.get(schema.stem)
            if found is None:
                found = self._open[schema.stem] = self._begin(schema)
            found[1].write(row)
        except OSError as exc:
            raise _failed(self._folder, exc) from exc
        name = f"{schema.stem}.{self._ending}"
        self.rows[name] = self.rows.get(name, 0) + 1

    def _begin(self, schema: Schema) -> tuple[Path, Writer]:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f".{schema.stem}.{self._ending}.{os.getpid()}"
        return path, self._opener(path, schema)

    def __enter__(self) -> Files:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put the files in place, or remove what was begun."""
        try:
            if kind is None:
                self._finish()
        except OSError as exc:
            raise _failed(self._folder, exc) from exc
        finally:
            self._discard()

    def _finish(self) -> None:
        for stem, (_, writer) in self._open.items():
            self._closed.add(stem)
            writer.close()
        for stem, (path, _) in self._open.items():
            path.replace(self._folder / f"{stem}.{self._ending}")

    def _discard(self) -> None:
        for stem, (path, writer) in self._open.items():
            if stem not in self._closed:
                with suppress(OSError):
                    writer.close()
            with suppress(OSError):
                path.unlink()


def _failed(folder: Path, exc: OSError) -> TargetError:
    return TargetError(f"{exc.filename or folder}: {exc.strerror or exc}")


FORMATS: Sequence[str] = ("csv", "parquet")


def opener(name: str) -> Opener:
    """What opens files of a format; raises TargetError when its library is not there."""
    if name == "csv":
        return CsvWriter
    try:
        from cloud.export_parquet import ParquetFile
    except ImportError as exc:
        message = "Parquet needs pyarrow: pip install 'linkpulse[parquet]', or take --format csv"
        raise TargetError(message) from exc
    return ParquetFile
