"""`ParquetReadStage`: documents of Parquet files, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from curator_executor.stages import arguments
from curator_executor.stages.files import is_local, open_filesystem
from curator_executor.stages.reading import ReadStage, Refused, as_text
from curator_executor.stages.streams import is_damage


@dataclass(eq=False, repr=False)
class ParquetReadStage(ReadStage):
    """Read Parquet files, some rows at a time."""

    name: str = "read_parquet"

    def _read(self, path: str, name: str) -> Iterator[tuple[int, int, pa.Table]]:
        filesystem, inner = open_filesystem(path, self.storage_options)
        row = 0
        with filesystem.open(inner, "rb") as raw:
            try:
                # Buffered: else PyArrow reads a whole row group, whatever the batch size.
                source = inner if is_local(filesystem) else raw
                file = pq.ParquetFile(source, buffer_size=1 << 20, pre_buffer=False)
                columns = self._columns(file, path)
                for part in file.iter_batches(
                    self.documents_per_batch, columns=columns, use_threads=False
                ):
                    first, row = row + 1, row + part.num_rows
                    table = self._checked(pa.Table.from_batches([part]), path, name, first)
                    if table.num_rows:
                        yield first, row, table
            except Refused as refused:
                self.refuse(path, refused.reason, str(refused))
            except Exception as error:
                if not is_damage(error):
                    raise
                try:
                    detail = f"no Parquet, cut off or damaged: {error}"
                    self.refuse(f"{path} after row {row}", "unreadable file", detail)
                except ValueError as refused:
                    raise refused from error

    def _columns(self, file: pq.ParquetFile, path: str) -> list[str] | None:
        """Columns to read."""
        present = file.schema_arrow.names
        required = [c for c in (self.text_field, self.id_field) if c]
        for column in [*required, *(self.fields or [])]:
            if column not in present:
                raise Refused(
                    "no such column",
                    f"has no column {column!r}; columns: {', '.join(present)}"
                    f"{arguments.near(column, present)}",
                )
        if self.text_field:
            kind = file.schema_arrow.field(self.text_field).type
            if pa.types.is_dictionary(kind):
                kind = kind.value_type
            if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
                raise Refused("no text", f"column {self.text_field!r} is {kind}, wanted string")
        wanted = self.wanted_columns()
        return None if wanted is None else [c for c in wanted if c in present]

    def _checked(self, table: pa.Table, path: str, name: str, first: int) -> pa.Table:
        """The table with identifiers, without rows that lack text or identifier."""
        table = table.replace_schema_metadata(None)
        rows = list(range(first, first + table.num_rows))
        for column, reason in ((self.text_field, "no text"), (self.id_field, "no identifier")):
            if column is None or not table.column(column).null_count:
                continue
            missing = table.column(column).is_null().to_pylist()
            for row, is_missing in zip(rows, missing, strict=True):
                if is_missing:
                    self.refuse(f"{path} row {row}", reason, f"{column!r} is null")
            table = table.filter(pa.array([not m for m in missing]))
            rows = [r for r, is_missing in zip(rows, missing, strict=True) if not is_missing]
        return self._with_ids(table, name, rows)

    def _with_ids(self, table: pa.Table, name: str, rows: list[int]) -> pa.Table:
        column = self.id_column
        present = column in table.column_names
        own = table.column(column).to_pylist() if present else [None] * len(rows)
        ids = pa.array(
            [
                f"{name}-{row}" if value is None else as_text(value)
                for value, row in zip(own, rows, strict=True)
            ],
            type=pa.string(),
        )
        if present:
            return table.set_column(table.column_names.index(column), column, ids)
        return table.add_column(0, column, ids)
