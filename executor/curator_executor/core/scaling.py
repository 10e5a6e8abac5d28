"""Bring the workers there are to the workers wanted: start, re-assign, drain, stop.

Called by `step` when something changed that matters (a pool is done, a worker came or went, first
timings, the interval is over). Counts come from `sizing`.
"""

from __future__ import annotations

from curator_executor.core.actions import Action, KillWorker, SetupWorker, StartWorker, StopWorker
from curator_executor.core.dispatch import may_start
from curator_executor.core.lifecycle import WorkerState
from curator_executor.core.sizing import PoolLoad, Room, size
from curator_executor.core.state import Pool, State, Worker
from curator_executor.core.turns import (
    FIRST_TIMINGS,
    NO_WORK,
    active_workers,
    has_input,
    has_room,
    held_units,
    lends,
    live_workers,
    may_share,
    most_workers,
    pending_workers,
    rank,
    useful_workers,
    worth_a_node,
)
from curator_executor.core.types import PoolIndex


def scale(state: State, now: float) -> list[Action]:
    """Actions that bring the workers to the counts wanted."""
    state.scale_due = False
    if state.ending:
        return []
    state.next_scale_at = now + state.settings.autoscale_interval_s
    _let_in(state)
    lenders = [pool for pool in state.pools if lends(state, pool)]
    loads = [_load(state, pool, lenders, now) for pool in state.pools if _is_open(state, pool)]
    sizing = size(loads, state.nodes, state.nodes_to_come())
    state.time_sharing = sizing.take_turns
    actions: list[Action] = []
    for pool in state.pools:
        pool.wanted = sizing.wanted.get(pool.spec.index, 0)
        pool.wanted_on_new_nodes = sizing.on_new_nodes.get(pool.spec.index, 0)
    actions += _end_waiting(state)
    _drain_surplus(state)
    actions += _reassign(state, sizing.reason, now)
    actions += _stop_useless(state)
    actions += _start_missing(state, sizing.reason, now)
    return actions


def _is_open(state: State, pool: Pool) -> bool:
    return not pool.done and may_start(state, pool)


