"""What happened in a simulated run, task by task. Written by `worker` and `pool`, read by tests."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from curator_executor.core.types import NodeId, PoolIndex, WorkerId
from curator_executor.simulation.workload import StagedTask, TaskPath

StagedBatch = tuple[int, tuple[TaskPath, ...]]


@dataclass
class Ledger:
    """An account that knows more than the core does.

    Attributes:
        processed: how often each task was begun, by stage.
        batches: batches begun, by stage; one that runs again counts again.
        killers: how often a batch ended its worker.
        failed: batches that raised in every attempt.
        deaths: workers that died, and when.
        broken: calls that were not carried out.
        node_setups: how often a node was prepared for a pool.
        most_held_bytes: largest sum of bytes in blocks that were not released.
        idle_waits: times the driver slept though nothing was going on anywhere.
    """

    processed: Counter[StagedTask] = field(default_factory=Counter)
    batches: Counter[StagedBatch] = field(default_factory=Counter)
    killers: Counter[StagedBatch] = field(default_factory=Counter)
    failed: set[StagedBatch] = field(default_factory=set)
    deaths: list[tuple[WorkerId, float]] = field(default_factory=list)
    broken: int = 0
    node_setups: Counter[tuple[PoolIndex, NodeId]] = field(default_factory=Counter)
    most_held_bytes: int = 0
    idle_waits: int = 0

    def begin(self, stage: int, batch: tuple[TaskPath, ...]) -> None:
        """A batch goes into its stage."""
        self.batches[stage, batch] += 1
        for task in batch:
            self.processed[stage, task] += 1

    def lost(self, deaths_allowed: dict[int, int]) -> frozenset[StagedTask]:
        """Tasks of batches that may have been given up on: those that raised or kept killing."""
        batches = set(self.failed)
        batches |= {batch for batch, count in self.killers.items() if count > 1}
        batches = {
            batch
            for batch in batches
            if batch in self.failed or self.killers[batch] >= deaths_allowed[batch[0]]
        }
        return frozenset((stage, task) for stage, tasks in batches for task in tasks)
