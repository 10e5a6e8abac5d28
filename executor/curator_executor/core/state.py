"""What the core knows of a run: pools, workers, blocks. Changed by `step` and its parts alone."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from curator_executor.core.cost import Cost
from curator_executor.core.errors import CuratorError
from curator_executor.core.lifecycle import WorkerState, move
from curator_executor.core.types import (
    SOURCE_BLOCK,
    BatchError,
    BlockId,
    Call,
    DeviceId,
    Node,
    NodeGroup,
    NodeId,
    PoolIndex,
    PoolSpec,
    Segment,
    StageFigures,
    Suspect,
    Unit,
    WorkerId,
)

MIB = 1024 * 1024
CALLS_PER_WORKER = 2


@dataclass(frozen=True, slots=True)
class CoreSettings:
    """Options of a run that the core reads; times in seconds.

    Attributes:
        batch_mode: a pool starts when the one before it is done.
        max_workers_per_stage: most workers of one pool, or None.
        autoscale_interval_s: between scaling decisions.
        target_call_s: work that one call aims at.
        max_block_bytes: most bytes that one call carries.
        call_cost_s: driver time of one call, measured: 0.5 ms on a 2-core machine, Ray 2.60.
        max_failures: dead letters after which the run fails, or None.
        quantum_s: how long a pool keeps a worker that others wait for.
        setup_deaths_allowed: workers of a pool that may die, one after another, before ready.
    """

    batch_mode: bool = False
    max_workers_per_stage: int | None = None
    autoscale_interval_s: float = 180.0
    target_call_s: float = 0.1
    max_block_bytes: int = 16 * MIB
    call_cost_s: float = 0.0006
    max_failures: int | None = None
    quantum_s: float = 2.0
    setup_deaths_allowed: int = 3


@dataclass(slots=True)
class Block:
    """Tasks that wait as input of a pool; released when all of them are finished."""

    id: BlockId
    pool: PoolIndex
    tasks: int
    bytes: int
    left: int


@dataclass(slots=True)
class Worker:
    """A worker and what it has been given.

    Attributes:
        node: where it is, or is to be; "" as long as that is left to Ray.
        devices: its GPUs, once they are known.
        hosted: pools whose stages are set up in it.
        units: unfinished input by pool; the first unit of the current pool is worked on.
        calls: calls in flight, oldest first; at most two.
        since: when it was given its current pool; from set-up's end on, when it could begin.
        came_up_s: seconds that its start and set-up for that pool took.
        prepares_node: it runs the node's set-up, for which others wait.
        written_off: it is being killed; its input is elsewhere, so what still comes of it is void.
        pending: started for a node that is not there yet, so that an autoscaler brings it.
        moves: it drains so that another one has its GPU; the plan still wants one like it.
        measured: pools for which it has finished a task.
        spent_s: seconds in calls that have finished no task yet, by pool.
    """

    id: WorkerId
    pool: PoolIndex
    since: float
    state: WorkerState = WorkerState.STARTING
    node: NodeId = ""
    devices: tuple[DeviceId, ...] = ()
    came_up_s: float = 0.0
    prepares_node: bool = False
    written_off: bool = False
    pending: bool = False
    moves: bool = False
    hosted: set[PoolIndex] = field(default_factory=set)
    measured: set[PoolIndex] = field(default_factory=set)
    spent_s: dict[PoolIndex, float] = field(default_factory=dict)
    units: dict[PoolIndex, deque[Unit]] = field(default_factory=dict)
    calls: deque[Call] = field(default_factory=deque)

    def go(self, target: WorkerState) -> None:
        """Change state; an illegal move raises."""
        self.state = move(self.id, self.state, target)

    def queue(self, pool: PoolIndex) -> deque[Unit]:
        """Its unfinished input of a pool."""
        return self.units.setdefault(pool, deque())

    @property
    def is_free(self) -> bool:
        """Ready, and no call is in flight."""
        return self.state in (WorkerState.READY, WorkerState.DRAINING) and not self.calls


@dataclass(slots=True)
class StageTotals:
    """A stage's figures since the run began."""

    figures: StageFigures
    failed: int = 0
    input_bytes: int = 0
    output_bytes: int = 0
    overhead_s: float = 0.0
    idle_s: float = 0.0
    setup_s: float = 0.0


