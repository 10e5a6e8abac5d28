"""What the reading stages share: their arguments, and what happens to what cannot be read."""

from __future__ import annotations

import json
import posixpath
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from curator_executor.api import DocumentBatch, FileGroupTask, ProcessingStage
from curator_executor.stages import arguments

ON_ERROR = ("raise", "skip")
GENERATED_ID = "id"


class Refused(ValueError):
    """A line or row that is no document; `reason` is what a report counts it under."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(eq=False, repr=False)
class ReadStage(ProcessingStage[FileGroupTask, DocumentBatch]):
    """What both reading stages take.

    Attributes:
        text_field: column that must hold text in every document; None: do not look.
        id_field: column that must hold an identifier in every document. None: documents without
            an `id` get one, the file's name and the line or row, counted from 1.
        fields: columns to keep beside text and identifier; None for all.
        documents_per_batch: rows in one emitted batch; fewer if it would exceed 8 MiB of the file.
        on_error: what to do with what cannot be read: `raise`, or `skip` and count it.
        storage_options: passed on to fsspec.
    """

    text_field: str | None = "text"
    id_field: str | None = None
    fields: list[str] | None = None
    documents_per_batch: int = 1000
    on_error: str = "raise"
    storage_options: dict[str, Any] = field(default_factory=dict)
    name: str = "read"
    is_pure = True

    def __post_init__(self) -> None:
        kind = type(self).__name__
        for argument in ("text_field", "id_field"):
            if getattr(self, argument) is not None:
                arguments.column_name(kind, argument, getattr(self, argument))
        if self.fields is not None:
            self.fields = arguments.texts(kind, "fields", self.fields)
        arguments.whole(kind, "documents_per_batch", self.documents_per_batch)
        arguments.one_of(kind, "on_error", self.on_error, ON_ERROR)

    @property
    def id_column(self) -> str:
        """The column that holds the identifier."""
        return self.id_field or GENERATED_ID

    def wanted_columns(self) -> list[str] | None:
        """Columns to keep, or None for all."""
        if self.fields is None:
            return None
        needed = [self.id_column, *([self.text_field] if self.text_field else [])]
        return list(dict.fromkeys([*needed, *self.fields]))

    def outputs(self) -> tuple[list[str], list[str]]:
        """Identifier and text."""
        return ["data"], [self.id_column, *([self.text_field] if self.text_field else [])]

    def process(self, task: FileGroupTask) -> Iterator[DocumentBatch]:
        """Yield the batches of every file of the group.

        Raises:
            ValueError: a file or line is no documents, and `on_error` is `raise`.
            OSError: a file cannot be opened.
        """
        names = task.reader_config.get("names") or [None] * len(task.data)
        for path, known in zip(task.data, names, strict=True):
            name = known or posixpath.basename(path).partition(".")[0]
            for first, last, table in self._read(path, name):
                metadata = {
                    **task._metadata,
                    "source_files": [path],
                    "source_rows": [first, last],
                }
                yield DocumentBatch(dataset_name=task.dataset_name, data=table, _metadata=metadata)

    @abstractmethod
    def _read(self, path: str, name: str) -> Iterator[tuple[int, int, pa.Table]]:
        """(first row, last row, documents) of each batch of a file; rows count from 1."""

    def refuse(self, where: str, reason: str, detail: str) -> None:
        """Raise, or count what is left out."""
        if self.on_error == "skip":
            self._log_dropped(reason, sample=f"{where}: {detail}")
            return
        raise ValueError(f"{where}: {detail}. Mend it, or set on_error: skip to leave it out")


def as_text(value: Any) -> str:
    """An identifier as text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
