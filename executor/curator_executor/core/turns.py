"""Decide whose turn it is where stages share cores: who waits, who has a worker to spare.

Called by `step` after each dispatch and by `scaling`. Two things make stages take turns: more
stages than resources; and a stage whose work is tiny, which would hold a core and leave it idle.
"""

from __future__ import annotations

from curator_executor.core import backpressure
from curator_executor.core.lifecycle import WorkerState
from curator_executor.core.state import Pool, State, Worker
from curator_executor.core.types import PoolIndex

LIVE = (
    WorkerState.STARTING,
    WorkerState.CREATED,
    WorkerState.SETTING_UP,
    WorkerState.READY,
    WorkerState.DRAINING,
)
# Timings needed before a pool's cost counts: the first call also loads models and caches.
FIRST_TIMINGS = 2
# A turn lasts so many times what it took to begin it, or stages would mostly be set up.
TURN_PER_START = 4
# A node takes about so long to come: work that is done before is not worth one.
NODE_COMES_IN_S = 60.0
# Last in the queue for a first worker.
NO_WORK = 3


def live_workers(state: State, pool: Pool) -> list[Worker]:
    """A pool's workers that are not on their way out."""
    return [state.workers[w] for w in pool.workers if state.workers[w].state in LIVE]


def active_workers(state: State, pool: Pool) -> list[Worker]:
    """Those of them that take new input, or soon will: not the ones that wait for a node."""
    return [
        w
        for w in live_workers(state, pool)
        if w.state is not WorkerState.DRAINING and not w.pending
    ]


def pending_workers(state: State, pool: Pool) -> list[Worker]:
    """Those that wait for a node to come."""
    return [worker for worker in live_workers(state, pool) if worker.pending]


def is_runnable(state: State, pool: Pool) -> bool:
    """Whether a worker of the pool would have something to do now, and may do it."""
    return has_input(state, pool) and backpressure.has_room(state, pool)


def has_input(state: State, pool: Pool) -> bool:
    """Whether there is something that a worker of the pool could take up, room or not."""
    index = pool.spec.index
    if pool.suspects or state.has_batch(pool):
        return True
    if pool.spec.head.is_global and state.upstream_done(index) and not pool.finished:
        return True
    return held_units(state, index) > 0


def held_units(state: State, pool: PoolIndex) -> int:
    """Inputs of calls that workers hold and have not finished."""
    return sum(len(worker.units.get(pool, ())) for worker in state.workers.values())


