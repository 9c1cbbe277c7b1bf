"""Parquet files by pyarrow, which is an optional extra: linkpulse[parquet]."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cloud.export_rows import FLOAT, TEXT, TIME, Field, Row, Schema

ROWS = 65_536
"""Rows of a group: what is held in memory of each file."""


class ParquetFile:
    """One Parquet file, written a group of rows at a time; units and meanings of null are field metadata."""

    def __init__(self, path: Path, schema: Schema, group: int = ROWS) -> None:
        self._schema = pa.schema([_field(each) for each in schema.fields])
        self._writer = pq.ParquetWriter(str(path), self._schema, compression="zstd")
        self._held: list[Row] = []
        self._group = group

    def write(self, row: Row) -> None:
        """Take a row."""
        self._held.append(row)
        if len(self._held) >= self._group:
            self._flush()

    def close(self) -> None:
        """Write what is held and close."""
        try:
            if self._held:
                self._flush()
        finally:
            self._writer.close()

    def _flush(self) -> None:
        columns = zip(*self._held, strict=True)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
        self._writer.write_table(pa.table(arrays, schema=self._schema))
        self._held.clear()


def _field(given: Field) -> Any:
    told = {"unit": given.unit, "null": given.null}
    return pa.field(
        given.name, _type(given.type), metadata={name: text for name, text in told.items() if text}
    )


def _type(name: str) -> Any:
    special = {TEXT: pa.string(), TIME: pa.timestamp("ms", tz="UTC"), FLOAT: pa.float64()}
    return special.get(name) or getattr(pa, name)()
