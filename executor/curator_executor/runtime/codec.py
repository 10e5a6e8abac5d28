"""Tasks to bytes and back. Called by workers for what they take in and give out, and by the driver
for the first inputs and the last outputs.

A payload is a list of chunks. A chunk holds up to a few hundred tasks of one class as columns
(one list per attribute): pickling lists of numbers and strings costs a tenth of pickling objects.
Large buffers (arrays, tables) stay out of band, so that Ray puts them into shared memory as they
are and readers map them without a copy.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from typing import Any

import cloudpickle

from curator_executor.runtime.columns import build, is_plain, is_tracked
from curator_executor.runtime.origins import Origin
from curator_executor.runtime.sizes import TASK_BYTES, estimate_bytes
from curator_executor.runtime.writer import Chunk, Payload, PayloadWriter

__all__ = [
    "TASK_BYTES",
    "Chunk",
    "Payload",
    "PayloadWriter",
    "copied",
    "decode",
    "decode_chunk",
    "decode_span",
    "detach",
    "encode",
    "encode_source",
    "estimate_bytes",
    "open_chunk",
    "spans",
]

# Tasks that are looked at together to see whether they are alike.
ALIKE_TASKS = 256


def _loaded(chunk: Chunk, names: tuple[str, ...]) -> tuple[list[Any], Origin]:
    count, header, buffers = chunk
    (form, *content), packed = pickle.loads(header, buffers=buffers)
    origin = Origin.unpacked(packed, names)
    if form == "columns":
        kind, keys, columns = content
        return build(kind, keys, columns, count, origin), origin
    return [_from_row(row, origin, number) for number, row in enumerate(content[0])], origin


def _from_row(row: Any, origin: Origin, number: int) -> Any:
    if type(row) is not tuple:
        row.__dict__["_perf_names"] = origin.names
        return row
    kind, state = row
    task = kind.__new__(kind)
    if is_tracked(kind):
        state["_origin"] = origin
        state["_row"] = number
    else:
        state["_perf_names"] = origin.names
    task.__dict__ = state
    return task


def open_chunk(chunk: Chunk, names: tuple[str, ...]) -> tuple[list[Any], Origin]:
    """The tasks of a chunk, and where they come from by their position in it."""
    return _loaded(chunk, names)


def decode_chunk(chunk: Chunk, names: tuple[str, ...]) -> list[Any]:
    """The tasks of a chunk; `names` are those of the stages, for their figures."""
    return _loaded(chunk, names)[0]


# What cannot be changed may be shared by a task and its copy.
_UNCHANGING = (int, float, bool, str, bytes, type(None))


def copied(task: Any) -> Any:
    """A task that shares nothing with the original that either could change."""
    kind: Any = type(task)
    if not is_plain(kind):
        return cloudpickle.loads(cloudpickle.dumps(task, protocol=5))
    state = {key: value for key, value in task.__dict__.items() if key != "_stage_perf"}
    changing = {
        key: value
        for key, value in state.items()
        if type(value) not in _UNCHANGING and key not in ("_perf_names", "_origin")
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
    for start in range(0, len(tasks), ALIKE_TASKS):
        group = tasks[start : start + ALIKE_TASKS]
        if not writer.add_alike(group):
            for task in group:
                writer.add(task)
    return writer.close()


def encode_source(tasks: Sequence[Any]) -> tuple[Payload, int]:
    """A payload of tasks as they come into a run; figures that they bring stay in front."""
    for task in tasks:
        state = task.__dict__
        if state.get("_stage_perf") or "_origin" in state:
            state["_perf_prior"] = tuple(task._stage_perf)
    return encode(tasks)


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
