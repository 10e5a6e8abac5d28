"""`TaskSpool`: tasks on a local disk, so that memory holds what is known of them but not them.

Used by global stages, which see every task before they give one out. A task whose `append` has
returned is there for whoever opens the directory next, also after this process was killed.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pyarrow as pa

from curator_executor.api import DocumentBatch, Task

_TEMPORARY = ".tmp-"
_TABLE = ".arrow"
_PICKLE = ".pickle"
_STATE = b"curator.task"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_UNFIT = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError)


class SpoolError(OSError):
    """A spooled task cannot be stored or is not what was stored; says where and what to do."""


class TaskSpool:
    """Tasks in a directory, one file each, named by lineage key. One process writes at a time.

    Document batches are Arrow files, compressed, so that single columns can be read; other tasks
    are pickled. Task id, metadata, lineage key and figures come back as they were.

    Args:
        directory: made if it is not there; unfinished files of a killed process are removed.

    Raises:
        SpoolError: the directory cannot be made or read.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory)
        self._name_by_key: dict[bytes, str] = {}
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            for path in self.directory.iterdir():
                if path.name.startswith(_TEMPORARY):
                    path.unlink()
                elif path.suffix in (_TABLE, _PICKLE):
                    self._name_by_key[bytes.fromhex(path.stem)] = path.name
        except OSError as error:
            raise self._trouble("cannot be used", error) from error

    def __len__(self) -> int:
        return len(self._name_by_key)

    def __contains__(self, key: object) -> bool:
        return key in self._name_by_key

    def __iter__(self) -> Iterator[Task[Any]]:
        """The tasks in the order of their keys, one in memory at a time."""
        for key in self.keys():
            yield self.read(key)

    def keys(self) -> list[bytes]:
        """Keys of all tasks, sorted."""
        return sorted(self._name_by_key)

    def append(self, task: Task[Any]) -> bool:
        """Store a task; False if one of its key is there already, which is left as it is.

        Raises:
            SpoolError: the disk is full or cannot be written; nothing is left of the task.
        """
        key = key_of(task)
        if key in self._name_by_key:
            return False
        suffix, content = _encode(task)
        name = key.hex() + suffix
        self._write(name, content)
        self._name_by_key[key] = name
        return True

    def read(self, key: bytes) -> Task[Any]:
        """The task of a key.

        Raises:
            KeyError: no such task.
            SpoolError: its file is gone or damaged.
        """
        path = self.directory / self._name_by_key[key]
        try:
            if path.suffix == _PICKLE:
                task: Task[Any] = cloudpickle.loads(path.read_bytes())
                return task
            return _batch_of(_read_table(path, None))
        except (OSError, pa.ArrowInvalid, EOFError) as error:
            raise self._trouble(f"has lost {path.name}", error) from error

    def column(self, name: str) -> Iterator[pa.Array]:
        """One column of every document batch, in the order of their keys; no other is read.

        Raises:
            KeyError: a batch has no such column.
            SpoolError: a file is gone or damaged.
        """
        for key in self.keys():
            path = self.directory / self._name_by_key[key]
            try:
                table = _read_table(path, name)
            except (OSError, pa.ArrowInvalid) as error:
                raise self._trouble(f"has lost {path.name}", error) from error
            yield table.column(0).combine_chunks()

    def _write(self, name: str, content: pa.Buffer | bytes) -> None:
        """All of it under its final name, or nothing.

        Not flushed to the platter: what is in the kernel's hands outlives this process, and the
        spool does not outlive the machine.
        """
        temporary = self.directory / (_TEMPORARY + name)
        try:
            temporary.write_bytes(content)
            temporary.replace(self.directory / name)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            if error.errno not in _FULL:
                raise self._trouble("cannot be written", error) from error
            free = shutil.disk_usage(self.directory).free
            raise self._trouble(
                f"has no room for a task of {len(content):,} bytes ({free:,} free)", error
            ) from error

    def _trouble(self, what: str, error: BaseException) -> SpoolError:
        number = getattr(error, "errno", None) or errno.EIO
        why = getattr(error, "strerror", None) or str(error)
        return SpoolError(
            number,
            f"scratch directory {self.directory} {what}: {why}. Tasks wait there outside memory; "
            "it is the stage's scratch_dir, under TMPDIR: free space or point TMPDIR to a local "
            "disk with room for the whole input, then run again",
        )


def key_of(task: Task[Any]) -> bytes:
    """The lineage key, or, outside a run, a hash of the task's id.

    Raises:
        ValueError: the task has neither.
    """
    if task._lineage_key:
        return task._lineage_key
    if not task.task_id:
        raise ValueError(f"{task!r} has no lineage key and no task_id, so it cannot be spooled")
    own = task.task_id.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(own, digest_size=16).digest()


def _encode(task: Task[Any]) -> tuple[str, pa.Buffer | bytes]:
    """(suffix, content) of a task's file."""
    table = _table_of(task)
    if table is None:
        return _PICKLE, cloudpickle.dumps(task)
    rest = {name: value for name, value in task.__dict__.items() if name != "data"}
    state = cloudpickle.dumps((type(task), rest, hasattr(task.data, "iloc")))
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), _STATE: state})
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_file(sink, table.schema, options=options) as writer:
        # One record batch a file: columns come back in one piece.
        writer.write_table(table.combine_chunks())
    return _TABLE, sink.getvalue()


def _table_of(task: Task[Any]) -> pa.Table | None:
    """The documents of a batch; None for other tasks and for frames that Arrow cannot hold."""
    if not isinstance(task, DocumentBatch):
        return None
    try:
        return task.to_pyarrow()
    except _UNFIT:
        return None


def _batch_of(table: pa.Table) -> DocumentBatch:
    metadata = dict(table.schema.metadata)
    kind, state, is_frame = cloudpickle.loads(metadata.pop(_STATE))
    table = table.replace_schema_metadata(metadata or None)
    task: DocumentBatch = kind.__new__(kind)
    task.__dict__.update(state)
    task.data = table.to_pandas(use_threads=False) if is_frame else table
    return task


def _read_table(path: Path, name: str | None) -> pa.Table:
    """A file's table, or one column of it."""
    with pa.memory_map(str(path)) as source:
        reader = pa.ipc.open_file(source)
        if name is None:
            return reader.read_all()
        position = reader.schema.get_field_index(name)
        if position < 0:
            raise KeyError(f"{path} has no column {name!r}: {', '.join(reader.schema.names)}")
        options = pa.ipc.IpcReadOptions(included_fields=[position])
        return pa.ipc.open_file(source, options=options).read_all()
