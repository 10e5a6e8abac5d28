"""A simulated worker: does one thing after another in virtual time, and may die at any moment.

Called by `pool`. It keeps to the rules of `runtime.host.PoolHost`: at most one block a call, its
place kept when the block is full or time is up, replays that leave out what was passed on.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from curator_executor.core.actions import SetupWorker
from curator_executor.core.events import (
    CallBroken,
    Event,
    WorkerCreated,
    WorkerDied,
    WorkerReady,
    WorkerSetupFailed,
    WorkerStopped,
)
from curator_executor.core.types import (
    BatchError,
    Call,
    CallReport,
    NodeId,
    PoolIndex,
    PoolSpec,
    StageFigures,
    WorkerId,
)
from curator_executor.simulation.clock import SimulatedClock
from curator_executor.simulation.ledger import Ledger, StagedBatch
from curator_executor.simulation.workload import TaskPath, Workload

# As in `runtime.host`: a call comes back after this many times its aim, finished or not.
LONGEST_CALL = 10
Outputs = Sequence[tuple[TaskPath, int]]
Bit = tuple[Outputs, int]


class ContractBroken(AssertionError):
    """The driver asked for something that no worker pool can do."""


class World(Protocol):
    """What a worker sees of its pool."""

    clock: SimulatedClock
    workload: Workload
    pools: tuple[PoolSpec, ...]
    ledger: Ledger
    dice: random.Random
    block_bytes: int
    scratch: dict[PoolIndex, set[TaskPath]]
    prepared: set[tuple[PoolIndex, NodeId]]

    def tell(self, worker: SimulatedWorker, event: Event) -> None:
        """The driver hears of it after the latency."""

    def come_back(
        self, worker: SimulatedWorker, call: Call, report: CallReport, outputs: Outputs
    ) -> None:
        """A call is done; its block is there when the driver hears of it."""

    def broke(self, worker: SimulatedWorker, event: CallBroken, lost: StagedBatch | None) -> None:
        """A call could not be carried out; a batch that was alone in it is given up."""

    def freed(self, worker: SimulatedWorker) -> None:
        """The worker's resources are free again."""


class _Killed(Exception):
    """The batch ended the process."""

    def __init__(self, batch: tuple[int, tuple[TaskPath, ...]]) -> None:
        super().__init__(f"batch {batch} ended its process")
        self.batch = batch


class _GivenUp(Exception):
    def __init__(self, error: BatchError) -> None:
        super().__init__(error.message)
        self.error = error


@dataclass
class _Held:
    tasks: int
    bits: Iterator[Bit]
    skip: int = 0
    emitted: int = 0


@dataclass
class _Outcome:
    """How long a job takes, and what comes of it; `dies` instead, if set."""

    seconds: float
    end: Callable[[], None]
    dies: str = ""


Job = Callable[[], _Outcome]


