"""What stages on documents share: tables out of tasks, texts out of tables, tasks like their input.

Every stage here works on a PyArrow table, which cannot be changed in place, so an input task is
never altered.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from curator_executor.api import DocumentBatch, ProcessingStage


def table_of(task: DocumentBatch) -> pa.Table:
    """The documents as a table, without a pandas index or notes about one.

    A frame from which rows were dropped has an index; as a column it would reach the output.
    """
    if hasattr(task.data, "iloc"):
        return pa.Table.from_pandas(task.data, preserve_index=False).replace_schema_metadata(None)
    return task.to_pyarrow()


def like(task: DocumentBatch, table: pa.Table) -> DocumentBatch:
    """A new task with another table; data set, metadata and lineage are the input's."""
    new = copy.copy(task)
    new.data = table
    new._metadata = dict(task._metadata)
    return new


def with_column(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    """The table with one column added, or replaced in its place."""
    if name in table.column_names:
        return table.set_column(table.column_names.index(name), name, values)
    return table.append_column(name, values)


class DocumentStage(ProcessingStage[DocumentBatch, DocumentBatch]):
    """A stage on the texts of a batch: one batch in, one or none out."""

    is_pure = True
    text_field: str = "text"

    def inputs(self) -> Any:
        """The text column."""
        return ["data"], [self.text_field]

    def validate_input(self, task: Any) -> bool:
        """Always true: `texts` says better what is missing."""
        return True

    def texts(self, table: pa.Table) -> list[str]:
        """The texts of a table.

        Raises:
            ValueError: there is no such column, or something in it is not text.
        """
        if self.text_field not in table.column_names:
            raise ValueError(
                f"stage {self.name}: documents have no column {self.text_field!r}; their columns: "
                f"{', '.join(table.column_names)}. Set text_field to the one that holds the text"
            )
        values: list[Any] = table.column(self.text_field).to_pylist()
        for row, value in enumerate(values):
            if not isinstance(value, str):
                raise ValueError(  # noqa: TRY004 - the data are wrong, not the call
                    f"stage {self.name}: {document_name(table, row)}: column "
                    f"{self.text_field!r} holds {type(value).__name__}, wanted text. "
                    "A reader with on_error: skip leaves such documents out"
                )
        return values

    def add_to_metric(self, name: str, value: float) -> None:
        """Add to a metric of this batch; `process` may run several times within one."""
        before = self.__dict__.get("_custom_metrics", {}).get(name, 0.0)
        self._log_metric(name, before + value)

    def map_texts(
        self, table: pa.Table, texts: Sequence[str], call: Callable[[str], Any]
    ) -> list[Any]:
        """What `call` makes of each text; an exception gets a note that names the document."""
        results = []
        for row, text in enumerate(texts):
            try:
                results.append(call(text))
            except Exception as error:
                error.add_note(f"stage {self.name}: {document_name(table, row)}")
                raise
        return results

    def kept_rows(
        self, task: DocumentBatch, table: pa.Table, kept: list[bool]
    ) -> DocumentBatch | None:
        """The batch with the rows that are kept, or None if there are none."""
        if all(kept):
            return like(task, table) if kept else None
        if not any(kept):
            return None
        return like(task, table.filter(pa.array(kept)))


def document_name(table: pa.Table, row: int) -> str:
    """How an error names a document: by its id, else by its row in the batch."""
    if "id" in table.column_names:
        return f"document {table.column('id')[row].as_py()!r}"
    return f"document {row} of the batch"