@dataclass(slots=True)
class Pool:
    """A pool: its queue, its workers, what has been measured.

    Attributes:
        wanted: workers on the nodes there are.
        places: how many of them on which node; empty where that is left to Ray.
        wanted_on_new_nodes: workers that are to wait for a node, so that one comes.
        queue: input segments that wait.
        suspects: batches that run by themselves.
        cost: worker time per input task, from the newest calls.
        sized_for_s: worker time per pipeline input when workers were last counted.
        last_call_tasks: size of the last call that came back; growth is limited by it.
        out_bytes_per_call: largest recent block.
        accepted: input tasks ever.
        consumed: input tasks finished, failed ones included.
        emitted: output tasks.
        finish_emitted: outputs of a global stage's `finish` passed on.
        finished: a global stage has emitted everything.
        in_flight: calls that have not come back.
        waiting: by number of calls, none or one: workers that may take one more, the longest
            waiting first. Some may not be able to any more, which is seen when they are asked.
        going_on: of these, workers that hold input of a call that came back before it was finished.
    """

    spec: PoolSpec
    queue: deque[Segment] = field(default_factory=deque)
    suspects: deque[Suspect] = field(default_factory=deque)
    queued_tasks: int = 0
    held_bytes: int = 0
    workers: set[WorkerId] = field(default_factory=set)
    wanted: int = 0
    places: dict[NodeId, int] = field(default_factory=dict)
    wanted_on_new_nodes: int = 0
    cost: Cost = field(default_factory=Cost)
    sized_for_s: float | None = None
    samples: int = 0
    last_call_tasks: int = 0
    out_bytes_per_call: int = 0
    accepted: int = 0
    consumed: int = 0
    emitted: int = 0
    done: bool = False
    finish_emitted: int = 0
    finished: bool = False
    out_blocks: list[tuple[tuple[int, int], BlockId, int]] = field(default_factory=list)
    chunk: int = 0
    setup_deaths: int = 0
    workers_started: int = 0
    workers_died: int = 0
    calls: int = 0
    why_blocked: str = ""
    in_flight: int = 0
    waiting: tuple[dict[WorkerId, None], dict[WorkerId, None]] = field(
        default_factory=lambda: ({}, {})
    )
    going_on: dict[WorkerId, None] = field(default_factory=dict)

    @property
    def seconds_per_task(self) -> float | None:
        """Worker time per input task, recent; None before the first."""
        return self.cost.per_task


@dataclass(frozen=True, slots=True)
class Failure:
    """A batch that was given up on, and where and when."""

    error: BatchError
    node: NodeId
    at: float


@dataclass(slots=True)
class State:
    """A whole run.

    `groups` says which nodes an autoscaler may add to those that are there. Where `is_planned`,
    each worker is started on the node that was chosen for it. `store_bytes` is what the object
    stores of all nodes hold. `hosts_several` has the workers that have the stages of several pools
    set up, and some that had; `waits_for_its_node` those for whose node another one runs the
    set-up, and some that did.
    """

    settings: CoreSettings
    pools: list[Pool]
    totals: list[StageTotals]
    nodes: tuple[Node, ...]
    started_at: float
    groups: tuple[NodeGroup, ...] = ()
    workers: dict[WorkerId, Worker] = field(default_factory=dict)
    blocks: dict[BlockId, Block] = field(default_factory=dict)
    nodes_prepared: dict[tuple[PoolIndex, NodeId], str] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    next_worker: WorkerId = 1
    next_block: BlockId = SOURCE_BLOCK + 1
    next_call: int = 1
    next_scale_at: float = 0.0
    scaled_at: float = float("-inf")
    next_cost_look: float = 0.0
    scale_due: bool = True
    time_sharing: bool = False
    is_planned: bool = False
    ending: str = ""
    error: CuratorError | None = None
    error_batch: BatchError | None = None
    message: str = ""
    decisions: list[tuple[float, PoolIndex, str, str]] = field(default_factory=list)
    store_bytes: int = 0
    hosts_several: dict[WorkerId, None] = field(default_factory=dict)
    waits_for_its_node: dict[WorkerId, None] = field(default_factory=dict)

    def decide(self, now: float, pool: PoolIndex, what: str, why: str) -> None:
        """Note a decision, with its reason, for people; the loop takes them out."""
        self.decisions.append((now, pool, what, why))

    def may_take_more(self, worker: Worker) -> None:
        """Remember a worker that has become ready, has been given to a pool, or has a call less."""
        if len(worker.calls) < CALLS_PER_WORKER:
            pool = self.pools[worker.pool]
            pool.waiting[len(worker.calls)][worker.id] = None
            if len(worker.units.get(worker.pool, ())) > len(worker.calls):
                pool.going_on[worker.id] = None

    def has_batch(self, pool: Pool) -> bool:
        """Whether a batch of the pool waits: a whole one, or the last."""
        least = 1 if self.upstream_done(pool.spec.index) else pool.spec.head.batch_size
        return pool.queued_tasks >= least

    def upstream_done(self, pool: PoolIndex) -> bool:
        """Whether no more input will come."""
        return pool == 0 or self.pools[pool - 1].done

    def nodes_to_come(self) -> list[Node]:
        """The nodes that an autoscaler may still bring."""
        return [
            group.node
            for group in self.groups
            for _ in range(group.most - sum(n.group == group.node.group for n in self.nodes))
        ]

    def use_nodes(self, nodes: tuple[Node, ...]) -> None:
        """Work with these nodes from now on."""
        self.nodes = nodes
        self.store_bytes = sum(node.store_bytes for node in nodes)

    @property
    def ended(self) -> bool:
        """Ending, and no worker is left."""
        return bool(self.ending) and not self.workers


def new_state(
    pools: tuple[PoolSpec, ...],
    nodes: tuple[Node, ...],
    settings: CoreSettings,
    source_tasks: int,
    source_bytes: int,
    now: float,
) -> State:
    """A run that has not begun: all its input waits at the first pool."""
    records = [Pool(spec) for spec in pools]
    first = records[0]
    state = State(
        settings=settings,
        pools=records,
        totals=[StageTotals(StageFigures(s.index)) for spec in pools for s in spec.stages],
        nodes=nodes,
        started_at=now,
        next_scale_at=now + settings.autoscale_interval_s,
    )
    state.use_nodes(nodes)
    if source_tasks:
        whole = Block(SOURCE_BLOCK, 0, source_tasks, source_bytes, source_tasks)
        state.blocks[SOURCE_BLOCK] = whole
        first.queue.append(Segment(SOURCE_BLOCK, 0, source_tasks))
        first.queued_tasks = first.accepted = source_tasks
    return state
