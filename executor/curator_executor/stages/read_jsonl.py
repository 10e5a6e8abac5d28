"""`JsonlReadStage`: documents of files with one JSON object a line, batch by batch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from curator_executor.stages import arguments
from curator_executor.stages.reading import ReadStage, Refused, as_text
from curator_executor.stages.rows import RowTables, UnfitValue, parse_types
from curator_executor.stages.streams import is_damage, open_stream

# A batch ends at this many bytes of its file even if it has fewer rows than asked for.
BATCH_BYTES = 8 * 1024 * 1024
# Nobody writes such a line on purpose: it is a file that is no JSONL, and would fill the memory.
LONGEST_LINE_BYTES = 256 * 1024 * 1024


@dataclass(eq=False, repr=False)
class JsonlReadStage(ReadStage):
    """Read files of one JSON object a line, compressed (`.gz`, `.bz2`, `.xz`, `.zst`) or not.

    Attributes:
        types: PyArrow type by column, where the inferred one is not right; `json` keeps any value
            as JSON text.
    """

    types: dict[str, str] = field(default_factory=dict)
    name: str = "read_jsonl"

    def __post_init__(self) -> None:
        super().__post_init__()
        parse_types("JsonlReadStage", self.types)

    def _read(self, path: str, name: str) -> Iterator[tuple[int, int, pa.Table]]:
        tables = RowTables(parse_types("JsonlReadStage", self.types))
        rows: list[dict[str, Any]] = []
        numbers: list[int] = []
        size = 0
        for number, line in self._lines(path):
            try:
                row = self._document(line, name, number)
            except Refused as refused:
                self.refuse(f"{path} line {number}", refused.reason, str(refused))
                continue
            rows.append(row)
            numbers.append(number)
            size += len(line)
            if len(rows) >= self.documents_per_batch or size >= BATCH_BYTES:
                yield from self._batch(tables, rows, numbers, path)
                rows, numbers, size = [], [], 0
        yield from self._batch(tables, rows, numbers, path)

    def _lines(self, path: str) -> Iterator[tuple[int, bytes]]:
        """Lines that are not blank, with their numbers, up to the first damage."""
        number = 0
        try:
            with open_stream(path, self.storage_options) as stream:
                while line := stream.readline(LONGEST_LINE_BYTES):
                    number += 1
                    if len(line) >= LONGEST_LINE_BYTES:
                        detail = f"longer than {LONGEST_LINE_BYTES >> 20} MiB; this is no JSONL"
                        self.refuse(f"{path} line {number}", "unreadable file", detail)
                        return
                    if not line.isspace():
                        yield number, line
        except Exception as error:
            if not is_damage(error):
                raise
            try:
                detail = f"cut off or damaged: {error}"
                self.refuse(f"{path} after line {number}", "unreadable file", detail)
            except ValueError as refused:
                raise refused from error

    def _document(self, line: bytes, name: str, number: int) -> dict[str, Any]:
        """The object of a line, with an identifier."""
        try:
            row = json.loads(line)
        except UnicodeDecodeError as error:
            raise Refused("malformed JSON line", f"not UTF-8: {error.reason}") from error
        except (ValueError, RecursionError) as error:
            said = getattr(error, "msg", str(error))
            column = getattr(error, "pos", 0) + 1
            raise Refused(
                "malformed JSON line", f"malformed JSON at column {column}: {said}"
            ) from error
        if not isinstance(row, dict):
            raise Refused("not a JSON object", f"holds {type(row).__name__}, wanted an object")
        if self.text_field is not None:
            _require_text(row, self.text_field)
        if self.id_field is not None and row.get(self.id_field) is None:
            raise Refused("no identifier", f"has no {self.id_field!r}; fields: {_listed(row)}")
        column_name = self.id_column
        own = row.get(column_name)
        row[column_name] = f"{name}-{number}" if own is None else as_text(own)
        wanted = self.wanted_columns()
        return row if wanted is None else {key: row.get(key) for key in wanted}

    def _batch(
        self, tables: RowTables, rows: list[dict[str, Any]], numbers: list[int], path: str
    ) -> Iterator[tuple[int, int, pa.Table]]:
        while rows:
            try:
                table = tables.table(rows)
            except UnfitValue as unfit:
                detail = (
                    f"{unfit.why}. Leave the field out with fields, or give its type with types "
                    "(json keeps any value as text)"
                )
                self.refuse(f"{path} line {numbers[unfit.row]}", "value of another type", detail)
                del rows[unfit.row], numbers[unfit.row]
                continue
            yield numbers[0], numbers[-1], table
            return


def _require_text(row: dict[str, Any], text_field: str) -> None:
    value = row.get(text_field)
    if isinstance(value, str):
        return
    if text_field not in row:
        hint = arguments.near(text_field, row)
        raise Refused("no text", f"has no field {text_field!r}; fields: {_listed(row)}{hint}")
    raise Refused("no text", f"{text_field!r} holds {type(value).__name__}, wanted a string")


def _listed(row: dict[str, Any]) -> str:
    return ", ".join(row) or "none"
