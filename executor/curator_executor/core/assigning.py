"""Give workers to pools: who may take up another stage, who must go on with what it holds.

Called by `scaling`, and by `step` after each dispatch.
"""

from __future__ import annotations

from curator_executor.core.actions import Action, SetupWorker
from curator_executor.core.backpressure import has_room
from curator_executor.core.lifecycle import WorkerState
from curator_executor.core.state import Pool, State, Worker
from curator_executor.core.turns import (
    active_workers,
    has_input,
    lends,
    may_share,
    most_workers,
)
from curator_executor.core.types import NodeId


def free_for(
    state: State, pool: Pool, node: NodeId, bound: list[Worker], drained: list[Worker]
) -> list[Worker]:
    """Workers that may be given to a pool now.

    Args:
        state: the run.
        pool: the pool.
        node: the only node where they may be, unless that is "".
        bound: what `bound_to` says of the pool.
        drained: workers that have been drained and have no call, of all pools.
    """
    index = pool.spec.index
    free = []
    for worker in bound or drained:
        if bound and worker.state is WorkerState.READY and worker.pool != index:
            worker.go(WorkerState.DRAINING)  # it alone can go on with what it holds
        if worker.state is not WorkerState.DRAINING or worker.calls or worker.pool == index:
            continue
        if node and worker.node != node and not bound:
            continue
        if pool.workers and _is_held_up(state, worker):
            continue  # what it could go on with would wait for nothing: the pool has workers
        if may_share(state, worker.pool, index):
            free.append(worker)
    return free


def bound_to(state: State, pool: Pool) -> list[Worker]:
    """The workers that alone can do what is left of a pool now; empty if any worker could.

    They hold its unfinished input, and nothing else waits; or the state of its global stage.
    """
    index = pool.spec.index
    if pool.spec.head.is_global:
        return [worker for worker in state.workers.values() if index in worker.hosted]
    if pool.queue or pool.suspects:
        return []
    return [worker for worker in state.workers.values() if worker.units.get(index)]


def _is_held_up(state: State, worker: Worker) -> bool:
    """Whether it alone could go on now with its current pool: with input or state that it has."""
    pool = state.pools[worker.pool]
    if not worker.units.get(worker.pool) and (pool.done or not pool.spec.head.is_global):
        return False
    return not lends(state, pool)


def keeps_state(state: State, worker: Worker) -> bool:
    """Whether it must not end: it holds unfinished input, or what a global stage has taken in."""
    return any(worker.units.values()) or any(
        pool.spec.head.is_global
        and not pool.spec.head.keeps_state_in_scratch
        and not pool.done
        and pool.consumed > 0
        for pool in (state.pools[index] for index in worker.hosted)
    )


def call_home(state: State, now: float, *, ignore_room: bool = False) -> list[Action]:
    """Send free workers back to what they alone can go on with, once there is room for it.

    Called after `dispatch`: a worker that is free then has nothing to do where it is.
    """
    actions: list[Action] = []
    for number in sorted(state.hosts_several):
        worker = state.workers.get(number)
        if worker is None or len(worker.hosted) < 2:
            del state.hosts_several[number]
            continue
        if not worker.is_free:
            continue
        for pool in reversed(state.pools):
            index = pool.spec.index
            if index == worker.pool or index not in worker.hosted or pool.done:
                continue
            waits = bool(worker.units.get(index)) or (
                pool.spec.head.is_global and has_input(state, pool)
            )
            if not waits or not (ignore_room or has_room(state, pool)):
                continue
            if _make_way(state, pool):
                state.decide(now, index, f"call worker {worker.id} back", "it holds its input")
                actions += assign(state, worker, pool, now)
                state.scale_due = True
                break
    return actions


def _make_way(state: State, pool: Pool) -> bool:
    """Whether the pool may have one more worker at work: one that is idle steps back for it."""
    active = active_workers(state, pool)
    if len(active) < most_workers(state, pool):
        return True
    for worker in active:
        idle = worker.state is WorkerState.READY and not worker.calls
        if idle and not worker.units.get(pool.spec.index):
            worker.go(WorkerState.DRAINING)
            return True
    return False


def assign(state: State, worker: Worker, pool: Pool, now: float) -> list[Action]:
    """Give a worker to a pool; its stages are set up there unless they already are."""
    old = state.pools[worker.pool]
    old.workers.discard(worker.id)
    pool.workers.add(worker.id)
    worker.pool = pool.spec.index
    worker.since = now
    worker.came_up_s = 0.0
    if pool.spec.index in worker.hosted:
        if worker.state is WorkerState.DRAINING:
            worker.go(WorkerState.READY)
        state.may_take_more(worker)
        return []
    pool.workers_started += 1
    if state.nodes_prepared.get((pool.spec.index, worker.node)) == "preparing":
        worker.go(WorkerState.CREATED)  # goes on when the other one has prepared the node
        state.waits_for_its_node[worker.id] = None
        return []
    return [begin_setup(state, worker)]


def begin_setup(state: State, worker: Worker) -> SetupWorker:
    """Let a worker set up its pool; a pool that is done is torn down in it first."""
    pool = state.pools[worker.pool]
    worker.go(WorkerState.SETTING_UP)
    finished = next((index for index in worker.hosted if state.pools[index].done), None)
    if finished is not None:
        worker.hosted.discard(finished)
    return SetupWorker(worker.id, worker.pool, claim_node(state, worker, pool), finished)


def claim_node(state: State, worker: Worker, pool: Pool) -> bool:
    """Whether this worker is to prepare its node for the pool."""
    if not pool.spec.prepares_nodes:
        return False
    key = (pool.spec.index, worker.node)
    if key in state.nodes_prepared:
        return False
    state.nodes_prepared[key] = "preparing"
    worker.prepares_node = True
    return True
