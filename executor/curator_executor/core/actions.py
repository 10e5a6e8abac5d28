"""What `step` asks for. Carried out by the loop through the worker pool."""

from __future__ import annotations

from dataclasses import dataclass

from curator_executor.core.types import BlockId, Call, NodeId, PoolIndex, WorkerId


@dataclass(frozen=True, slots=True)
class StartWorker:
    """Start a process with the resources of the pool, on `node` if that is not "".

    `gpus` is what the pool's need is there.
    """

    worker: WorkerId
    pool: PoolIndex
    reason: str
    node: NodeId = ""
    gpus: float = 0.0


@dataclass(frozen=True, slots=True)
class SetupWorker:
    """Set up the pool's stages in the worker, after the node's own set-up where asked.

    `teardown` names a pool whose stages are finished and are torn down first.
    """

    worker: WorkerId
    pool: PoolIndex
    node_setup: bool
    teardown: PoolIndex | None = None


@dataclass(frozen=True, slots=True)
class SubmitCall:
    """Send a call to its worker."""

    call: Call


@dataclass(frozen=True, slots=True)
class StopWorker:
    """Let the worker tear its stages down, then end it."""

    worker: WorkerId
    reason: str


@dataclass(frozen=True, slots=True)
class KillWorker:
    """End the worker at once."""

    worker: WorkerId
    reason: str


@dataclass(frozen=True, slots=True)
class ReleaseBlock:
    """Nothing will read the block again."""

    block: BlockId


@dataclass(frozen=True, slots=True)
class KeepOutput:
    """The block is output of the last pool: keep it for the caller."""

    block: BlockId
    order: tuple[int, int]


Action = (
    StartWorker | SetupWorker | SubmitCall | StopWorker | KillWorker | ReleaseBlock | KeepOutput
)
