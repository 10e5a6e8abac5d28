"""Tasks to bytes and back. Called by workers for what they take in and give out, and by the driver
for the first inputs and the last outputs.

A payload is a list of chunks. A chunk holds up to a few hundred tasks of one class as columns
(one list per attribute): pickling lists of numbers and strings costs a tenth of pickling objects.
Large buffers (arrays, tables) stay out of band, so that Ray puts them into shared memory as they
are and readers map them without a copy.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import cloudpickle

# One chunk is the least that is decoded to reach a task inside a block.
CHUNK_TASKS = 512
CHUNK_BYTES = 512 * 1024
# What estimates start from: the fixed attributes of a task, measured on small ones.
TASK_BYTES = 96

Chunk = tuple[int, Any, list[Any]]
Payload = list[Chunk]

# Kept by the executor for its own process only; rebuilt on the other side.
_LOCAL = frozenset({"_perf_names", "_perf_list"})


def _is_plain(kind: type) -> bool:
    """Whether an instance is its `__dict__` and nothing else."""
    return (
        all(
            getattr(kind, name, None) is getattr(object, name, None)
            for name in ("__reduce_ex__", "__reduce__", "__getstate__")
        )
        and not hasattr(kind, "__setstate__")
        and not any(vars(base).get("__slots__") for base in kind.__mro__)
    )


_PLAIN: dict[type, bool] = {}


def _columns(tasks: Sequence[Any]) -> tuple[Any, ...]:
    kind = type(tasks[0])
    plain = _PLAIN.get(kind)
    if plain is None:
        plain = _PLAIN[kind] = _is_plain(kind)
    if plain and all(type(task) is kind for task in tasks):
        states = [task.__dict__ for task in tasks]
        first = states[0]
        keys = [key for key in first if key not in _LOCAL]
        wanted = set(keys)
        if all(state.keys() - _LOCAL == wanted for state in states[1:]):
            columns: list[Any] = []
            for key in keys:
                head = first[key]
                column = [state[key] for state in states]
                if type(head) is str and all(value is head for value in column):
                    columns.append(head)  # a string stands for a column of itself
                else:
                    columns.append(column)
            return ("columns", kind, tuple(keys), columns)
    return ("rows", [_row(task) for task in tasks])


def _as_it_is(task: Any) -> Any:
    kind: Any = type(task)
    plain = _PLAIN.get(kind)
    if plain is None:
        plain = _PLAIN[kind] = _is_plain(kind)
    if not plain:
        return copy.copy(task)
    same = kind.__new__(kind)
    same.__dict__ = task.__dict__.copy()
    return same


def _row(task: Any) -> Any:
    if _PLAIN.get(type(task), False) or _is_plain(type(task)):
        state = {key: value for key, value in task.__dict__.items() if key not in _LOCAL}
        return (type(task), state)
    return task


def encode_chunk(tasks: Sequence[Any]) -> tuple[Chunk, int]:
    """A chunk, and its size in bytes."""
    buffers: list[pickle.PickleBuffer] = []
    header = cloudpickle.dumps(_columns(tasks), protocol=5, buffer_callback=buffers.append)
    size = len(header) + sum(buffer.raw().nbytes for buffer in buffers)
    wrapped: Any = pickle.PickleBuffer(header) if len(header) > 4096 else header
    return (len(tasks), wrapped, list(buffers)), size


def decode_chunk(chunk: Chunk, names: tuple[str, ...]) -> list[Any]:
    """The tasks of a chunk; each knows the stage names of its `_stage_perf`."""
    count, header, buffers = chunk
    loaded = pickle.loads(header, buffers=buffers)
    if loaded[0] == "rows":
        return [_from_row(row, names) for row in loaded[1]]
    _, kind, keys, columns = loaded
    full = [[column] * count if type(column) is str else column for column in columns]
    new = kind.__new__
    tasks = []
    for row in zip(*full, strict=True):
        task = new(kind)
        state = dict(zip(keys, row, strict=False))
        state["_perf_names"] = names
        task.__dict__ = state
        tasks.append(task)
    return tasks


def _from_row(row: Any, names: tuple[str, ...]) -> Any:
    if type(row) is not tuple:
        row.__dict__["_perf_names"] = names
        return row
    kind, state = row
    task = kind.__new__(kind)
    state["_perf_names"] = names
    task.__dict__ = state
    return task


def encode(tasks: Sequence[Any]) -> tuple[Payload, int]:
    """A payload, and its size in bytes."""
    writer = PayloadWriter()
    for task in tasks:
        writer.add(task)
    return writer.close()


def decode(payload: Payload, names: tuple[str, ...]) -> Iterator[Any]:
    """All tasks of a payload."""
    for chunk in payload:
        yield from decode_chunk(chunk, names)


def decode_span(payload: Payload, start: int, stop: int, names: tuple[str, ...]) -> list[Any]:
    """The tasks `[start, stop)` of a payload; only the chunks that hold them are decoded."""
    tasks: list[Any] = []
    first = 0
    for chunk in payload:
        begin, end = max(start - first, 0), min(stop - first, chunk[0])
        if begin < end:
            tasks += decode_chunk(chunk, names)[begin:end]
        first += chunk[0]
    return tasks


def detach(payload: Payload) -> Payload:
    """A copy whose bytes are this process's own, and can be written to."""
    return [
        (count, bytes(header), [bytearray(memoryview(buffer)) for buffer in buffers])
        for count, header, buffers in payload
    ]


