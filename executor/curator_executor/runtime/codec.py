"""Tasks to bytes and back. Called by workers for what they take in and give out, and by the driver
for the first inputs and the last outputs.

A payload is a list of chunks. A chunk holds up to a few hundred tasks of one class as columns
(one list per attribute): pickling lists of numbers and strings costs a tenth of pickling objects.
Large buffers (arrays, tables) stay out of band, so that Ray puts them into shared memory as they
are and readers map them without a copy.
"""

from __future__ import annotations

import copy
import functools
import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import repeat
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


def is_plain(kind: type) -> bool:
    """Whether an instance is its `__dict__` and nothing else; remembered."""
    plain = _PLAIN.get(kind)
    if plain is None:
        plain = _PLAIN[kind] = _is_plain(kind)
    return plain


def _columns(kinds: Sequence[type], states: Sequence[Any]) -> tuple[Any, ...]:
    """One list per attribute where all tasks are alike, else row by row.

    A state is a plain task's attributes, or a task of another kind as it is.
    """
    kind = kinds[0]
    if is_plain(kind) and all(other is kind for other in kinds):
        first = states[0]
        keys = first.keys()
        if all(state.keys() == keys for state in states):
            columns: list[Any] = []
            for key in keys:
                head = first[key]
                column = [state[key] for state in states]
                if type(head) is str and all(value is head for value in column):
                    columns.append(head)  # a string stands for a column of itself
                else:
                    columns.append(column)
            return ("columns", kind, tuple(keys), columns)
    rows = [
        (kind, state) if is_plain(kind) else state
        for kind, state in zip(kinds, states, strict=True)
    ]
    return ("rows", rows)


def _encode_chunk(kinds: Sequence[type], states: Sequence[Any]) -> tuple[Chunk, int]:
    """A chunk, and its size in bytes."""
    buffers: list[pickle.PickleBuffer] = []
    columns = _columns(kinds, states)
    header = cloudpickle.dumps(columns, protocol=5, buffer_callback=buffers.append)
    size = len(header) + sum(buffer.raw().nbytes for buffer in buffers)
    wrapped: Any = pickle.PickleBuffer(header) if len(header) > 4096 else header
    return (len(states), wrapped, list(buffers)), size


Builder = Callable[[list[Any], type, tuple[str, ...]], list[Any]]


@functools.lru_cache(maxsize=256)
def _builder(keys: tuple[str, ...]) -> Builder:
    """A function that makes tasks out of columns, with the names of the attributes written out.

    Written as text and compiled once, as dataclasses make theirs: half the time of `dict(zip())`.
    """
    values = ", ".join(f"v{position}" for position in range(len(keys)))
    items = ", ".join(f"{key!r}: v{position}" for position, key in enumerate(keys))
    text = (
        "def build(columns, kind, names):\n"
        "    new = kind.__new__\n"
        "    tasks = []\n"
        "    append = tasks.append\n"
        f"    for {values}, in zip(*columns):\n"
        "        task = new(kind)\n"
        f"        task.__dict__ = {{{items}, '_perf_names': names}}\n"
        "        append(task)\n"
        "    return tasks\n"
    )
    made: dict[str, Any] = {}
    exec(text, made)  # noqa: S102 - of attribute names alone, quoted by repr
    build: Builder = made["build"]
    return build


def decode_chunk(chunk: Chunk, names: tuple[str, ...]) -> list[Any]:
    """The tasks of a chunk; each knows the stage names of its `_stage_perf`."""
    count, header, buffers = chunk
    loaded = pickle.loads(header, buffers=buffers)
    if loaded[0] == "rows":
        return [_from_row(row, names) for row in loaded[1]]
    _, kind, keys, columns = loaded
    full = [repeat(column, count) if type(column) is str else column for column in columns]
    return _builder(keys)(full, kind, names)


def _from_row(row: Any, names: tuple[str, ...]) -> Any:
    if type(row) is not tuple:
        row.__dict__["_perf_names"] = names
        return row
    kind, state = row
    task = kind.__new__(kind)
    state["_perf_names"] = names
    task.__dict__ = state
    return task


# What cannot be changed may be shared by a task and its copy.
_UNCHANGING = (int, float, bool, str, bytes, type(None))


def copied(task: Any) -> Any:
    """A task that shares nothing with the original that either could change."""
    kind: Any = type(task)
    if not is_plain(kind):
        return cloudpickle.loads(cloudpickle.dumps(task, protocol=5))
    state = {key: value for key, value in task.__dict__.items() if key != "_perf_list"}
    changing = {
        key: value
        for key, value in state.items()
        if type(value) not in _UNCHANGING and key != "_perf_names"
    }
    if all(type(value) in (dict, list) and not value for value in changing.values()):
        state.update({key: type(value)() for key, value in changing.items()})
    else:
        state.update(pickle.loads(cloudpickle.dumps(changing, protocol=5)))
    same = kind.__new__(kind)
    same.__dict__ = state
    return same


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
    return [
        task
        for chunk, begin, end in spans(payload, start, stop)
        for task in decode_chunk(chunk, names)[begin:end]
    ]


def spans(payload: Payload, start: int, stop: int) -> Iterator[tuple[Chunk, int, int]]:
    """The chunks that hold the tasks `[start, stop)`, and which of each chunk's tasks those are."""
    first = 0
    for chunk in payload:
        begin, end = max(start - first, 0), min(stop - first, chunk[0])
        if begin < end:
            yield chunk, begin, end
        first += chunk[0]


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
    _kinds: list[type] = field(default_factory=list)
    _states: list[Any] = field(default_factory=list)
    _pending_bytes: int = 0

    def add(self, task: Any) -> None:
        """Take one task, as it is now: a stage may use the same object for its next output."""
        kind = type(task)
        if is_plain(kind):
            state = task.__dict__.copy()
            for key in _LOCAL:
                state.pop(key, None)
        else:
            state = copy.copy(task)
        self.add_state(kind, state, task.data)

    def add_state(self, kind: type, state: Any, data: Any) -> None:
        """Take the attributes of one plain task, without those in `_LOCAL`; they become its own."""
        self._kinds.append(kind)
        self._states.append(state)
        self._pending_bytes += TASK_BYTES + estimate_bytes(data)
        if len(self._states) >= CHUNK_TASKS or self._pending_bytes >= CHUNK_BYTES:
            self._flush()

    @property
    def size(self) -> int:
        """Bytes so far: exact for full chunks, estimated for the open one."""
        return self.bytes + self._pending_bytes

    def _flush(self) -> None:
        chunk, size = _encode_chunk(self._kinds, self._states)
        self.chunks.append(chunk)
        self.tasks += len(self._states)
        self.bytes += size
        self._kinds = []
        self._states = []
        self._pending_bytes = 0

    def close(self) -> tuple[Payload, int]:
        """The payload, and its exact size in bytes."""
        if self._states:
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
