"""Bring the workers there are to the workers wanted: start, re-assign, drain, stop.

Called by `step` when `counting` says that it is time. Counts come from there, and where it matters
the nodes where workers are to be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from curator_executor.core.actions import Action, KillWorker, StartWorker, StopWorker
from curator_executor.core.allocation.room import packing_order, want_of
from curator_executor.core.assigning import assign, bound_to, free_for, keeps_state
from curator_executor.core.counting import cost_s, sizing_of
from curator_executor.core.lifecycle import WorkerState
from curator_executor.core.planning import places_matter
from curator_executor.core.room import Room
from curator_executor.core.state import Pool, State, Worker
from curator_executor.core.turns import (
    active_workers,
    live_workers,
    may_share,
    pending_workers,
)
from curator_executor.core.types import NodeId, PoolIndex

# In place of a node's id: where the worker is does not matter.
ANYWHERE: NodeId = ""


def scale(state: State, now: float) -> list[Action]:
    """Actions that bring the workers to the counts wanted."""
    state.scale_due = False
    state.scaled_at = now
    if state.ending:
        return []
    state.next_scale_at = now + state.settings.autoscale_interval_s
    _let_in(state)
    state.is_planned = places_matter([pool.spec for pool in state.pools], state.nodes)
    sizing = sizing_of(state, now)
    state.time_sharing = sizing.take_turns
    actions: list[Action] = []
    for pool in state.pools:
        pool.sized_for_s = cost_s(state, pool)
        pool.wanted = sizing.wanted.get(pool.spec.index, 0)
        pool.places = (sizing.places or {}).get(pool.spec.index, {})
        pool.wanted_on_new_nodes = sizing.on_new_nodes.get(pool.spec.index, 0)
    actions += _end_waiting(state)
    _drain_surplus(state)
    actions += _reassign(state, sizing.reason, now)
    actions += _stop_useless(state)
    actions += _start_missing(state, sizing.reason, now)
    return actions


def _let_in(state: State) -> None:
    """Workers that waited for a node have one, as soon as there is room for them."""
    if not any(worker.pending for worker in state.workers.values()):
        return
    room = Room(state.nodes)
    for worker in sorted(state.workers.values(), key=lambda each: each.pending):
        if _take_room(state, room, worker):
            worker.pending = False


def _take_room(state: State, room: Room, worker: Worker) -> bool:
    """Count a worker where it is, or where it fits; whether there is room for it."""
    spec = state.pools[worker.pool].spec
    place = room.place(spec.need, spec.worker_groups, worker.node or None, worker.devices)
    return place is not None


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
    short = {pool.spec.index for pool in state.pools if _missing(state, pool)}
    for pool in state.pools:
        for wanted, mine in _by_place(state, pool):
            keep = [w for w in mine if w.state is not WorkerState.DRAINING]
            surplus = len(keep) - wanted
            if surplus > 0:
                # First those that are set up for a pool that is short of workers, or alone have
                # what it needs; of these the ones with the least to finish.
                keep.sort(key=lambda w: (not w.hosted & short, len(w.calls), -w.id))
                for worker in [w for w in keep if w.state is WorkerState.READY][:surplus]:
                    worker.go(WorkerState.DRAINING)
            elif surplus < 0:
                draining = [w for w in mine if w.state is WorkerState.DRAINING and not w.moves]
                for worker in draining[:-surplus]:
                    worker.go(WorkerState.READY)


def _by_place(state: State, pool: Pool) -> Iterator[tuple[int, list[Worker]]]:
    """Workers wanted and workers that live, those that wait for a node left out; by node."""
    there: dict[NodeId, list[Worker]] = {node: [] for node in (ANYWHERE, *pool.places)}
    for worker in live_workers(state, pool):
        if not worker.pending:
            place = worker.node if state.is_planned else ANYWHERE
            there.setdefault(place, []).append(worker)
    wanted = pool.places if state.is_planned else {ANYWHERE: pool.wanted}
    for node, mine in there.items():
        yield wanted.get(node, 0), mine


def _missing(state: State, pool: Pool) -> list[NodeId]:
    """Where workers are to come: a node's id for each, or `ANYWHERE`."""
    if not state.is_planned:
        return [ANYWHERE] * (pool.wanted - len(active_workers(state, pool)))
    there = Counter(worker.node for worker in active_workers(state, pool))
    return [node for node, count in pool.places.items() for _ in range(max(0, count - there[node]))]


def _missing_on_new_nodes(state: State, pool: Pool) -> int:
    return pool.wanted_on_new_nodes - len(pending_workers(state, pool))


def _reassign(state: State, reason: dict[PoolIndex, str], now: float) -> list[Action]:
    actions: list[Action] = []
    drained = _drained(state)
    for pool in sorted(state.pools, key=lambda p: -p.spec.index):
        index = pool.spec.index
        bound = bound_to(state, pool)
        for node in _missing(state, pool) if bound or drained else ():
            free = free_for(state, pool, node, bound, drained)
            if not free:
                continue
            # A worker that holds unfinished input of this pool is the only one that can finish it.
            worker = max(free, key=lambda w: (bool(w.units.get(index)), index in w.hosted, -w.id))
            why = reason.get(index, "")
            state.decide(now, index, f"give worker {worker.id} of {_name(state, worker)}", why)
            actions += assign(state, worker, pool, now)
    return actions


def _drained(state: State) -> list[Worker]:
    """Workers that have been drained and have no call."""
    draining = WorkerState.DRAINING
    return [w for w in state.workers.values() if w.state is draining and not w.calls]


