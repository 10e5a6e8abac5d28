"""The short way through a stage gives what the long way gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import cloudpickle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator_executor import EmptyTask, NoneTask, ProcessingStage, Task
from curator_executor.core.types import StageFigures
from curator_executor.runtime import codec
from curator_executor.runtime.host import Piece, PoolHost, PoolPlan

NAMES = ("before", "stage")
COUNT = 40


@dataclass
class Number(Task[int]):
    @property
    def num_items(self) -> int:
        return self.data % 3

    def validate(self) -> bool:
        return True


@dataclass
class Named(Number):
    """A task whose id comes from its content where its stage is a source."""

    def get_deterministic_id(self) -> str:
        return f"n{self.data // 2}"


@dataclass
class Odd(Number):
    """A task that is more than its attributes."""

    extra: list[int] = field(default_factory=list)

    def __reduce__(self) -> Any:
        return (Odd, (self.dataset_name, self.data))


class Stage(ProcessingStage[Any, Any]):
    name = "stage"

    def __init__(self, function: Callable[[Stage, Any], Any], source: bool = False) -> None:
        self.function = function
        self.is_source_stage = source
        self.calls = 0

    def process(self, task: Any) -> Any:
        self.calls += 1
        return self.function(self, task)


class BatchStage(Stage):
    """A function of a whole batch."""

    def process_batch(self, tasks: list[Any]) -> Any:
        self.calls += 1
        return self.function(self, tasks)


def same(_stage: Stage, task: Number) -> Number:
    return task


def kept_if_even(_stage: Stage, task: Number) -> Number | None:
    return task if task.data % 2 == 0 else None


def three(_stage: Stage, task: Number) -> list[Number]:
    return [Number("d", task.data * 3 + k) for k in range(3)]


def twice_the_same(_stage: Stage, task: Number) -> list[Number]:
    return [task, task]


def yielded(_stage: Stage, task: Number) -> Iterator[Number]:
    for k in range(task.data % 4):
        yield Number("d", k)


def marked(_stage: Stage, task: Number) -> Any:
    return NoneTask() if task.data % 5 == 0 else task


def with_metrics(stage: Stage, task: Number) -> Number:
    stage._log_metric("seen", float(task.data))
    stage._log_dropped("small", task.data % 2)
    return task


def named(_stage: Stage, task: Number) -> list[Number]:
    return [Named("d", task.data), Named("d", task.data)]


def odd(_stage: Stage, task: Number) -> Number:
    return Odd("d", task.data)


REUSED = Number("d", 0)


def reused(_stage: Stage, task: Number) -> Number:
    REUSED.data = task.data
    return REUSED


def failing(_stage: Stage, task: Number) -> Number:
    if task.data % 7 == 3:
        raise KeyError(task.data)
    return task


def mixed(stage: Stage, task: Number) -> Any:
    functions = (same, kept_if_even, three, yielded, marked, with_metrics, odd, reused)
    return functions[task.data % len(functions)](stage, task)


def host_of(function: Any, *, source: bool = False, batch_size: int = 1) -> PoolHost:
    """A worker's host of one stage, set up."""
    kind = Stage if batch_size == 1 else BatchStage
    plan = PoolPlan(
        stages=cloudpickle.dumps([kind(function, source)]),
        indexes=(1,),
        attempts=(1,),
        setup_attempts=(1,),
        ignore_failures=(True,),
        batch_size=batch_size,
        timeout_s=None,
        names=NAMES,
        target_call_s=60.0,
        block_bytes=1 << 30,
    )
    host = PoolHost(plan, 1, "here")
    host.setup(node_setup=False)
    return host


def run(
    function: Any, *, short: bool, source: bool, count: int, batch_size: int = 1
) -> tuple[Any, ...]:
    """What comes out, what was said of it, and how often the stage was called."""
    host = host_of(function, source=source, batch_size=batch_size)
    if not short:
        host._sprinter = host._batch_sprinter = None
    inputs = numbered(count)
    payload, _ = codec.encode(inputs)
    report, given_out = host.call([Piece(payload, 0, count, 1.0)])
    outputs = list(codec.decode(given_out or [], NAMES))
    [figures] = report.figures
    return (
        [seen(task) for task in outputs],
        (report.consumed, report.more, report.out_tasks),
        without_times(figures),
        [(error.task_ids, error.error) for error in report.errors],
        host.stages[0].calls,
    )


def numbered(count: int) -> list[Number]:
    """Inputs with an id and a key each."""
    inputs = [Number("d", n, _metadata={"n": n}) for n in range(count)]
    for position, task in enumerate(inputs):
        task.task_id = f"0_{position}"
        task.__dict__["_lineage_key"] = position.to_bytes(16, "big")
    return inputs


def seen(task: Any) -> tuple[Any, ...]:
    perf = [(p.stage_name, p.num_items_processed, p.custom_metrics) for p in task._stage_perf]
    return (type(task), task.data, task.task_id, task._lineage_key, task._metadata, perf)


def without_times(figures: StageFigures) -> dict[str, Any]:
    values = {name: getattr(figures, name) for name in StageFigures.__dataclass_fields__}
    del values["process_s"]
    return values


