"""What can happen to a run. Made by the worker pool and the loop, consumed by `step`."""

from __future__ import annotations

from dataclasses import dataclass

from curator_executor.core.types import (
    BatchError,
    CallId,
    CallReport,
    DeviceId,
    Node,
    NodeId,
    WorkerId,
)


@dataclass(frozen=True, slots=True)
class WorkerCreated:
    """A worker's process is up on a node, with these GPUs; nothing is set up in it."""

    worker: WorkerId
    node: NodeId
    devices: tuple[DeviceId, ...] = ()


@dataclass(frozen=True, slots=True)
class WorkerReady:
    """A worker has set up the stages of its pool."""

    worker: WorkerId
    setup_s: float


@dataclass(frozen=True, slots=True)
class WorkerSetupFailed:
    """Set-up raised in every attempt allowed."""

    worker: WorkerId
    error: BatchError


# The reason of a death that no batch can be blamed for.
NODE_GONE = "its node is gone"


@dataclass(frozen=True, slots=True)
class WorkerDied:
    """A worker's process is gone. Calls that it had are lost.

    Attributes:
        worker: who.
        reason: why, as far as it is known.
        task_ids: of the batch that it ran by itself, if it did.
        inputs: that batch's tasks, pickled; b"" where they are too large.
        stage: index of the stage that had that batch, if known.
    """

    worker: WorkerId
    reason: str
    task_ids: tuple[str, ...] = ()
    inputs: bytes = b""
    stage: int | None = None


@dataclass(frozen=True, slots=True)
class WorkerStopped:
    """A worker ended after `StopWorker`: its stages were torn down."""

    worker: WorkerId
    teardown_error: str = ""


@dataclass(frozen=True, slots=True)
class CallDone:
    """A call came back."""

    worker: WorkerId
    call: CallId
    report: CallReport


@dataclass(frozen=True, slots=True)
class CallBroken:
    """A call could not be carried out though the worker lives (store full, cannot unpickle)."""

    worker: WorkerId
    call: CallId
    error: BatchError


@dataclass(frozen=True, slots=True)
class NodesChanged:
    """The nodes that there are now; workers on others are lost."""

    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """The user wants the run to end."""

    reason: str


@dataclass(frozen=True, slots=True)
class Tick:
    """Nothing happened, but a timer is due."""


Event = (
    WorkerCreated
    | WorkerReady
    | WorkerSetupFailed
    | WorkerDied
    | WorkerStopped
    | CallDone
    | CallBroken
    | NodesChanged
    | CancelRequested
    | Tick
)
