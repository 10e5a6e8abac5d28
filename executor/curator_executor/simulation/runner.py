"""What the stages of a simulated worker do to their batches, in virtual time.

Called by `worker`, as `runtime.runner` is by `runtime.host`. What it makes comes bit by bit, so
that the worker can stop between two outputs and keep its place.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from curator_executor.core.types import BatchError, PoolIndex, PoolSpec, StageFigures
from curator_executor.simulation.clock import SimulatedClock
from curator_executor.simulation.ledger import Ledger
from curator_executor.simulation.workload import TaskPath, Workload

Outputs = Sequence[tuple[TaskPath, int]]
# Outputs, and how many inputs are done with them.
Bit = tuple[Outputs, int]


class StageWorld(Protocol):
    """What stages see of the pool."""

    clock: SimulatedClock
    workload: Workload
    pools: tuple[PoolSpec, ...]
    ledger: Ledger
    dice: random.Random
    block_bytes: int
    scratch: dict[PoolIndex, set[TaskPath]]


class Killed(Exception):
    """The batch ended the process."""

    def __init__(self, batch: tuple[int, tuple[TaskPath, ...]]) -> None:
        super().__init__(f"batch {batch} ended its process")
        self.batch = batch


class GivenUp(Exception):
    """The last attempt at a batch failed."""

    def __init__(self, error: BatchError) -> None:
        super().__init__(error.message)
        self.error = error


@dataclass
class SimulatedRunner:
    """The stages that one worker holds.

    Attributes:
        world: the pool, as far as stages see it.
        errors: batches given up on since they were last taken.
        figures: by stage, since they were last taken.
        spent: virtual seconds of the present call.
        begun: stages of which a batch has been done.
        taken_in: by pool, what global stages without a scratch directory took in.
    """

    world: StageWorld
    errors: list[BatchError] = field(default_factory=list)
    figures: dict[int, StageFigures] = field(default_factory=dict)
    spent: float = 0.0
    begun: set[int] = field(default_factory=set)
    taken_in: dict[PoolIndex, set[TaskPath]] = field(default_factory=dict)

    def work(self, pool: PoolIndex, tasks: Sequence[TaskPath]) -> Iterator[Bit]:
        """Take tasks through the stages of a pool, batch by batch."""
        head = self.world.pools[pool].head
        for start in range(0, len(tasks), head.batch_size):
            batch = tuple(tasks[start : start + head.batch_size])
            try:
                yield from self._batch(pool, batch)
            except GivenUp as failure:
                if failure.error.stage != head.index or not head.ignore_failures:
                    raise
                self.errors.append(failure.error)
                yield (), len(batch)

    def _batch(self, pool: PoolIndex, batch: tuple[TaskPath, ...]) -> Iterator[Bit]:
        stages = self.world.pools[pool].stages
        if stages[0].is_global:
            self._run(pool, 0, batch)
            self._keep(pool).update(batch)
            yield (), len(batch)
            return
        outputs = self._run(pool, 0, batch)
        if len(stages) > 1:
            for path, _ in outputs:
                for output in self._through(pool, 1, path):
                    yield (output,), 0
            yield (), len(batch)
            return
        made = list(outputs)
        one_by_one = self.world.workload.work[stages[0].index].yields
        if one_by_one or sum(size for _, size in made) > self.world.block_bytes // 2:
            for output in made:
                yield (output,), 0
            yield (), len(batch)
        else:
            yield made, len(batch)

    def _through(
        self, pool: PoolIndex, position: int, path: TaskPath
    ) -> Iterator[tuple[TaskPath, int]]:
        stages = self.world.pools[pool].stages
        try:
            outputs = self._run(pool, position, (path,))
        except GivenUp as failure:
            if not stages[position].ignore_failures:
                raise
            self.errors.append(failure.error)
            return
        for output in outputs:
            if position + 1 == len(stages):
                yield output
            else:
                yield from self._through(pool, position + 1, output[0])

    def _run(self, pool: PoolIndex, position: int, batch: tuple[TaskPath, ...]) -> Outputs:
        """One batch through one stage; time passes."""
        world = self.world
        stage = world.pools[pool].stages[position]
        work = world.workload.work[stage.index]
        world.ledger.begin(stage.index, batch)
        seconds = work.seconds(world.clock.now + self.spent, world.dice)
        if stage.index not in self.begun:
            self.begun.add(stage.index)
            seconds += work.first_batch_s
        faults = world.workload.faults
        if faults.straggle and world.dice.random() < faults.straggle:
            seconds *= faults.straggle_by
        self.spent += seconds
        if not work.kills_on.isdisjoint(batch):
            raise Killed((stage.index, batch))
        figures = self.figures.setdefault(stage.index, StageFigures(stage.index))
        if not work.raises_on.isdisjoint(batch):
            self.spent += seconds * (stage.attempts - 1)
            figures.retried += len(batch) * (stage.attempts - 1)
            world.ledger.failed.add((stage.index, batch))
            ids = tuple("_".join(map(str, path)) for path in batch)
            raise GivenUp(BatchError(stage.index, len(batch), ids, "Raised", "it raises", ""))
        outputs = (
            []
            if stage.is_global
            else [
                (child, work.output_bytes)
                for task in batch
                for child in work.children(stage.index, task)
            ]
        )
        figures.process_s += seconds
        figures.batches += 1
        figures.tasks_in += len(batch)
        figures.items += len(batch)
        figures.tasks_out += len(outputs)
        return outputs

    def _keep(self, pool: PoolIndex) -> set[TaskPath]:
        if self.world.pools[pool].head.keeps_state_in_scratch:
            return self.world.scratch.setdefault(pool, set())
        return self.taken_in.setdefault(pool, set())

    def finish(self, pool: PoolIndex) -> Iterator[Bit]:
        """What a global stage makes of all that it took in."""
        stage = self.world.pools[pool].head.index
        work = self.world.workload.work[stage]
        for task in sorted(self._keep(pool)):
            self.spent += work.seconds(self.world.clock.now, self.world.dice)
            yield [(child, work.output_bytes) for child in work.children(stage, task)], 0