@pytest.mark.parametrize("source", [False, True])
@pytest.mark.parametrize(
    "function",
    [
        same,
        kept_if_even,
        three,
        twice_the_same,
        yielded,
        marked,
        with_metrics,
        named,
        odd,
        reused,
        failing,
        mixed,
    ],
)
def test_the_short_way_gives_what_the_long_way_gives(function: Any, source: bool) -> None:
    short = run(function, short=True, source=source, count=COUNT)
    assert short == run(function, short=False, source=source, count=COUNT)
    assert short[-1] == COUNT, "a stage was called twice, or not at all, for some task"


def batch_same(_stage: Stage, tasks: list[Number]) -> Any:
    return tasks


def batch_new(_stage: Stage, tasks: list[Number]) -> Any:
    return [Number("new", task.data + 1) for task in tasks]


def batch_kept_if_even(_stage: Stage, tasks: list[Number]) -> Any:
    return [task if task.data % 2 == 0 else None for task in tasks]


def batch_none(_stage: Stage, tasks: list[Number]) -> Any:
    return [None for _ in tasks]


def batch_reused(_stage: Stage, tasks: list[Number]) -> Any:
    return [tasks[0] for _ in tasks]


def batch_merged(_stage: Stage, tasks: list[Number]) -> Any:
    return [Number("d", sum(task.data for task in tasks))]


def batch_spread(_stage: Stage, tasks: list[Number]) -> Any:
    return [[Number("d", task.data), Number("d", -task.data)] for task in tasks]


def batch_tuple(_stage: Stage, tasks: list[Number]) -> Any:
    return tuple(tasks)


def batch_yielded(_stage: Stage, tasks: list[Number]) -> Any:
    yield from tasks


def batch_with_metrics(stage: Stage, tasks: list[Number]) -> Any:
    stage._log_metric("seen", float(tasks[0].data))
    stage._log_kept(len(tasks))
    return tasks


def batch_odd(_stage: Stage, tasks: list[Number]) -> Any:
    return [Odd("d", task.data) if task.data % 4 == 0 else task for task in tasks]


def batch_labelled(_stage: Stage, tasks: list[Number]) -> Any:
    for task in tasks[::2]:
        task.label = "even"  # type: ignore[attr-defined]
    return tasks


def batch_failing(_stage: Stage, tasks: list[Number]) -> Any:
    if tasks[0].data % 7 == 0:
        raise KeyError(tasks[0].data)
    return tasks


def batch_nothing(_stage: Stage, _tasks: list[Number]) -> Any:
    return None


BATCH_FUNCTIONS = [
    batch_same,
    batch_new,
    batch_kept_if_even,
    batch_none,
    batch_reused,
    batch_merged,
    batch_spread,
    batch_tuple,
    batch_yielded,
    batch_with_metrics,
    batch_odd,
    batch_labelled,
    batch_failing,
    batch_nothing,
]


@pytest.mark.parametrize("source", [False, True])
@pytest.mark.parametrize("batch_size", [2, 7])
@pytest.mark.parametrize("function", BATCH_FUNCTIONS)
def test_batches_give_the_same_both_ways(function: Any, batch_size: int, source: bool) -> None:
    short, long = (
        run(function, short=short, source=source, count=COUNT, batch_size=batch_size)
        for short in (True, False)
    )
    assert short == long
    assert short[-1] == -(-COUNT // batch_size), "a stage was called twice, or not at all"


@pytest.mark.parametrize("depth", [2, 4])
@pytest.mark.parametrize("function", [same, kept_if_even, three, reused, with_metrics])
def test_ids_and_keys_after_several_stages_are_the_same_both_ways(
    function: Any, depth: int
) -> None:
    """The short way leaves them to be made by whoever reads them, over all stages since."""
    found = []
    for short in (True, False):
        payload, _ = codec.encode(numbered(700))
        for _ in range(depth):
            host = host_of(function)
            if not short:
                host._sprinter = None
            pieces = [Piece(payload, 0, sum(chunk[0] for chunk in payload), 1.0)]
            payload = []
            while True:
                report, block = host.call(pieces)
                payload += block or []
                pieces = []
                if not report.more:
                    break
        found.append([seen(task) for task in codec.decode(payload, NAMES)])
    assert found[0] == found[1]
    assert found[0]


@pytest.mark.parametrize("function", [same, three, kept_if_even])
def test_a_task_that_has_its_id_from_its_class_goes_the_short_way(function: Any) -> None:
    """The one task that a run without inputs starts from: its id is no attribute of its own."""

    def count_of(_stage: Stage, _task: Any) -> Any:
        return function(_stage, Number("d", 4))

    host = host_of(count_of)
    payload, _ = codec.encode([EmptyTask()])
    report, given_out = host.call([Piece(payload, 0, 1, 1.0)])
    outputs = list(codec.decode(given_out or [], NAMES))
    assert report.errors == []
    assert [task.task_id for task in outputs] == [f"0_{n}" for n in range(len(outputs))]
    assert outputs


@given(st.lists(st.sampled_from([same, three, yielded, odd, failing]), min_size=1, max_size=6))
def test_any_mixture_gives_the_same_both_ways(functions: list[Any]) -> None:
    def chosen(stage: Stage, task: Number) -> Any:
        return functions[task.data % len(functions)](stage, task)

    ways = [run(chosen, short=short, source=False, count=13) for short in (True, False)]
    assert ways[0] == ways[1]
