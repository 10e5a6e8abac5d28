"""What simulated stages do, and what goes wrong: time, fan-out, sizes, failures, deaths.

Read by `worker`. A task is its path from the source, `(7, 0, 2)`: third output of the first
output of source task 7. What becomes of a task depends on its path alone, so that the outputs of
a whole run are known beforehand (`expected_outputs`), whatever the order, the blocks or the deaths.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from curator_executor.core.types import Node, StageSpec, WorkerId

TaskPath = tuple[int, ...]
StagedTask = tuple[int, TaskPath]


@dataclass(frozen=True)
class StageWork:
    """What one stage does with its tasks.

    Attributes:
        batch_s: seconds per batch; a function gets the time, so that cost may drift.
        jitter: each batch takes up to this share more or less.
        fan_out: outputs per task, or a function of the task.
        keep: share of the tasks that are not filtered out.
        output_bytes: size of one output.
        setup_s: seconds that `setup` takes.
        first_batch_s: seconds more for the first batch of each worker, which loads what others use.
        yields: hands its outputs out one by one, as a generator does.
        raises_on: tasks whose batch raises, in every attempt.
        kills_on: tasks whose batch ends the worker's process.
        setup_raises: `setup` raises.
        setup_kills: `setup` ends the worker's process.
    """

    batch_s: float | Callable[[float], float] = 0.01
    jitter: float = 0.0
    fan_out: int | Callable[[TaskPath], int] = 1
    keep: float = 1.0
    output_bytes: int = 1000
    setup_s: float = 0.1
    first_batch_s: float = 0.0
    yields: bool = False
    raises_on: frozenset[TaskPath] = frozenset()
    kills_on: frozenset[TaskPath] = frozenset()
    setup_raises: bool = False
    setup_kills: bool = False

    def seconds(self, now: float, dice: random.Random) -> float:
        """How long the next batch takes."""
        mean = self.batch_s if isinstance(self.batch_s, (int, float)) else self.batch_s(now)
        return mean * (1.0 + self.jitter * (2.0 * dice.random() - 1.0))

    def children(self, stage: int, task: TaskPath) -> list[TaskPath]:
        """Outputs of a task."""
        chance = zlib.crc32(repr((stage, task)).encode()) / 2**32
        if chance >= self.keep:
            return []
        count = self.fan_out if isinstance(self.fan_out, int) else self.fan_out(task)
        return [(*task, ordinal) for ordinal in range(count)]


@dataclass(frozen=True)
class Faults:
    """What goes wrong besides what a task brings about. Times in seconds.

    Attributes:
        mean_life_s: workers die at random after so long on average, whatever they are doing.
        most_deaths: no more random deaths after so many, so that a run can end.
        dies_at: exact deaths: seconds after the worker's start, by its number.
        straggle: share of the batches that take `straggle_by` times as long.
        straggle_by: see `straggle`.
        breaks: share of the calls that cannot be carried out though the worker lives.
        most_broken: no more of these after so many.
        nodes_at: (time, nodes there are from then on); workers on a node that leaves die.
    """

    mean_life_s: float | None = None
    most_deaths: int = 10
    dies_at: dict[WorkerId, float] = field(default_factory=dict)
    straggle: float = 0.0
    straggle_by: float = 20.0
    breaks: float = 0.0
    most_broken: int = 3
    nodes_at: tuple[tuple[float, tuple[Node, ...]], ...] = ()


@dataclass(frozen=True)
class Workload:
    """All stages, and the world they run in.

    Attributes:
        stages: as the core knows them.
        work: what each does.
        source_tasks: inputs of the first stage.
        faults: what goes wrong.
        start_s: seconds until a process is up.
        teardown_s: seconds to tear down.
        latency_s: seconds until the driver hears of something.
        target_call_s: work that one call aims at; a call comes back after ten times that.
        spreads_gpus: shares go to the emptiest GPU that has room, not to the fullest as with Ray.
        seed: of everything random.
    """

    stages: tuple[StageSpec, ...]
    work: tuple[StageWork, ...]
    source_tasks: int
    faults: Faults = Faults()
    start_s: float = 0.3
    teardown_s: float = 0.05
    latency_s: float = 0.001
    target_call_s: float = 0.1
    spreads_gpus: bool = False
    seed: int = 0

    def source(self) -> list[TaskPath]:
        """The tasks that the run begins with."""
        return [(number,) for number in range(self.source_tasks)]

    def children(self, stage: int, task: TaskPath) -> list[TaskPath]:
        """Outputs of a task at a stage."""
        return self.work[stage].children(stage, task)

    def expected_outputs(self, lost: frozenset[StagedTask] = frozenset()) -> list[TaskPath]:
        """Outputs of the run, in the order of their inputs, without descendants of lost tasks."""
        return sorted(self._descend(0, self.source(), lost))

    def _descend(
        self, stage: int, tasks: Sequence[TaskPath], lost: frozenset[StagedTask]
    ) -> Iterator[TaskPath]:
        if stage == len(self.stages):
            yield from tasks
            return
        for task in tasks:
            if (stage, task) not in lost:
                yield from self._descend(stage + 1, self.children(stage, task), lost)
