"""Write documents: `JsonlWriter` and `ParquetWriter`, one file per task, whole or not at all.

A file is named after its task's lineage key, so that a task that is done again replaces its own
file with the same bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import math
import posixpath
import re
from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curator_executor.api import (
    DocumentBatch,
    FileGroupTask,
    NodeInfo,
    ProcessingStage,
    WorkerMetadata,
)
from curator_executor.stages import arguments
from curator_executor.stages.documents import table_of
from curator_executor.stages.files import absolute, is_local, open_filesystem
from curator_executor.stages.whole_files import (
    clock_of,
    remove_leftovers,
    require_writable,
    write_whole,
)

log = logging.getLogger("curator_executor.stages")
MODES = ("error", "overwrite", "append")
JSONL_COMPRESSIONS = ("none", "gz", "zst")
PARQUET_COMPRESSIONS = ("zstd", "snappy", "gzip", "lz4", "none")
# What writers name their files: a key in hexadecimal. Nothing else is ever removed.
_OWN_NAME = re.compile(r"^[0-9a-f]{32}\.(jsonl|jsonl\.gz|jsonl\.zst|parquet)$")


@dataclass(eq=False, repr=False)
class _Writer(ProcessingStage[DocumentBatch, FileGroupTask]):
    """What both writers take.

    Attributes:
        path: directory or fsspec URL of the output; made if it is not there.
        mode: what to do where earlier output is: `error` refuses to start, `overwrite` removes
            it when the run starts, `append` leaves it; a task that is done again replaces its
            own file in every mode.
        fields: columns to write, in this order; None for all.
        storage_options: passed on to fsspec.
    """

    path: str
    mode: str = "error"
    fields: list[str] | None = None
    storage_options: dict[str, Any] = field(default_factory=dict)
    name: str = "write"
    is_pure = True
    _started: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        kind = type(self).__name__
        path: object = self.path
        if not isinstance(path, str) or not path:
            raise ValueError(f"{kind}: path must be a directory or URL, got {path!r}")
        self.path = absolute(path)
        arguments.one_of(kind, "mode", self.mode, MODES)
        if self.fields is not None:
            self.fields = arguments.texts(kind, "fields", self.fields)

    def check(self) -> None:
        """Refuse an output place that cannot be used, before any worker starts; changes nothing.

        Raises:
            ValueError: not a directory, no permission, no space.
            FileExistsError: it holds output already and `mode` is `error`.
        """
        filesystem, directory = open_filesystem(self.path, self.storage_options)
        require_writable(filesystem, directory, self.path)
        self._started = None
        if self.mode == "overwrite" and filesystem.isdir(directory):
            self._started = clock_of(filesystem, directory)
        if self.mode != "error":
            return
        present = [name for name in self._names(filesystem, directory) if not name.startswith(".")]
        if present:
            raise FileExistsError(
                f"{self.path}: holds {len(present)} files already, {present[0]} for one. Choose "
                "another path, or set mode: overwrite (removes what such a writer left there) or "
                "append (leaves it)"
            )

    def _names(self, filesystem: Any, directory: str) -> list[str]:
        if not filesystem.isdir(directory):
            return []
        return sorted(posixpath.basename(f) for f in filesystem.ls(directory, detail=False))

    def setup_on_node(
        self, node_info: NodeInfo | None = None, worker_metadata: WorkerMetadata | None = None
    ) -> None:
        """Make the directory; remove what killed writers and, if asked to, earlier runs left."""
        filesystem, directory = open_filesystem(self.path, self.storage_options)
        filesystem.makedirs(directory, exist_ok=True)
        if is_local(filesystem):
            removed = remove_leftovers(directory)
            if removed:
                log.info("removed_leftovers files=%d dir=%s", removed, directory)
        if self.mode == "overwrite" and self._started is not None:
            self._remove_earlier(filesystem, directory, self._started)

    def _remove_earlier(self, filesystem: Any, directory: str, started: float) -> None:
        """Remove files of earlier runs, never one of this run."""
        removed = 0
        for name in self._names(filesystem, directory):
            if _OWN_NAME.match(name):
                path = f"{directory}/{name}"
                written = filesystem.modified(path).timestamp()
                if written < started:
                    filesystem.rm_file(path)
                    removed += 1
        if removed:
            log.info("removed_earlier_output files=%d dir=%s", removed, self.path)

    def setup(self, worker_metadata: WorkerMetadata | None = None) -> None:
        """Open the file system."""
        self._open()

    def _open(self) -> tuple[Any, str]:
        opened: tuple[Any, str] | None = self.__dict__.get("_opened")
        if opened is None:
            opened = open_filesystem(self.path, self.storage_options)
            opened[0].makedirs(opened[1], exist_ok=True)
            self.__dict__["_opened"] = opened
        return opened

    def teardown(self) -> None:
        """Let the file system go."""
        self.__dict__.pop("_opened", None)

    def process(self, task: DocumentBatch) -> FileGroupTask:
        """Write the documents; returns where they are.

        Raises:
            ValueError: a column is missing, or cannot be written in this format.
            OSError: the file cannot be written; nothing is left of it.
        """
        filesystem, directory = self._open()
        table = self._selected(table_of(task))
        content = self._encode(table)
        name = f"{_key(task)}.{self._suffix()}"
        write_whole(filesystem, f"{directory}/{name}", content)
        self._log_metric("bytes_written", len(content))
        metadata = {**task._metadata, "documents": table.num_rows, "bytes": len(content)}
        return FileGroupTask(
            dataset_name=task.dataset_name,
            data=[f"{self.path.rstrip('/')}/{name}"],
            _metadata=metadata,
        )

    def _selected(self, table: pa.Table) -> pa.Table:
        if self.fields is None:
            return table
        missing = [name for name in self.fields if name not in table.column_names]
        if missing:
            raise ValueError(
                f"stage {self.name}: documents have no column {missing[0]!r}; columns: "
                f"{', '.join(table.column_names)}{arguments.near(missing[0], table.column_names)}"
            )
        return table.select(self.fields)

    @abstractmethod
    def _suffix(self) -> str:
        """End of the file's name."""

    @abstractmethod
    def _encode(self, table: pa.Table) -> bytes:
        """Content of the file."""