@dataclass
class SimulatedWorker:
    """One process. `job` after `job`; what it holds is lost with it."""

    number: WorkerId
    pool: PoolIndex
    world: World
    node: NodeId = ""
    alive: bool = True
    hosted: set[PoolIndex] = field(default_factory=set)
    held: dict[PoolIndex, deque[_Held]] = field(default_factory=dict)
    taken_in: dict[PoolIndex, set[TaskPath]] = field(default_factory=dict)
    jobs: deque[Job] = field(default_factory=deque)
    busy: bool = True
    _errors: list[BatchError] = field(default_factory=list)
    _figures: dict[int, StageFigures] = field(default_factory=dict)
    _spent: float = 0.0

    # Life ----------------------------------------------------------------------------------

    def place(self, node: NodeId) -> None:
        """Its resources are there: the process comes up."""
        self.node = node
        world = self.world
        faults = world.workload.faults
        if self.number in faults.dies_at:
            world.clock.after(faults.dies_at[self.number], lambda: self.die("it was to die now"))
        if faults.mean_life_s is not None:
            life = world.dice.expovariate(1.0 / faults.mean_life_s)
            world.clock.after(life, self._die_at_random)
        world.clock.after(world.workload.start_s, self._created)

    def _created(self) -> None:
        if self.alive:
            self.busy = False
            self.world.tell(self, WorkerCreated(self.number, self.node))
            self._next()

    def _die_at_random(self) -> None:
        if len(self.world.ledger.deaths) < self.world.workload.faults.most_deaths:
            self.die("it died at random")

    def die(self, reason: str) -> None:
        """The process is gone."""
        if self.alive:
            self.alive = False
            self.world.ledger.deaths.append((self.number, self.world.clock.now))
            self.world.freed(self)
            self.world.tell(self, WorkerDied(self.number, reason))

    def _tell(self, event: Event) -> None:
        self.world.tell(self, event)

    def add(self, job: Job) -> None:
        """Do this after what it has to do already."""
        self.jobs.append(job)
        self._next()

    def _next(self) -> None:
        if self.busy or not self.jobs or not self.alive:
            return
        self.busy = True
        outcome = self.jobs.popleft()()

        def over() -> None:
            if not self.alive:
                return
            if outcome.dies:
                self.die(outcome.dies)
                return
            self.busy = False
            outcome.end()
            self._next()

        self.world.clock.after(outcome.seconds, over)

    # Jobs ----------------------------------------------------------------------------------

    def setup(self, action: SetupWorker) -> _Outcome:
        """Set up the stages of a pool."""
        stages = self.world.pools[action.pool].stages
        if action.teardown is not None:
            self.hosted.discard(action.teardown)
        if action.node_setup:
            self.world.ledger.node_setups[action.pool, self.node] += 1
        seconds = sum(self.world.workload.work[stage.index].setup_s for stage in stages)
        for stage in stages:
            if self.world.workload.work[stage.index].setup_raises:
                failed = BatchError(stage.index, 0, (), "SetupError", "it raises", "")
                return _Outcome(
                    seconds, partial(self._tell, WorkerSetupFailed(self.number, failed))
                )

        kills = any(self.world.workload.work[stage.index].setup_kills for stage in stages)

        def ready() -> None:
            self.pool = action.pool
            self.hosted.add(action.pool)
            if action.node_setup:
                self.world.prepared.add((action.pool, self.node))
            self.world.tell(self, WorkerReady(self.number, seconds))

        return _Outcome(seconds, ready, dies="its set-up ended it" if kills else "")

    def teardown(self) -> _Outcome:
        """Tear everything down and end."""

        def stopped() -> None:
            self.alive = False
            self.world.freed(self)
            self.world.tell(self, WorkerStopped(self.number))

        return _Outcome(self.world.workload.teardown_s, stopped)

    def call(self, call: Call, tasks: Sequence[TaskPath]) -> _Outcome:
        """Take new input, if any; work on the oldest; return at most one block."""
        if call.pool not in self.hosted:
            raise ContractBroken(f"{call}: its pool is not set up in the worker")
        held = self.held.setdefault(call.pool, deque())
        if tasks:
            held.append(_Held(len(tasks), self._work(call.pool, tasks), call.skip))
        elif call.finish and not held:
            held.append(_Held(0, self._finish(call.pool), call.skip))
        if not held:
            raise ContractBroken(f"{call}: nothing to go on with")
        if len(held) == 1 and tasks and not call.skip and self._breaks():
            held.popleft()
            head = self.world.pools[call.pool].head
            error = BatchError(head.index, 0, (), "StoreFull", "the call broke", "")
            event = CallBroken(self.number, call.id, error)
            alone = len(tasks) <= head.batch_size
            lost = (head.index, tuple(tasks)) if alone else None
            return _Outcome(0.01, partial(self.world.broke, self, event, lost))
        report, outputs = CallReport(), list[tuple[TaskPath, int]]()
        self._spent = 0.0
        try:
            done = self._advance(held[0], report, outputs)
        except _Killed as killed:
            self.world.ledger.killers[killed.batch] += 1
            return _Outcome(self._spent, lambda: None, dies=str(killed))
        if done:
            held.popleft()
        report.finished = done and call.finish
        self._fill(report, outputs)

        return _Outcome(report.wall_s, partial(self.world.come_back, self, call, report, outputs))

    def _breaks(self) -> bool:
        faults, ledger = self.world.workload.faults, self.world.ledger
        breaks = ledger.broken < faults.most_broken and self.world.dice.random() < faults.breaks
        ledger.broken += breaks
        return breaks

    def _fill(self, report: CallReport, outputs: Outputs) -> None:
        report.out_tasks = len(outputs)
        report.out_bytes = sum(size for _, size in outputs)
        report.errors, self._errors = self._errors, []
        report.figures, self._figures = list(self._figures.values()), {}
        report.wall_s = self._spent

    def _advance(
        self, held: _Held, report: CallReport, outputs: list[tuple[TaskPath, int]]
    ) -> bool:
        """Work until the block is full, time is up or the input is finished (True)."""
        longest = self.world.workload.target_call_s * LONGEST_CALL
        size = 0
        try:
            for made, consumed in held.bits:
                for output in made:
                    held.emitted += 1
                    if held.emitted > held.skip:
                        outputs.append(output)
                        size += output[1]
                if consumed:
                    report.consumed += consumed
                    held.tasks -= consumed
                    held.emitted = held.skip = 0
                if size >= self.world.block_bytes or self._spent >= longest:
                    if consumed and held.tasks == 0:
                        continue
                    report.more = True
                    report.emitted_of_current = max(held.emitted, held.skip)
                    return False
        except _GivenUp as failure:
            self._errors.append(failure.error)
            report.consumed += held.tasks
        return True

    # Stages --------------------------------------------------------------------------------

    def _work(self, pool: PoolIndex, tasks: Sequence[TaskPath]) -> Iterator[Bit]:
        head = self.world.pools[pool].head
        for start in range(0, len(tasks), head.batch_size):
            batch = tuple(tasks[start : start + head.batch_size])
            try:
                yield from self._batch(pool, batch)
            except _GivenUp as failure:
                if failure.error.stage != head.index or not head.ignore_failures:
                    raise
                self._errors.append(failure.error)
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
        except _GivenUp as failure:
            if not stages[position].ignore_failures:
                raise
            self._errors.append(failure.error)
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
        seconds = work.seconds(world.clock.now + self._spent, world.dice)
        faults = world.workload.faults
        if faults.straggle and world.dice.random() < faults.straggle:
            seconds *= faults.straggle_by
        self._spent += seconds
        if not work.kills_on.isdisjoint(batch):
            raise _Killed((stage.index, batch))
        figures = self._figures.setdefault(stage.index, StageFigures(stage.index))
        if not work.raises_on.isdisjoint(batch):
            self._spent += seconds * (stage.attempts - 1)
            figures.retried += len(batch) * (stage.attempts - 1)
            world.ledger.failed.add((stage.index, batch))
            ids = tuple("_".join(map(str, path)) for path in batch)
            raise _GivenUp(BatchError(stage.index, len(batch), ids, "Raised", "it raises", ""))
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

    # Global stages -------------------------------------------------------------------------

    def _keep(self, pool: PoolIndex) -> set[TaskPath]:
        if self.world.pools[pool].head.keeps_state_in_scratch:
            return self.world.scratch.setdefault(pool, set())
        return self.taken_in.setdefault(pool, set())

    def _finish(self, pool: PoolIndex) -> Iterator[Bit]:
        stage = self.world.pools[pool].head.index
        work = self.world.workload.work[stage]
        for task in sorted(self._keep(pool)):
            self._spent += work.seconds(self.world.clock.now, self.world.dice)
            yield [(child, work.output_bytes) for child in work.children(stage, task)], 0
