"""What must hold of a run's state after every step. Called in tests and by the simulator.

Each input task of a pool is in exactly one place: the queue, a suspect, a worker, or finished.
"""

from __future__ import annotations

import itertools

from curator_executor.core.lifecycle import WorkerState
from curator_executor.core.room import Room
from curator_executor.core.state import CALLS_PER_WORKER, Pool, State, Worker
from curator_executor.core.types import Segment


class Violation(AssertionError):
    """An invariant does not hold: a bug in the core."""


def _require(holds: bool, text: str) -> None:
    if not holds:
        raise Violation(text)


def check(state: State) -> None:
    """Check everything.

    Raises:
        Violation: something does not hold; says what.
    """
    for pool in state.pools:
        _check_pool(state, pool)
    _check_workers(state)
    _check_room(state)


def _segments(state: State, pool: Pool) -> list[Segment]:
    index = pool.spec.index
    found = list(pool.queue)
    for suspect in pool.suspects:
        found += suspect.segments
    for worker in state.workers.values():
        for unit in worker.units.get(index, ()):
            found += unit.segments
    return found


def _check_pool(state: State, pool: Pool) -> None:
    name = pool.spec.name
    queued = sum(segment.tasks for segment in pool.queue)
    _require(queued == pool.queued_tasks, f"{name}: queue has {queued}, says {pool.queued_tasks}")
    segments = _segments(state, pool)
    waiting = 0
    if pool.spec.index and state.settings.batch_mode:
        waiting = sum(tasks for _, _, tasks in state.pools[pool.spec.index - 1].out_blocks)
    there = sum(segment.tasks for segment in segments) + waiting
    _require(
        there + pool.consumed == pool.accepted or bool(state.ending),
        f"{name}: {there} tasks here + {pool.consumed} finished != {pool.accepted} accepted",
    )
    for segment in segments:
        _require(segment.tasks > 0, f"{name}: empty segment {segment}")
    ordered = sorted(segments, key=lambda segment: (segment.block, segment.start))
    doubled = [
        (before, after)
        for before, after in itertools.pairwise(ordered)
        if before.block == after.block and after.start < before.stop
    ]
    _require(not doubled, f"{name}: tasks in two places: {doubled[:5]}")
    held = sum(
        block.bytes for block in state.blocks.values() if block.pool == pool.spec.index and block.id
    )
    _require(held == pool.held_bytes, f"{name}: blocks hold {held} B, says {pool.held_bytes} B")
    if pool.done:
        _require(there == 0, f"{name}: done with {there} tasks left")


def _check_workers(state: State) -> None:
    for worker in state.workers.values():
        _require(worker.state is not WorkerState.GONE, f"worker {worker.id} is gone but listed")
        _require(
            len(worker.calls) <= CALLS_PER_WORKER, f"worker {worker.id}: {len(worker.calls)} calls"
        )
        _require(
            worker.id in state.pools[worker.pool].workers,
            f"worker {worker.id} is not in its pool",
        )
        if worker.state in (WorkerState.READY, WorkerState.DRAINING):
            _check_waiting(state, worker)
        if len(worker.hosted) > 1:
            _require(worker.id in state.hosts_several, f"worker {worker.id} hosts several pools")
        if worker.state is WorkerState.CREATED:
            _require(worker.id in state.waits_for_its_node, f"worker {worker.id} waits, unknown")
    for pool in state.pools:
        calls = [call for worker in state.workers.values() for call in worker.calls]
        running = sum(call.pool == pool.spec.index for call in calls)
        text = f"{pool.spec.name}: {running} calls, says {pool.in_flight}"
        _require(running == pool.in_flight, text)
    listed = sum(len(pool.workers) for pool in state.pools)
    _require(listed == len(state.workers), f"{listed} in pools, {len(state.workers)} workers")


def _check_waiting(state: State, worker: Worker) -> None:
    """Who can take one more call is known, and who can go on with what it holds."""
    pool, calls = state.pools[worker.pool], len(worker.calls)
    if calls == CALLS_PER_WORKER:
        return
    _require(worker.id in pool.waiting[calls], f"worker {worker.id} has {calls} calls, unknown")
    if len(worker.units.get(worker.pool, ())) > calls:
        _require(worker.id in pool.going_on, f"worker {worker.id} could go on, unknown")


def _check_room(state: State) -> None:
    for node in state.nodes:
        room = Room([node])
        # A worker that is still coming up may go anywhere: with one node that is this one.
        here = (node.id, "") if len(state.nodes) == 1 else (node.id,)
        for worker in state.workers.values():
            if worker.node in here and not worker.pending:
                fits = room.place(state.pools[worker.pool].spec.need) is not None
                _require(fits, f"over-committed: {len(state.workers)} workers, {node}")