def _load(state: State, pool: Pool, lenders: list[Pool], now: float) -> PoolLoad:
    index = pool.spec.index
    head = pool.spec.head
    most = most_workers(state, pool)
    if state.upstream_done(index):
        waiting = -(-pool.queued_tasks // head.batch_size) + len(pool.suspects)
        most = min(most, max(1, waiting + held_units(state, index)))
    fixed = pool.spec.fixed_workers
    if fixed is None and head.workers_per_node is not None:
        fixed = max(1, round(head.workers_per_node * len(state.nodes)))
    if fixed is not None and state.settings.max_workers_per_stage is not None:
        fixed = min(fixed, state.settings.max_workers_per_stage)
    place = rank(state, pool, now)
    return PoolLoad(
        index=index,
        need=pool.spec.need,
        fixed=fixed,
        most=most,
        least=head.min_workers,
        cost_s=_cost_s(state, pool),
        rank=place,
        has_work=place[0] < NO_WORK,
        lends=pool in lenders,
        useful=useful_workers(state, pool, lenders) if lenders or state.groups else 0,
        groups=pool.spec.worker_groups,
        grows=worth_a_node(state, pool) if state.groups else 0,
    )


def _cost_s(state: State, pool: Pool) -> float | None:
    """Worker seconds of this pool per task of the first pool, fan-out measured."""
    if pool.samples < FIRST_TIMINGS or pool.seconds_per_task is None:
        return None
    ratio = 1.0
    for before in state.pools[: pool.spec.index]:
        if before.consumed:
            ratio *= before.emitted / before.consumed
    return pool.seconds_per_task * ratio


def _let_in(state: State) -> None:
    """Workers that waited for a node have one, as soon as there is room for them."""
    room = Room(state.nodes)
    for worker in sorted(state.workers.values(), key=lambda each: each.pending):
        spec = state.pools[worker.pool].spec
        if room.place(spec.need, spec.worker_groups, worker.node or None) is not None:
            worker.pending = False


def _end_waiting(state: State) -> list[Action]:
    """Give workers that wait for a node in vain to a pool that wants one, or end them."""
    actions: list[Action] = []
    for pool in state.pools:
        index = pool.spec.index
        for worker in pending_workers(state, pool)[pool.wanted_on_new_nodes :]:
            others = [
                other
                for other in state.pools
                if _missing_on_new_nodes(state, other) > 0
                and may_share(state, index, other.spec.index)
            ]
            if not others:
                worker.go(WorkerState.STOPPING)
                actions.append(KillWorker(worker.id, "no node is wanted for it any more"))
                continue
            pool.workers.discard(worker.id)
            others[0].workers.add(worker.id)
            worker.pool = others[0].spec.index
    return actions


def _drain_surplus(state: State) -> None:
    short = {pool.spec.index for pool in state.pools if _missing(state, pool) > 0}
    for pool in state.pools:
        mine = live_workers(state, pool)
        keep = active_workers(state, pool)
        surplus = len(keep) - pool.wanted
        if surplus > 0:
            # First those that are set up for a pool that is short of workers, or alone have what
            # it needs; of these the ones with the least to finish.
            keep.sort(key=lambda w: (not w.hosted & short, len(w.calls), -w.id))
            for worker in [w for w in keep if w.state is WorkerState.READY][:surplus]:
                worker.go(WorkerState.DRAINING)
        elif surplus < 0:
            for worker in [w for w in mine if w.state is WorkerState.DRAINING][:-surplus]:
                worker.go(WorkerState.READY)


def _missing(state: State, pool: Pool) -> int:
    return pool.wanted - len(active_workers(state, pool))


def _missing_on_new_nodes(state: State, pool: Pool) -> int:
    return pool.wanted_on_new_nodes - len(pending_workers(state, pool))


def _reassign(state: State, reason: dict[PoolIndex, str], now: float) -> list[Action]:
    actions: list[Action] = []
    for pool in sorted(state.pools, key=lambda p: -p.spec.index):
        index = pool.spec.index
        for _ in range(max(0, _missing(state, pool))):
            free = _free_for(state, pool)
            if not free:
                break
            # A worker that holds unfinished input of this pool is the only one that can finish it.
            worker = max(free, key=lambda w: (bool(w.units.get(index)), index in w.hosted, -w.id))
            why = reason.get(index, "")
            state.decide(now, index, f"give worker {worker.id} of {_name(state, worker)}", why)
            actions += assign(state, worker, pool, now)
    return actions


def _name(state: State, worker: Worker) -> str:
    return state.pools[worker.pool].spec.name


def _free_for(state: State, pool: Pool) -> list[Worker]:
    index = pool.spec.index
    bound = _bound_to(state, pool)
    free = []
    for worker in bound or state.workers.values():
        if bound and worker.state is WorkerState.READY and worker.pool != index:
            worker.go(WorkerState.DRAINING)  # it alone can go on with what it holds
        if worker.state is not WorkerState.DRAINING or worker.calls or worker.pool == index:
            continue
        if pool.workers and _is_held_up(state, worker):
            continue  # what it could go on with would wait for nothing: the pool has workers
        if may_share(state, worker.pool, index):
            free.append(worker)
    return free


def _bound_to(state: State, pool: Pool) -> list[Worker]:
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


def _keeps_state(state: State, worker: Worker) -> bool:
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
    for worker in state.workers.values():
        if len(worker.hosted) < 2 or not worker.is_free:
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
        return []
    pool.workers_started += 1
    if state.nodes_prepared.get((pool.spec.index, worker.node)) == "preparing":
        worker.go(WorkerState.CREATED)  # goes on when the other one has prepared the node
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
    key = (pool.spec.index, worker.node)
    if key in state.nodes_prepared:
        return False
    state.nodes_prepared[key] = "preparing"
    worker.prepares_node = True
    return True


def _stop_useless(state: State) -> list[Action]:
    """Stop drained workers that no pool can take up.

    A worker that holds unfinished input, or a global stage's state, stays: only it can go on.
    """
    actions: list[Action] = []
    for worker in list(state.workers.values()):
        if not (worker.state is WorkerState.DRAINING and not worker.calls):
            continue
        if _keeps_state(state, worker):
            continue
        waiting = [pool for pool in state.pools if _missing(state, pool) > 0]
        blocked_room = any(not may_share(state, worker.pool, p.spec.index) for p in waiting)
        done = state.pools[worker.pool].done
        needed_later = state.time_sharing and not blocked_room
        if (done and not needed_later) or blocked_room or not state.time_sharing:
            worker.go(WorkerState.STOPPING)
            why = "its stage is done" if done else "its resources are needed elsewhere"
            actions.append(StopWorker(worker.id, why))
    return actions


def _start_missing(state: State, reason: dict[PoolIndex, str], now: float) -> list[Action]:
    room = Room(state.nodes)
    for worker in state.workers.values():
        spec = state.pools[worker.pool].spec
        if not worker.pending:
            room.place(spec.need, spec.worker_groups, worker.node or None)
    actions: list[Action] = []
    missing = {
        pool.spec.index: max(0, _missing(state, pool))
        for pool in state.pools
        if not (pool.spec.head.is_global and _bound_to(state, pool))
    }
    # Round by round, so that every pool has its first worker before any has its second.
    while any(missing.values()):
        for pool in state.pools:
            index = pool.spec.index
            if not missing.get(index):
                continue
            if room.place(pool.spec.need, pool.spec.worker_groups) is None:
                missing[index] = 0
                continue
            missing[index] -= 1
            actions.append(_start(state, pool, reason, now))
    for pool in state.pools:
        actions += [
            _start(state, pool, reason, now, pending=True)
            for _ in range(_missing_on_new_nodes(state, pool))
        ]
    return actions


def _start(
    state: State, pool: Pool, reason: dict[PoolIndex, str], now: float, *, pending: bool = False
) -> StartWorker:
    index = pool.spec.index
    worker = Worker(state.next_worker, index, now, pending=pending)
    state.next_worker += 1
    state.workers[worker.id] = worker
    pool.workers.add(worker.id)
    pool.workers_started += 1
    return StartWorker(worker.id, index, reason.get(index, ""))
