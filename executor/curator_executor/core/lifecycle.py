"""The life of a worker as one table; an illegal move is a bug and says so."""

from __future__ import annotations

from enum import Enum


class WorkerState(Enum):
    """Where a worker is in its life."""

    STARTING = "starting"  # its process is coming up
    CREATED = "created"  # up; waits for its node to be prepared by another worker
    SETTING_UP = "setting up"
    READY = "ready"
    DRAINING = "draining"  # finishes what it has, takes nothing new
    STOPPING = "stopping"  # tearing down
    GONE = "gone"


class IllegalMove(AssertionError):
    """A worker was asked to make a move that its state does not allow."""


_ALLOWED: dict[WorkerState, frozenset[WorkerState]] = {
    WorkerState.STARTING: frozenset(
        {WorkerState.CREATED, WorkerState.SETTING_UP, WorkerState.STOPPING, WorkerState.GONE}
    ),
    WorkerState.CREATED: frozenset(
        {WorkerState.SETTING_UP, WorkerState.STOPPING, WorkerState.GONE}
    ),
    WorkerState.SETTING_UP: frozenset({WorkerState.READY, WorkerState.STOPPING, WorkerState.GONE}),
    WorkerState.READY: frozenset(
        {
            WorkerState.CREATED,  # changes stage, and waits for its node
            WorkerState.SETTING_UP,  # changes stage
            WorkerState.DRAINING,
            WorkerState.STOPPING,
            WorkerState.GONE,
        }
    ),
    WorkerState.DRAINING: frozenset(
        {
            WorkerState.READY,
            WorkerState.CREATED,
            WorkerState.SETTING_UP,
            WorkerState.STOPPING,
            WorkerState.GONE,
        }
    ),
    WorkerState.STOPPING: frozenset({WorkerState.GONE}),
    WorkerState.GONE: frozenset(),
}


def move(worker: int, current: WorkerState, target: WorkerState) -> WorkerState:
    """The new state.

    Raises:
        IllegalMove: the table does not allow it.
    """
    if target not in _ALLOWED[current]:
        raise IllegalMove(f"worker {worker}: {current.value} -> {target.value} is not a legal move")
    return target