def _key(task: DocumentBatch) -> str:
    """Name of a task's file, the same whenever it is made again."""
    if task._lineage_key:
        return task._lineage_key.hex()
    # Outside a run: the task's id, or its content.
    if task.task_id:
        own = task.task_id.encode("utf-8", "surrogatepass")
    else:
        own = repr(table_of(task).to_pydict()).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(own, digest_size=16).hexdigest()


@dataclass(eq=False, repr=False)
class JsonlWriter(_Writer):
    """Write one JSON object a line.

    Attributes:
        compression: `none`, `gz` or `zst`.
    """

    compression: str = "none"
    name: str = "write_jsonl"

    def __post_init__(self) -> None:
        super().__post_init__()
        arguments.one_of("JsonlWriter", "compression", self.compression, JSONL_COMPRESSIONS)

    def _suffix(self) -> str:
        return "jsonl" if self.compression == "none" else f"jsonl.{self.compression}"

    def _encode(self, table: pa.Table) -> bytes:
        lines = [self._line(row) for row in table.to_pylist()]
        content = "".join(lines).encode()
        if self.compression == "gz":
            return gzip.compress(content, compresslevel=6, mtime=0)
        if self.compression == "zst":
            import zstandard

            compressor = zstandard.ZstdCompressor(level=3, write_checksum=True)
            return bytes(compressor.compress(content))
        return content

    def _line(self, row: dict[str, Any]) -> str:
        try:
            return json.dumps(row, ensure_ascii=False, allow_nan=False, default=_plain) + "\n"
        except TypeError as error:
            for name, value in row.items():
                try:
                    json.dumps(value, default=_plain)
                except TypeError:
                    raise ValueError(
                        f"stage {self.name}: column {name!r} holds {type(value).__name__}, which "
                        "JSON cannot hold. Leave it out with fields, or write Parquet"
                    ) from error
            raise
        except ValueError:
            # NaN and infinities are no JSON; null is what pandas writes for them too.
            return json.dumps(_finite(row), ensure_ascii=False, default=_plain) + "\n"


def _plain(value: Any) -> Any:
    """Dates and decimals as text."""
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if type(value).__name__ == "Decimal":
        return str(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value


@dataclass(eq=False, repr=False)
class ParquetWriter(_Writer):
    """Write Parquet.

    Attributes:
        compression: `zstd`, `snappy`, `gzip`, `lz4` or `none`.
    """

    compression: str = "zstd"
    name: str = "write_parquet"

    def __post_init__(self) -> None:
        super().__post_init__()
        arguments.one_of("ParquetWriter", "compression", self.compression, PARQUET_COMPRESSIONS)

    def _suffix(self) -> str:
        return "parquet"

    def _encode(self, table: pa.Table) -> bytes:
        sink = pa.BufferOutputStream()
        try:
            pq.write_table(table, sink, compression=self.compression)
        except pa.ArrowNotImplementedError as error:
            raise ValueError(
                f"stage {self.name}: Parquet cannot hold these columns: {error}. Choose columns "
                "with fields, or keep the value as text with the reader's types: {column: json}"
            ) from error
        return bytes(sink.getvalue().to_pybytes())