def waiting_batches(state: State, pool: Pool) -> int:
    """Batches that wait, the ones in workers' hands included: so many workers have work."""
    queued = -(-pool.queued_tasks // pool.spec.head.batch_size)
    return queued + len(pool.suspects) + held_units(state, pool.spec.index)


def most_workers(state: State, pool: Pool) -> int:
    """Most workers that the pool is allowed."""
    head = pool.spec.head
    limits = (head.max_workers, state.settings.max_workers_per_stage, pool.spec.fixed_workers)
    return min((limit for limit in limits if limit is not None), default=1_000_000)


def may_share(state: State, one: PoolIndex, other: PoolIndex) -> bool:
    """Whether a worker of one pool may take up the other's stages."""
    return state.pools[one].spec.may_share_workers(state.pools[other].spec)


def rank(state: State, pool: Pool, now: float) -> tuple[int, int]:
    """Who gets a first worker first, when there are not enough for all.

    A pool that has work and is within its quantum keeps its worker; then those that have work,
    the furthest downstream first; then those that will have some, in order.
    """
    index = pool.spec.index
    mine = live_workers(state, pool)
    if not is_runnable(state, pool):
        busy = any(worker.calls for worker in mine)
        return (1, -index) if busy else (NO_WORK, index)
    if any(_is_in_its_turn(worker, state.settings.quantum_s, now) for worker in mine):
        return (0, -index)
    return (1 if not mine else 2, -index)


def _is_in_its_turn(worker: Worker, quantum_s: float, now: float) -> bool:
    """Whether it is not even ready, or has worked for less than a quantum."""
    if worker.state not in (WorkerState.READY, WorkerState.DRAINING):
        return True
    return now - worker.since < max(quantum_s, TURN_PER_START * worker.came_up_s)


def someone_waits(state: State) -> bool:
    """Whether a pool has work and no worker that may take it up."""
    return state.time_sharing and any(
        not pool.done and not active_workers(state, pool) and is_runnable(state, pool)
        for pool in state.pools
    )


def someone_is_free(state: State) -> bool:
    """Whether a worker has nothing to do."""
    return any(worker.is_free for worker in state.workers.values())


def someone_can_help(state: State) -> bool:
    """Whether a pool's only worker has nothing to do while another pool could use it."""
    idle = [
        pool
        for pool in state.pools
        if len(pool.workers) == 1
        and all(state.workers[w].state is WorkerState.READY for w in pool.workers)
        and lends(state, pool)
    ]
    return bool(idle) and any(_helpers(state, pool, idle) for pool in state.pools)


def lends(state: State, pool: Pool) -> bool:
    """Whether the pool can do without its one worker until it has work again.

    That worker is idle, or serves others already. Counts that the user set are kept, and so is a
    worker with state that would be lost with another stage's mistake. Memory that a stage asked
    for is meant for itself. Beside GPUs no core is lent: a GPU that waits for a stage to have its
    core back costs more than the core.
    """
    head = pool.spec.head
    if pool.done or not pool.workers_started or len(pool.workers) > 1:
        return False
    if head.fixed_workers is not None or head.workers_per_node is not None or head.min_workers:
        return False
    if pool.spec.need.memory or any(other.spec.need.gpus for other in state.pools):
        return False
    if head.is_global and not head.keeps_state_in_scratch:
        return False
    return all(state.workers[w].is_free for w in pool.workers) and not is_runnable(state, pool)


def worth_a_node(state: State, pool: Pool) -> int:
    """How many more workers have so much to do that a node should come for them.

    No more than there are, so that the number at most doubles before it is looked at again.
    """
    active = len(active_workers(state, pool))
    more = min(waiting_batches(state, pool), most_workers(state, pool)) - active
    if pool.seconds_per_task is None or more <= 0 or not is_runnable(state, pool):
        return 0
    waiting_s = pool.queued_tasks * pool.seconds_per_task / max(1, active)
    if state.upstream_done(pool.spec.index) and waiting_s < NODE_COMES_IN_S:
        return 0
    return min(more, max(1, active))


def useful_workers(state: State, pool: Pool, lenders: list[Pool]) -> int:
    """How many workers of the pool have something to do now, lent ones included."""
    active = len(active_workers(state, pool))
    waiting = waiting_batches(state, pool)
    return max(1, min(waiting, active + _helpers(state, pool, lenders)))


def _helpers(state: State, pool: Pool, lenders: list[Pool]) -> int:
    """How many of the lenders' idle workers would have something to do for this pool.

    What waits must be worth the set-up of the pool's stages in them.
    """
    index = pool.spec.index
    head = pool.spec.head
    if pool.done or pool in lenders or pool.samples < FIRST_TIMINGS:
        return 0
    if pool.spec.fixed_workers is not None or head.workers_per_node is not None:
        return 0
    active = len(active_workers(state, pool))
    more = min(waiting_batches(state, pool), most_workers(state, pool)) - active
    if more <= 0 or not is_runnable(state, pool):
        return 0
    each_s = state.totals[head.index].setup_s / max(1, pool.workers_started)
    waiting_s = pool.queued_tasks * (pool.seconds_per_task or 0.0) / (active + 1)
    is_worth_it = waiting_s > each_s or not state.upstream_done(index)
    idle = [
        state.workers[number]
        for lender in lenders
        for number in lender.workers
        if may_share(state, lender.spec.index, index)
    ]
    return min(more, sum(is_worth_it or index in worker.hosted for worker in idle))