def _name(state: State, worker: Worker) -> str:
    return state.pools[worker.pool].spec.name


def _stop_useless(state: State) -> list[Action]:
    """Stop drained workers that no pool can take up.

    A worker that holds unfinished input, or a global stage's state, stays: only it can go on.
    """
    actions: list[Action] = []
    drained = _drained(state)
    waiting = [pool for pool in state.pools if drained and _missing(state, pool)]
    for worker in drained:
        if keeps_state(state, worker):
            continue
        blocked_room = any(not may_share(state, worker.pool, p.spec.index) for p in waiting)
        done = state.pools[worker.pool].done
        needed_later = state.time_sharing and not blocked_room
        if (done and not needed_later) or blocked_room or not state.time_sharing:
            worker.go(WorkerState.STOPPING)
            why = "its stage is done" if done else "its resources are needed elsewhere"
            actions.append(StopWorker(worker.id, why))
    return actions


def _start_missing(state: State, reason: dict[PoolIndex, str], now: float) -> list[Action]:
    actions: list[Action] = []
    missing = {
        pool.spec.index: _missing(state, pool)
        for pool in state.pools
        if not (pool.spec.head.is_global and bound_to(state, pool))
    }
    room = _room_left(state) if any(missing.values()) else Room(())
    # What is hard to place comes first, as in the plan; Ray then takes the GPUs that were meant.
    wants = [want_of(pool.spec.need) for pool in state.pools]
    order = packing_order(wants) if state.is_planned else range(len(wants))
    stuck: set[NodeId] = set()
    # Round by round, so that every pool has its first worker before any has its second; not where
    # all have their places.
    while any(missing.values()):
        for index in order:
            pool = state.pools[index]
            for node in _this_round(state, missing.get(index, [])):
                if pool.spec.need.gpus and node in stuck:
                    continue
                groups = pool.spec.worker_groups
                if room.place(pool.spec.need, groups, node or None) is not None:
                    actions.append(_start(state, pool, reason, now, node=node))
                elif node:
                    stuck.add(node)
                    _make_room(state, pool, node, now)
                else:
                    missing[index] = []
    for pool in state.pools:
        actions += [
            _start(state, pool, reason, now, pending=True)
            for _ in range(_missing_on_new_nodes(state, pool))
        ]
    return actions


def _this_round(state: State, missing: list[NodeId]) -> list[NodeId]:
    """Takes what is started in this round out of what is missing."""
    count = len(missing) if state.is_planned else 1
    now, missing[:] = missing[:count], missing[count:]
    return now


def _room_left(state: State) -> Room:
    """What is left beside the workers there are, those whose GPUs are known first."""
    room = Room(state.nodes)
    for worker in sorted(state.workers.values(), key=lambda each: not each.devices):
        if not worker.pending:
            _take_room(state, room, worker)
    return room


def _make_room(state: State, pool: Pool, node: NodeId, now: float) -> None:
    """Move the workers of one GPU of a node off it, where what is left lies in pieces.

    Counts fit, or the plan would be another one. If somebody is about to go there is nothing to do.
    """
    there = [worker for worker in state.workers.values() if worker.node == node]
    gone = (WorkerState.DRAINING, WorkerState.STOPPING)
    if any(worker.state in gone for worker in there) or not pool.spec.need.gpus:
        return
    where = next(each for each in state.nodes if each.id == node)
    share = {other.spec.index: other.spec.need.on(where).gpus for other in state.pools}
    by_device: dict[str, list[Worker]] = {}
    for worker in there:
        if 0 < share[worker.pool] < 1:
            by_device.setdefault(worker.devices[0] if worker.devices else "", []).append(worker)
    movable = [
        mine
        for name, mine in by_device.items()
        if name
        and all(w.state is WorkerState.READY for w in mine)
        and not any(state.pools[w.pool].spec.head.is_global for w in mine)
        and any(share[w.pool] < share[pool.spec.index] for w in mine)
    ]
    if movable:
        least = min(movable, key=lambda m: sum(share[w.pool] for w in m))
        for worker in least:
            worker.go(WorkerState.DRAINING)
            worker.moves = True
            why = f"its GPU is needed whole, or with more room, for {pool.spec.name}"
            state.decide(now, worker.pool, f"move worker {worker.id}", why)
        state.scale_due = True


def _start(
    state: State,
    pool: Pool,
    reason: dict[PoolIndex, str],
    now: float,
    *,
    node: NodeId = ANYWHERE,
    pending: bool = False,
) -> StartWorker:
    index = pool.spec.index
    worker = Worker(state.next_worker, index, now, node=node, pending=pending)
    state.next_worker += 1
    state.workers[worker.id] = worker
    pool.workers.add(worker.id)
    pool.workers_started += 1
    return StartWorker(worker.id, index, reason.get(index, ""), node, _gpus_at(state, pool, node))


def _gpus_at(state: State, pool: Pool, node: NodeId) -> float:
    """What a worker takes of GPUs on a node; if it may be anywhere, on the smallest that does."""
    need = pool.spec.need
    if not need.gpu_memory:
        return need.gpus
    if node:
        return next(need.on(each).gpus for each in state.nodes if each.id == node)
    groups = pool.spec.worker_groups
    anywhere = [*state.nodes, *(group.node for group in state.groups)]
    shares = [need.on(each).gpus for each in anywhere if not groups or each.group in groups]
    return max((share for share in shares if share <= 1), default=need.gpus)
