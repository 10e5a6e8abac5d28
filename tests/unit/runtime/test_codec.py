"""Tasks come back from bytes as they went in, and large buffers are not copied."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator_executor.api import EmptyTask, FileGroupTask, Task
from curator_executor.api.perf import StagePerfStats, pack_entry
from curator_executor.runtime import codec
from curator_executor.runtime.columns import KEPT
from tests.unit.runtime.hosting import Doc


@dataclass
class Slotted(Task[Any]):
    """Has a slot beside its `__dict__`."""

    __slots__ = ("extra",)
    dataset_name: str = "slots"
    data: Any = None

    @property
    def num_items(self) -> int:
        return 1

    def validate(self) -> bool:
        return True


@dataclass
class Reduced(Doc):
    """Says itself how it is pickled."""

    def __reduce__(self) -> Any:
        return rebuilt, (self.data, dict(self.__dict__))


def rebuilt(data: Any, state: dict[str, Any]) -> Reduced:
    task = Reduced(data=data)
    task.__dict__ = {**state, "through_reduce": True}
    return task


@dataclass
class Stateful(Doc):
    """Leaves something out when it is pickled."""

    cache: list[int] = field(default_factory=list)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "cache": []}


PASSED = pack_entry(0, 5, 0.5, 0.1, 0.2, 7)
PAYLOADS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def tasks(draw: st.DrawFn) -> Any:
    data = draw(PAYLOADS)
    kind = draw(st.sampled_from([Doc, Doc, Slotted, Reduced, Stateful, FileGroupTask, EmptyTask]))
    task: Any
    if kind is EmptyTask:
        task = EmptyTask()
    elif kind is FileGroupTask:
        task = FileGroupTask(dataset_name="files", data=[draw(st.text())])
    else:
        task = kind(data=data)
    task.task_id = draw(st.text(max_size=5))
    task.__dict__["_lineage_key"] = draw(st.sampled_from([b"", b"k" * 16, b"another key, 16b"]))
    task.__dict__["_perf_packed"] = draw(st.sampled_from([b"", PASSED, PASSED * 2]))
    task.__dict__["_perf_names"] = ("s0",)
    del task.__dict__["_stage_perf"]
    task._metadata = draw(st.dictionaries(st.text(max_size=3), st.integers(), max_size=2))
    for name in draw(st.sets(st.sampled_from(["extra", "score", "label"]))):
        setattr(task, name, draw(PAYLOADS))
    for name in draw(st.sets(st.sampled_from(["dataset_name", "_metadata"]), max_size=1)):
        task.__dict__.pop(name, None)
    return task


# Kept for one process only, or added by `rebuilt`, or read by name below.
NOT_LOOKED_AT = {*KEPT, "through_reduce"}


def state(task: Any) -> dict[str, Any]:
    found = {k: v for k, v in task.__dict__.items() if k not in NOT_LOOKED_AT}
    if isinstance(task, Slotted) and hasattr(task, "extra"):
        found["extra"] = task.extra
    return found | {"task_id": task.task_id, "key": task._lineage_key, "perf": task._stage_perf}


@given(group=st.lists(tasks(), max_size=6), repeat=st.sampled_from([1, 100]))
@settings(max_examples=50)
def test_any_mix_of_tasks_comes_back_as_it_went_in(group: list[Any], repeat: int) -> None:
    group = group * repeat
    payload, size = codec.encode(group)
    back = list(codec.decode(pickle.loads(pickle.dumps(payload, protocol=5)), ("s0",)))
    assert [(type(task), state(task)) for task in back] == [
        (type(task), state(task)) for task in group
    ]
    assert sum(chunk[0] for chunk in payload) == len(group)
    assert size >= 0


def test_task_that_came_out_of_a_payload_is_pickled_and_copied_with_what_is_its_own() -> None:
    """It knows its id, key and figures by a row in what all tasks of its chunk share."""
    group = [Doc(data=n) for n in range(300)]
    for n, task in enumerate(group):
        task.task_id = f"0_{n}"
        task.__dict__["_lineage_key"] = n.to_bytes(16, "big")
        task.__dict__["_perf_packed"] = PASSED
    back = list(codec.decode(codec.encode(group)[0], ("read",)))
    for again in (pickle.loads(pickle.dumps(back[7])), copy.copy(back[7]), copy.deepcopy(back[7])):
        assert (again.task_id, again._lineage_key) == ("0_7", (7).to_bytes(16, "big"))
        assert [entry.stage_name for entry in again._stage_perf] == ["read"]
        assert again == back[7]
    assert len(pickle.dumps(back[7])) < 600


def test_id_that_a_stage_sets_comes_before_the_one_that_is_kept() -> None:
    task = Doc(data=1)
    task.task_id = "0_1"
    (back,) = codec.decode(codec.encode([task])[0], ())
    back.task_id = "mine"
    assert (back.task_id, copy.copy(back).task_id) == ("mine", "mine")


def test_figures_that_an_input_brings_stay_in_front() -> None:
    fresh = Doc(data=1, _stage_perf=[StagePerfStats("given")])
    came = Doc(data=2)
    came.__dict__["_perf_packed"] = PASSED
    del came.__dict__["_stage_perf"]
    (came,) = codec.decode(codec.encode([came])[0], ("earlier",))
    for task in (fresh, came):  # as a run does with its inputs
        task.__dict__["_perf_packed"] = b""
    back = list(codec.decode(codec.encode_source([fresh, came])[0], ("later",)))
    assert [[e.stage_name for e in t._stage_perf] for t in back] == [["given"], ["earlier"]]


def test_pickling_of_ones_own_is_respected() -> None:
    stateful = Stateful()
    stateful.cache = [1]
    slotted = Slotted()
    slotted.extra = 5  # type: ignore[attr-defined]
    payload, _ = codec.encode([stateful, slotted, Reduced(data=3)])
    first, second, third = codec.decode(payload, ())
    assert (first.cache, second.extra, third.through_reduce) == ([], 5, True)


def test_arrays_come_back_without_a_copy_and_cannot_be_written_to() -> None:
    array = np.arange(10_000, dtype=np.float64)
    payload, size = codec.encode([Doc(data=array)])
    ((_, header, buffers),) = payload
    assert size == len(header) + array.nbytes
    shared = bytearray(memoryview(buffers[0]))
    (task,) = codec.decode([(1, header, [memoryview(shared).toreadonly()])], ())
    assert np.array_equal(task.data, array)
    assert np.shares_memory(task.data, np.frombuffer(shared, dtype=np.float64))
    with pytest.raises(ValueError, match="read-only"):
        task.data[0] = 1.0


def test_detached_payload_is_our_own_and_can_be_written_to() -> None:
    payload, _ = codec.encode([Doc(data=np.zeros(10_000))])
    (task,) = codec.decode(codec.detach(payload), ())
    task.data[0] = 5.0
    (again,) = codec.decode(payload, ())
    assert (task.data[0], again.data[0]) == (5.0, 0.0)


def test_many_small_tasks_make_few_chunks() -> None:
    payload, _ = codec.encode([Doc(data=n) for n in range(1100)])
    assert [count for count, _, _ in payload] == [512, 512, 76]


def test_large_tasks_make_small_chunks() -> None:
    payload, _ = codec.encode([Doc(data="x" * 300_000) for _ in range(5)])
    assert [count for count, _, _ in payload] == [2, 2, 1]


@pytest.mark.parametrize(
    ("start", "stop"), [(0, 1100), (511, 513), (512, 1024), (1099, 1100), (5, 5)]
)
def test_span_is_what_lies_between(start: int, stop: int) -> None:
    payload, _ = codec.encode([Doc(data=n) for n in range(1100)])
    found = codec.decode_span(payload, start, stop, ())
    assert [task.data for task in found] == list(range(start, stop))


def test_column_of_one_string_is_stored_once() -> None:
    name = "a data set with a long name" * 50
    same = [Doc(dataset_name=name, data=n) for n in range(500)]
    different = [Doc(dataset_name=f"{name}{n}", data=n) for n in range(500)]
    assert codec.encode(same)[1] * 50 < codec.encode(different)[1]
    back = codec.decode(codec.encode(same)[0], ())
    assert {task.dataset_name for task in back} == {name}


def test_figures_come_back_with_the_names_of_their_stages() -> None:
    task = Doc(data=1)
    task.__dict__["_perf_packed"] = pack_entry(1, 5, 0.5, 0.1, 0.2, 7)
    (back,) = codec.decode(codec.encode([task])[0], ("read", "caption"))
    assert [(s.stage_name, s.process_time) for s in back._stage_perf] == [("caption", 0.5)]


@pytest.mark.parametrize(
    "data",
    [
        5,
        1.5,
        None,
        "word " * 100,
        b"x" * 5000,
        [f"word {n}" for n in range(1000)],
        {"a": [f"{n:0100}" for n in range(50)], "b": 1},
        np.zeros(1000),
        {"nested": {"deep": [{"x": f"{n:01000}"} for n in range(20)]}},
        object(),
    ],
    ids=lambda data: type(data).__name__,
)
def test_estimate_is_near_what_it_pickles_to(data: Any) -> None:
    estimate = codec.estimate_bytes(data)
    real = len(pickle.dumps(data, protocol=5))
    assert real / 3 - 64 <= estimate <= real * 4 + 600


def test_estimate_of_a_table_is_its_memory() -> None:
    frame = pd.DataFrame({"n": np.zeros(1000)})
    assert codec.estimate_bytes(frame) == 8000 + 1024


def test_writer_knows_about_how_much_it_has() -> None:
    writer = codec.PayloadWriter()
    for _ in range(100):
        writer.add(Doc(data="x" * 1000))
    assert 100_000 < writer.size < 130_000
    payload, size = writer.close()
    assert size == sum(len(header) for _, header, _ in payload)
