"""A worker's host without a worker: tasks in, tasks out, as the driver would ask for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import cloudpickle

from curator_executor.api import ProcessingStage, Task
from curator_executor.core.types import CallReport, StageFigures
from curator_executor.runtime import codec
from curator_executor.runtime.host import Piece, PoolHost, PoolPlan
from curator_executor.runtime.lineage import root_key


@dataclass
class Doc(Task[Any]):
    """One document; its size is its number of items."""

    dataset_name: str = "docs"
    data: Any = ""
    items: int = 1

    @property
    def num_items(self) -> int:
        return self.items

    def validate(self) -> bool:
        return True


class Words(ProcessingStage[Doc, Doc]):
    """One output per word of the input."""

    name = "words"

    def process(self, task: Doc) -> list[Doc]:
        return [Doc(data=word) for word in task.data.split()]


class Upper(ProcessingStage[Doc, Doc]):
    """The same task, in capitals."""

    name = "upper"

    def process(self, task: Doc) -> Doc:
        task.data = task.data.upper()
        return task


class Each(ProcessingStage[Doc, Doc]):
    """Batches, and what a function makes of a batch."""

    name = "each"

    def __init__(self, function: Any, batch_size: int) -> None:
        self.function, self.batch_size = function, batch_size
        self.sizes: list[int] = []

    def process(self, task: Doc) -> Doc:
        raise NotImplementedError

    def process_batch(self, tasks: list[Doc]) -> Any:
        self.sizes.append(len(tasks))
        return self.function(tasks)


class Once(ProcessingStage[Doc, Any]):
    """What a function makes of a task."""

    name = "once"

    def __init__(self, function: Any, **attributes: Any) -> None:
        self.function = function
        for name, value in attributes.items():
            setattr(self, name, value)

    def process(self, task: Doc) -> Any:
        return self.function(task)


class Slow(ProcessingStage[Doc, Doc]):
    """Takes 0.4 s by its own clock."""

    name = "slow"
    now = 0.0

    def process(self, task: Doc) -> Doc:
        Slow.now += 0.4
        return task


def roots(*data: Any, items: int = 1) -> list[Doc]:
    """Tasks as a run begins with them."""
    tasks = [Doc(data=each, items=items) for each in data]
    for position, task in enumerate(tasks):
        task._set_task_id("0", position)
        task.__dict__["_lineage_key"] = root_key(position, None)
    return tasks


def plan_of(stages: Sequence[Any], **options: Any) -> PoolPlan:
    """A plan for stages that share a worker."""
    count = len(stages)
    values: dict[str, Any] = {
        "stages": cloudpickle.dumps(list(stages)),
        "indexes": tuple(range(count)),
        "attempts": (1,) * count,
        "setup_attempts": (1,) * count,
        "ignore_failures": (False,) * count,
        "batch_size": stages[0].batch_size,
        "timeout_s": None,
        "names": tuple(stage.name for stage in stages),
        "target_call_s": 1000.0,
        "block_bytes": 10**9,
    }
    return PoolPlan(**(values | options))


def host_of(*stages: Any, worker: int = 1, **options: Any) -> PoolHost:
    """A host of stages that are set up."""
    host = PoolHost(plan_of(stages, **options), worker, "n1")
    host.setup(node_setup=True)
    return host


@dataclass
class Answer:
    """What came of all calls together.

    Attributes:
        tasks: outputs.
        reports: one per call.
    """

    tasks: list[Any] = field(default_factory=list)
    reports: list[CallReport] = field(default_factory=list)

    @property
    def data(self) -> list[Any]:
        return [task.data for task in self.tasks]

    @property
    def ids(self) -> list[str]:
        return [task.task_id for task in self.tasks]

    @property
    def keys(self) -> list[bytes]:
        return [task._lineage_key for task in self.tasks]

    @property
    def errors(self) -> list[Any]:
        return [error for report in self.reports for error in report.errors]

    def figures(self, stage: int = 0) -> StageFigures:
        """Sums over all calls; times are not summed."""
        total = StageFigures(stage)
        for report in self.reports:
            for each in report.figures:
                if each.stage == stage:
                    total.batches += each.batches
                    total.tasks_in += each.tasks_in
                    total.tasks_out += each.tasks_out
                    total.filtered += each.filtered
                    total.retried += each.retried
                    total.items += each.items
                    for name, value in each.metrics.items():
                        total.metrics[name] = total.metrics.get(name, 0.0) + value
        return total


def ask(
    host: PoolHost, tasks: Sequence[Any] = (), *, per_call: int | None = None, **options: Any
) -> Answer:
    """Give the host tasks, a number of them a call, and ask until nothing is left."""
    answer = Answer()
    step = per_call or len(tasks) or 1
    for start in range(0, max(1, len(tasks)), step):
        part = list(tasks[start : start + step])
        payload, size = codec.encode(part)
        pieces = [Piece(payload, 0, len(part), size / len(part))] if part else []
        while True:
            report, block = host.call(pieces, **options)
            answer.reports.append(report)
            answer.tasks += codec.decode(block or [], host.plan.names)
            if not report.more:
                break
            pieces = []
    return answer


def run(*stages: Any, tasks: Sequence[Any], **options: Any) -> Answer:
    """Set stages up in one worker and run tasks through them."""
    return ask(host_of(*stages, **options), tasks)
