"""A simulated worker: does one thing after another in virtual time, and may die at any moment.

Called by `pool`. It keeps to the rules of `runtime.host.PoolHost`: at most one block a call, its
place kept when the block is full or time is up, replays that leave out what was passed on.
"""

from __future__ import annotations

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
    DeviceId,
    NodeId,
    PoolIndex,
    WorkerId,
)
from curator_executor.simulation.ledger import StagedBatch
from curator_executor.simulation.runner import (
    Bit,
    GivenUp,
    Killed,
    Outputs,
    SimulatedRunner,
    StageWorld,
)
from curator_executor.simulation.workload import TaskPath

# As in `runtime.host`: a call comes back after this many times its aim, finished or not.
LONGEST_CALL = 10


class ContractBroken(AssertionError):
    """The driver asked for something that no worker pool can do."""


class World(StageWorld, Protocol):
    """What a worker sees of its pool."""

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
    planned: NodeId = ""
    node: NodeId = ""
    devices: tuple[DeviceId, ...] = ()
    alive: bool = True
    hosted: set[PoolIndex] = field(default_factory=set)
    held: dict[PoolIndex, deque[_Held]] = field(default_factory=dict)
    jobs: deque[Job] = field(default_factory=deque)
    busy: bool = True
    runner: SimulatedRunner = field(init=False)

    def __post_init__(self) -> None:
        self.runner = SimulatedRunner(self.world)

    # Life ----------------------------------------------------------------------------------

    def place(self, node: NodeId, devices: tuple[DeviceId, ...]) -> None:
        """Its resources are there: the process comes up."""
        self.node = node
        self.devices = devices
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
            self.world.tell(self, WorkerCreated(self.number, self.node, self.devices))
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
            held.append(_Held(len(tasks), self.runner.work(call.pool, tasks), call.skip))
        elif call.finish and not held:
            held.append(_Held(0, self.runner.finish(call.pool), call.skip))
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
        self.runner.spent = 0.0
        try:
            done = self._advance(held[0], report, outputs)
        except Killed as killed:
            self.world.ledger.killers[killed.batch] += 1
            return _Outcome(self.runner.spent, lambda: None, dies=str(killed))
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
        report.errors, self.runner.errors = self.runner.errors, []
        report.figures, self.runner.figures = list(self.runner.figures.values()), {}
        report.wall_s = self.runner.spent

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
                if size >= self.world.block_bytes or self.runner.spent >= longest:
                    if consumed and held.tasks == 0:
                        continue
                    report.more = True
                    report.emitted_of_current = max(held.emitted, held.skip)
                    return False
        except GivenUp as failure:
            self.runner.errors.append(failure.error)
            report.consumed += held.tasks
        return True
