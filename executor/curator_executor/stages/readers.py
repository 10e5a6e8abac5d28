"""Read documents: `JsonlReader` and `ParquetReader`, each a list of files and a reading stage.

A reading stage takes groups of files and yields batches while it goes through a file, so that a
file is never in memory as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from curator_executor.api import CompositeStage, DocumentBatch, EmptyTask, ProcessingStage
from curator_executor.stages import arguments
from curator_executor.stages.files import FileList, absolute
from curator_executor.stages.read_jsonl import JsonlReadStage
from curator_executor.stages.read_parquet import ParquetReadStage

JSONL_SUFFIXES = [".jsonl", ".ndjson", ".json"]
PARQUET_SUFFIXES = [".parquet", ".pq"]


@dataclass(eq=False, repr=False)
class _Reader(CompositeStage[EmptyTask, DocumentBatch]):
    """What both readers take: where files are, and how to read them (see `ReadStage`)."""

    paths: str | list[str]
    files_per_task: int = 1
    text_field: str | None = "text"
    id_field: str | None = None
    fields: list[str] | None = None
    documents_per_batch: int = 1000
    on_error: str = "raise"
    dataset_name: str = ""
    storage_options: dict[str, Any] = field(default_factory=dict)
    name: str = "reader"

    def __post_init__(self) -> None:
        super().__init__()
        self.paths = [
            absolute(p) for p in arguments.texts(type(self).__name__, "paths", self.paths)
        ]
        self.decompose()

    def _files(self, suffixes: list[str]) -> FileList:
        return FileList(
            paths=self.paths,
            files_per_task=self.files_per_task,
            suffixes=suffixes,
            dataset_name=self.dataset_name,
            storage_options=self.storage_options,
        )

    def _options(self) -> dict[str, Any]:
        return {
            "text_field": self.text_field,
            "id_field": self.id_field,
            "fields": self.fields,
            "documents_per_batch": self.documents_per_batch,
            "on_error": self.on_error,
            "storage_options": self.storage_options,
        }


@dataclass(eq=False, repr=False)
class JsonlReader(_Reader):
    """Documents of JSONL files: `list_files`, then `read_jsonl`.

    Attributes:
        paths: a file, directory, glob or fsspec URL, or a list of them.
        types: see `JsonlReadStage`; the other arguments are explained in `docs/reference`.
    """

    types: dict[str, str] = field(default_factory=dict)
    name: str = "jsonl_reader"

    def decompose(self) -> list[ProcessingStage[Any, Any]]:
        """The two stages."""
        return [
            self._files(JSONL_SUFFIXES),
            JsonlReadStage(types=dict(self.types), **self._options()),
        ]


@dataclass(eq=False, repr=False)
class ParquetReader(_Reader):
    """Documents of Parquet files: `list_files`, then `read_parquet`.

    Attributes:
        paths: a file, directory, glob or fsspec URL, or a list of them.
    """

    name: str = "parquet_reader"

    def decompose(self) -> list[ProcessingStage[Any, Any]]:
        """The two stages."""
        return [self._files(PARQUET_SUFFIXES), ParquetReadStage(**self._options())]
