"""Values that the core works on: stages and pools as data, segments of queued work, calls.

A *pool* is a group of workers that run the same stages: one stage, or several fused ones. A
*block* is what one call returned: some tasks whose payload stays in the object store; the core
knows its id, its number of tasks and its bytes. A *segment* is a run of tasks inside a block.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import ceil, inf

GIB = 2**30

WorkerId = int
CallId = int
BlockId = int
PoolIndex = int
NodeId = str
# A GPU on its node, as Ray names it.
DeviceId = str

# A GPU has less memory than its name says: one of 80 GB says 79.6 GiB of itself, one of 24 GB 22.5.
# Who asks for what it is named after means all of it.
NOMINAL = 1.08

# The tasks that the caller handed in; they stay in the driver and are encoded as they are needed.
SOURCE_BLOCK: BlockId = 0


@dataclass(frozen=True, slots=True)
class Need:
    """Resources of one worker.

    Attributes:
        cpus: cores.
        gpus: GPUs: a share below 1, else whole ones.
        memory: bytes of main memory.
        gpu_memory: bytes on one GPU. Where the memory of a node's GPUs is known, the share that
            this is of one counts there instead of `gpus`.
    """

    cpus: float = 1.0
    gpus: float = 0.0
    memory: int = 0
    gpu_memory: int = 0

    def on(self, node: Node) -> Need:
        """What a worker needs on a node; infinite GPUs where each has too little memory."""
        if not (self.gpu_memory and node.gpu_memory):
            return self
        return replace(self, gpus=gpu_share(self.gpu_memory, node.gpu_memory))


def gpu_share(memory: int, of: int) -> float:
    """The share of a GPU with `of` bytes that `memory` bytes are; infinite if the GPU has less.

    In ten-thousandths, as Ray counts.
    """
    share = ceil(10_000 * memory / of) / 10_000
    if share > NOMINAL:
        return inf
    return min(1.0, share)


@dataclass(frozen=True, slots=True)
class Node:
    """A node and what stages may use of it; `cpus` is after the allocation share.

    `group` names its worker group, "" where it has none; `gpu_memory` is what each of its GPUs has,
    in bytes, 0 where that is not known. A node that may come has no `id` yet.
    """

    id: NodeId
    cpus: float
    gpus: float = 0.0
    memory: int = 0
    store_bytes: int = 0
    group: str = ""
    gpu_memory: int = 0


@dataclass(frozen=True, slots=True)
class NodeGroup:
    """Nodes of one kind that an autoscaler brings when workers wait: what one has, how many."""

    node: Node
    most: int


@dataclass(frozen=True, slots=True)
class StageSpec:
    """A stage as far as scheduling is concerned.

    Attributes:
        index: position in the pipeline.
        name: its name.
        batch_size: tasks a batch.
        need: resources of one worker.
        fixed_workers: a pinned count, or None.
        workers_per_node: a pinned count on each node, or None.
        min_workers: fewest workers while there is work.
        max_workers: most workers, or None.
        attempts: times a batch is tried before it counts as failed.
        setup_attempts: times `setup` is tried in one worker.
        ignore_failures: a failed batch becomes a dead letter instead of ending the run.
        is_global: sees every task before it emits.
        is_pure: see `ProcessingStage.is_pure`.
        keeps_state_in_scratch: a new worker of a global stage finds its state in `scratch_dir`.
        deaths_allowed: workers that a batch may kill by itself before it counts as failed.
        fans_out: it may emit many tasks for one, as far as is known beforehand.
        env_key: stages with the same key may share a process.
        timeout_s: limit of one batch, or None.
        worker_groups: where it may run; empty means anywhere.
        prepares_nodes: it has a set-up of the node, for which workers there wait.
    """

    index: int
    name: str
    batch_size: int = 1
    need: Need = Need()
    fixed_workers: int | None = None
    workers_per_node: float | None = None
    min_workers: int = 0
    max_workers: int | None = None
    attempts: int = 1
    setup_attempts: int = 1
    ignore_failures: bool = False
    is_global: bool = False
    is_pure: bool = False
    keeps_state_in_scratch: bool = False
    deaths_allowed: int = 2
    fans_out: bool = False
    env_key: str = ""
    timeout_s: float | None = None
    worker_groups: tuple[str, ...] = ()
    prepares_nodes: bool = True


@dataclass(frozen=True, slots=True)
class PoolSpec:
    """Stages that share workers, in order, and why they do (or do not) share."""

    index: PoolIndex
    stages: tuple[StageSpec, ...]
    need: Need
    reason: str = ""

    @property
    def name(self) -> str:
        """Names of the stages, joined by `+`."""
        return "+".join(stage.name for stage in self.stages)

    @property
    def head(self) -> StageSpec:
        """The stage that takes the pool's input."""
        return self.stages[0]

    def may_share_workers(self, other: PoolSpec) -> bool:
        """Whether a worker of this pool may take up the other's stages, and the reverse."""
        return (
            self.need == other.need
            and not self.need.gpus
            and self.head.env_key == other.head.env_key
            and self.head.worker_groups == other.head.worker_groups
        )

    @property
    def worker_groups(self) -> tuple[str, ...]:
        """Where its workers may be; empty means anywhere."""
        return self.head.worker_groups

    @property
    def prepares_nodes(self) -> bool:
        """Whether a stage has a set-up of the node."""
        return any(stage.prepares_nodes for stage in self.stages)

    @property
    def fixed_workers(self) -> int | None:
        """The pinned count; only a stage by itself may be pinned."""
        return 1 if self.head.is_global else self.head.fixed_workers


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of tasks `[start, stop)` of one block, waiting or being worked on.

    Attributes:
        block: the block that holds the tasks.
        start: first task.
        stop: one past the last task.
        position: place of `start` in the stage's input; orders outputs in batch mode.
    """

    block: BlockId
    start: int
    stop: int
    position: int = 0

    @property
    def tasks(self) -> int:
        """How many tasks it has."""
        return self.stop - self.start

    def split(self, count: int) -> tuple[Segment, Segment]:
        """The first `count` tasks, and the rest."""
        middle = self.start + count
        return (
            replace(self, stop=middle),
            replace(self, start=middle, position=self.position + count),
        )


@dataclass(frozen=True, slots=True)
class Suspect:
    """One batch that runs in a call, and a worker, by itself.

    Attributes:
        segments: its tasks.
        deaths: workers that died while they ran it by itself.
        skip: its outputs that were already passed on.
    """

    segments: tuple[Segment, ...]
    deaths: int = 0
    skip: int = 0

    @property
    def tasks(self) -> int:
        """How many tasks it has."""
        return sum(segment.tasks for segment in self.segments)


@dataclass(slots=True)
class Unit:
    """The input of one call, as far as it is not finished.

    Attributes:
        segments: what is left, in order; starts at a batch boundary.
        suspect: set when the unit is a suspect batch.
        emitted: outputs passed on of the batch that the worker is in the middle of.
    """

    segments: list[Segment]
    suspect: Suspect | None = None
    emitted: int = 0

    @property
    def tasks(self) -> int:
        """How many tasks are left."""
        return sum(segment.tasks for segment in self.segments)


@dataclass(frozen=True, slots=True)
class BatchError:
    """A batch that its stage could not process.

    Attributes:
        stage: index of the stage.
        tasks: how many tasks the batch had.
        task_ids: their ids.
        error: type of the exception.
        message: its message.
        traceback: where it was raised.
        attempts: how often it was tried.
        emitted: outputs passed on before it failed.
        cause: pickled exception, or b"" where it cannot be pickled.
        inputs: encoded input tasks, for running the batch again by hand; b"" if too large.
        fatal: ends the run even with `ignore_failures`.
    """

    stage: int
    tasks: int
    task_ids: tuple[str, ...]
    error: str
    message: str
    traceback: str
    attempts: int = 1
    emitted: int = 0
    cause: bytes = b""
    inputs: bytes = b""
    fatal: bool = False


@dataclass(slots=True)
class StageFigures:
    """What one stage did in one call. Times in seconds."""

    stage: int
    process_s: float = 0.0
    batches: int = 0
    tasks_in: int = 0
    tasks_out: int = 0
    filtered: int = 0
    retried: int = 0
    items: int = 0
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    kept_samples: list[str] = field(default_factory=list)
    dropped_samples: list[tuple[str, str]] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class CallReport:
    """What a call to a worker gave back: figures for the driver, not payloads.

    Attributes:
        consumed: input tasks finished, in the order they were assigned.
        more: the worker holds unfinished work of its current input.
        emitted_of_current: outputs passed on so far of the batch it is in the middle of.
        out_tasks: tasks in the returned block; 0 means no block.
        out_bytes: serialised bytes of the block.
        in_bytes: serialised bytes of the inputs finished, estimated from their block.
        figures: per stage of the pool.
        errors: batches that failed.
        wall_s: seconds inside the call.
        idle_s: seconds since the previous call ended.
        finished: the global stage has emitted everything.
    """

    consumed: int = 0
    more: bool = False
    emitted_of_current: int = 0
    out_tasks: int = 0
    out_bytes: int = 0
    in_bytes: int = 0
    figures: list[StageFigures] = field(default_factory=list)
    errors: list[BatchError] = field(default_factory=list)
    wall_s: float = 0.0
    idle_s: float = 0.0
    finished: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """One call to a worker.

    Attributes:
        id: unique in the run.
        worker: who.
        pool: which stages.
        segments: new input; empty to go on with what the worker holds.
        block: id of the block that it may return.
        finish: the global stage is to emit.
        skip: outputs of `finish`, or of the first batch, that were already passed on.
        solo: the input is one suspect batch.
    """

    id: CallId
    worker: WorkerId
    pool: PoolIndex
    segments: tuple[Segment, ...]
    block: BlockId
    finish: bool = False
    skip: int = 0
    solo: bool = False
