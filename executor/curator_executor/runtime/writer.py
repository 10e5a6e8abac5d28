"""`PayloadWriter`: collects tasks into chunks, as columns.

Called by `host` for what a stage gives out, and by `codec` for the first inputs.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat
from typing import Any, Protocol

import cloudpickle

from curator_executor.api.tasks import settled
from curator_executor.runtime.columns import (
    KEPT,
    Layout,
    column_of,
    is_plain,
    is_tracked,
    layout_of,
)
from curator_executor.runtime.origins import Metrics, Origin
from curator_executor.runtime.sizes import TASK_BYTES, estimate_bytes

# One chunk is the least that is decoded to reach a task inside a block.
CHUNK_TASKS = 512
CHUNK_BYTES = 512 * 1024
# Outputs of one input chunk that are worth a chunk of their own; fewer wait for the next one's.
CHUNK_LEAST_TASKS = 64

Chunk = tuple[int, Any, list[Any]]
Payload = list[Chunk]

# Kept by the executor for its own process only; rebuilt on the other side.
_LOCAL = frozenset({"_perf_names", "_stage_perf"})


@dataclass(slots=True)
class _Lines:
    """Where the rows of an open chunk come from, those of one input chunk or known ones."""

    rows: list[int] = field(default_factory=list)
    ordinals: list[int] = field(default_factory=list)
    entries: list[bytes] = field(default_factory=list)
    noted: dict[int, Metrics] = field(default_factory=dict)


class Gathered(Protocol):
    """Tasks of one class that were read; see `gathering`."""

    kind: type | None
    layout: Layout
    values: list[tuple[Any, ...]]
    rows: list[int]
    ordinals: list[int]
    entries: list[bytes]
    noted: dict[int, Metrics]
    bytes: int


class PayloadWriter:
    """Collects tasks into chunks and knows about how large they are.

    Tasks come with what the executor knows of them (`add`), or are children of the tasks of an
    input chunk (`derive`, then `add_child`), whose ids and keys nobody has made yet.
    """

    def __init__(self) -> None:
        self.chunks: Payload = []
        self.tasks = 0
        self.bytes = 0
        self._pending_bytes = 0
        self._start()

    def _start(self) -> None:
        """An empty chunk."""
        self._rows: list[Any] = []
        self._kind: type | None = None  # of all tasks so far; None: none yet, or several
        self._keys: tuple[str, ...] = ()
        self._width = -1
        self._read: Any = None
        self._known: tuple[list[Any], ...] = ([], [], [], [], [])
        self._parts: list[Origin] = []
        self._lines = _Lines()
        self._origin: Origin | None = None
        self._tag = b""

    # Tasks that are known ------------------------------------------------------------------

    def add(self, task: Any) -> None:
        """Take one task, as it is now: a stage may use the same object for its next output."""
        if self._origin is not None:
            self._flush()
            self._origin = None
        kind: Any = type(task)
        state = task.__dict__
        if "_origin" in state:
            state = settled(state)
        if is_tracked(kind):
            self._add_state(kind, state)
        else:
            self._mix()
            own = {k: v for k, v in state.items() if k not in _LOCAL}
            self._rows.append((kind, own) if is_plain(kind) else copy.copy(task))
        known = (task.task_id, task._lineage_key, *(state.get(n, d) for n, d in _FIGURES))
        for column, value in zip(self._known, known, strict=True):
            column.append(value)
        self._count(task.data)

    def add_alike(self, tasks: Sequence[Any]) -> bool:
        """Take tasks that are all of one class, with the same attributes; else take none.

        Returns:
            Whether they were taken.
        """
        states = [task.__dict__ for task in tasks]
        kind: Any = type(tasks[0])
        layout = layout_of(states[0])
        if layout is None or not is_tracked(kind) or set(map(type, tasks)) != {kind}:
            return False
        if "_origin" in states[0] or set(map(len, states)) != {layout.width}:
            return False
        data = [task.data for task in tasks]
        size = sum(map(estimate_bytes, data)) + TASK_BYTES * len(tasks)
        if size > CHUNK_BYTES // 2:
            return False
        try:
            values = list(map(layout.read, states))
        except KeyError:
            return False
        columns = dict(zip(layout.every, zip(*values, strict=True), strict=True))
        if self._rows and (self._origin, self._kind, self._keys) != (None, kind, layout.keys):
            self._flush()
            self._origin = None
        self._kind, self._keys, self._width = kind, layout.keys, -1
        self._rows += values
        ids, lineage, *figures = self._known
        ids += columns.get("task_id") or [task.task_id for task in tasks]
        lineage += columns.get("_lineage_key") or [task._lineage_key for task in tasks]
        for column, (name, default) in zip(figures, _FIGURES, strict=True):
            column.extend(columns.get(name) or repeat(default, len(tasks)))
        self._pending_bytes += size
        self._flush_if_full()
        return True

    # Children of the tasks of a chunk ------------------------------------------------------

    def derive(self, origin: Origin, tag: bytes) -> None:
        """What `add_child` takes from now on are children of the tasks of this origin.

        Args:
            origin: of an input chunk.
            tag: of the stage.
        """
        if self._origin is origin:
            return
        if self._known[0] or len(self._rows) >= CHUNK_LEAST_TASKS:
            self._flush()
        elif self._origin is not None:
            if self._origin.goes_with(origin):
                self._end_part()
            else:
                self._flush()
        self._origin = origin
        self._tag = tag

    def add_child(
        self, task: Any, row: int, ordinal: int, entry: bytes, metrics: Metrics | None = None
    ) -> None:
        """Take one task, as it is now, that was made from a row of the origin.

        Args:
            task: of a tracked class.
            row: the row of its parent.
            ordinal: its position among that parent's children.
            entry: packed figures of the batch.
            metrics: custom metrics of the batch, by its number.
        """
        self._add_state(type(task), task.__dict__)
        lines = self._lines
        if metrics:
            lines.noted[len(lines.rows)] = metrics
        lines.rows.append(row)
        lines.ordinals.append(ordinal)
        lines.entries.append(entry)
        self._count(task.data)

    def add_children(self, read: Gathered) -> None:
        """Take tasks that were read; their values may go on being used."""
        kind, keys, values = read.kind, read.layout.keys, read.values
        lines = self._lines
        if not self._rows:
            self._kind, self._keys, self._width = kind, keys, -1
        if kind is self._kind and keys == self._keys:
            self._rows += values
        else:
            self._mix()
            self._rows += [(kind, dict(zip(keys, row, strict=False))) for row in values]
        for position, metrics in read.noted.items():
            lines.noted[len(lines.rows) + position] = metrics
        lines.rows += read.rows
        lines.ordinals += read.ordinals
        lines.ordinals += repeat(0, len(lines.rows) - len(lines.ordinals))
        lines.entries += read.entries
        self._pending_bytes += TASK_BYTES * len(values) + read.bytes
        self._flush_if_full()

    # Either --------------------------------------------------------------------------------

    def _count(self, data: Any) -> None:
        self._pending_bytes += TASK_BYTES + estimate_bytes(data)
        self._flush_if_full()

    def _flush_if_full(self) -> None:
        if len(self._rows) >= CHUNK_TASKS or self._pending_bytes >= CHUNK_BYTES:
            self._flush()

    def _add_state(self, kind: type, state: dict[str, Any]) -> None:
        if kind is not self._kind or len(state) != self._width:
            self._fit(kind, state)
        try:
            self._rows.append(self._read(state))
        except KeyError:  # as many attributes, but others
            self._fit(kind, state)
            self._rows.append(self._read(state))

    def _fit(self, kind: type, state: dict[str, Any]) -> None:
        """Choose how to read tasks that are like this one."""
        layout = layout_of(state)
        if layout is not None:
            if not self._rows:
                self._kind, self._keys = kind, layout.keys
            if kind is self._kind and layout.keys == self._keys:
                self._width, self._read = layout.width, layout.read
                return
        self._mix()
        self._read = partial(_row, kind)

    def _mix(self) -> None:
        """From here on, and for what there is, a row has its class and its attributes' names."""
        if self._kind is not None:
            kind, keys = self._kind, self._keys
            self._rows = [(kind, dict(zip(keys, row, strict=False))) for row in self._rows]
        self._kind = None

    @property
    def size(self) -> int:
        """Bytes so far: exact for full chunks, estimated for the open one."""
        return self.bytes + self._pending_bytes

    @property
    def room(self) -> int:
        """Bytes that the open chunk has yet to get to be full."""
        return CHUNK_BYTES - self._pending_bytes

    def _end_part(self) -> None:
        lines = self._lines
        if lines.rows and self._origin is not None:
            child = self._origin.child(
                lines.rows, lines.ordinals, lines.entries, self._tag, lines.noted
            )
            self._parts.append(child)
            self._lines = _Lines()

    def _flush(self) -> None:
        """End the open chunk; children that follow are of the same origin."""
        count = len(self._rows)
        origin, tag = self._origin, self._tag
        if count:
            self._end_part()
            whole = Origin.together(self._parts) if self._parts else Origin.of(*self._known)
            content: tuple[Any, ...] = ("rows", self._rows)
            if self._kind is not None:
                columns = list(
                    map(column_of, list(zip(*self._rows, strict=False))[: len(self._keys)])
                )
                content = ("columns", self._kind, self._keys, columns)
            chunk, size = _encode_chunk(count, (content, whole.packed()))
            self.chunks.append(chunk)
            self.tasks += count
            self.bytes += size
        self._pending_bytes = 0
        self._start()
        self._origin, self._tag = origin, tag

    def close(self) -> tuple[Payload, int]:
        """The payload, and its exact size in bytes."""
        self._flush()
        return self.chunks, self.bytes


# Figures that a task may have come with, and what it has otherwise.
_FIGURES = (("_perf_packed", b""), ("_perf_prior", None), ("_perf_metrics", None))


def _row(kind: type, state: dict[str, Any]) -> tuple[type, dict[str, Any]]:
    return kind, {key: value for key, value in state.items() if key not in KEPT}


def _encode_chunk(count: int, content: Any) -> tuple[Chunk, int]:
    """A chunk, and its size in bytes."""
    buffers: list[pickle.PickleBuffer] = []
    header = cloudpickle.dumps(content, protocol=5, buffer_callback=buffers.append)
    size = len(header) + sum(buffer.raw().nbytes for buffer in buffers)
    wrapped: Any = pickle.PickleBuffer(header) if len(header) > 4096 else header
    return (count, wrapped, list(buffers)), size