@dataclass
class PayloadWriter:
    """Collects tasks into chunks and knows about how large they are."""

    chunks: Payload = field(default_factory=list)
    tasks: int = 0
    bytes: int = 0
    _pending: list[Any] = field(default_factory=list)
    _pending_bytes: int = 0

    def add(self, task: Any) -> None:
        """Take one task, as it is now: a stage may use the same object for its next output."""
        self._pending.append(_as_it_is(task))
        self._pending_bytes += TASK_BYTES + estimate_bytes(task.data)
        if len(self._pending) >= CHUNK_TASKS or self._pending_bytes >= CHUNK_BYTES:
            self._flush()

    @property
    def size(self) -> int:
        """Bytes so far: exact for full chunks, estimated for the open one."""
        return self.bytes + self._pending_bytes

    def _flush(self) -> None:
        chunk, size = encode_chunk(self._pending)
        self.chunks.append(chunk)
        self.tasks += len(self._pending)
        self.bytes += size
        self._pending = []
        self._pending_bytes = 0

    def close(self) -> tuple[Payload, int]:
        """The payload, and its exact size in bytes."""
        if self._pending:
            self._flush()
        return self.chunks, self.bytes


def estimate_bytes(data: Any, depth: int = 2) -> int:
    """About how many bytes a payload pickles to; cheap, and never far too small.

    Containers are sampled. An object of an unknown kind is pickled to find out.
    """
    kind = type(data)
    if kind is int or kind is float or kind is bool or data is None:
        return 16
    if kind is str or kind is bytes or kind is bytearray:
        return len(data) + 32
    nbytes = getattr(data, "nbytes", None)
    if type(nbytes) is int:
        return nbytes + 256
    usage = getattr(data, "memory_usage", None)
    if callable(usage):
        return int(usage(index=False).sum()) + 1024
    if kind in (list, tuple, set, frozenset) and depth:
        return _sampled(list(data), depth)
    if kind is dict and depth:
        return _sampled(list(data.keys()), depth) + _sampled(list(data.values()), depth)
    return _pickled(data)


def _sampled(values: list[Any], depth: int) -> int:
    if not values:
        return 8
    step = max(1, len(values) // 16)
    sample = values[::step]
    return int(sum(estimate_bytes(v, depth - 1) for v in sample) / len(sample) * len(values)) + 8


def _pickled(data: Any) -> int:
    buffers: list[pickle.PickleBuffer] = []
    header = cloudpickle.dumps(data, protocol=5, buffer_callback=buffers.append)
    return len(header) + sum(buffer.raw().nbytes for buffer in buffers)
