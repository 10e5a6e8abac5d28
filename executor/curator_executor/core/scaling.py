"""Bring the workers there are to the workers wanted: start, re-assign, drain, stop.

Called by `step` when something changed that matters (a pool is done, a worker came or went, first
timings, the interval is over). Counts come from `sizing`, or counts and places from `planning`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from curator_executor.core.actions import Action, KillWorker, StartWorker, StopWorker
from curator_executor.core.allocation.room import packing_order, want_of
from curator_executor.core.assigning import assign, bound_to, free_for, keeps_state
from curator_executor.core.dispatch import may_start
from curator_executor.core.lifecycle import WorkerState
from curator_executor.core.planning import places_matter, plan
from curator_executor.core.room import Room
from curator_executor.core.sizing import PoolLoad, Sizing, size
from curator_executor.core.state import Pool, State, Worker
from curator_executor.core.turns import (
    FIRST_TIMINGS,
    NO_WORK,
    active_workers,
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
from curator_executor.core.types import NodeId, PoolIndex

# In place of a node's id: where the worker is does not matter.
ANYWHERE: NodeId = ""
# How often is looked whether costs have changed since workers were counted, by what factor that is
# a change, and by what factor the rate must be better for workers to move before their time.
COST_LOOK_S = 2.0
MOVED = 1.2
WORTH = 1.1


def scale(state: State, now: float) -> list[Action]:
    """Actions that bring the workers to the counts wanted."""
    state.scale_due = False
    if state.ending:
        return []
    state.next_scale_at = now + state.settings.autoscale_interval_s
    _let_in(state)
    state.is_planned = places_matter([pool.spec for pool in state.pools], state.nodes)
    sizing = _sizing(state, now)
    state.time_sharing = sizing.take_turns
    actions: list[Action] = []
    for pool in state.pools:
        pool.sized_for_s = _cost_s(state, pool)
        pool.wanted = sizing.wanted.get(pool.spec.index, 0)
        pool.places = (sizing.places or {}).get(pool.spec.index, {})
        pool.wanted_on_new_nodes = sizing.on_new_nodes.get(pool.spec.index, 0)
    actions += _end_waiting(state)
    _drain_surplus(state)
    actions += _reassign(state, sizing.reason, now)
    actions += _stop_useless(state)
    actions += _start_missing(state, sizing.reason, now)
    return actions


def costs_moved(state: State, now: float) -> bool:
    """Whether stages cost so much more or less than they did that other counts are much better."""
    if now < state.next_cost_look:
        return False
    state.next_cost_look = now + COST_LOOK_S
    moved = False
    for pool in state.pools:
        cost = _cost_s(state, pool)
        if cost and pool.sized_for_s and not pool.done:
            moved = moved or not 1 / MOVED <= cost / pool.sized_for_s <= MOVED
    if not moved or state.time_sharing:
        return False  # stages that take turns are looked at more often anyway
    wanted = _sizing(state, now).wanted
    open_ = [p for p in state.pools if wanted.get(p.spec.index) and p.spec.fixed_workers is None]
    costs = {p.spec.index: _cost_s(state, p) for p in open_}
    rates = [
        (p.wanted / cost, wanted[p.spec.index] / cost)
        for p in open_
        if (cost := costs[p.spec.index])
    ]
    return bool(rates) and min(new for _, new in rates) > WORTH * min(old for old, _ in rates)


def _sizing(state: State, now: float) -> Sizing:
    lenders = [pool for pool in state.pools if lends(state, pool)]
    loads = [_load(state, pool, lenders, now) for pool in state.pools if _is_open(state, pool)]
    to_come = state.nodes_to_come()
    if not state.is_planned:
        return size(loads, state.nodes, to_come)
    running: dict[NodeId, Counter[PoolIndex]] = {}
    for pool in state.pools:
        for worker in active_workers(state, pool):
            running.setdefault(worker.node, Counter())[pool.spec.index] += 1
    tied = {
        pool.spec.index: worker.node
        for pool in state.pools
        if pool.spec.head.is_global
        for worker in bound_to(state, pool)
    }
    return plan(loads, state.nodes, running, tied, to_come)


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
    for pool in sorted(state.pools, key=lambda p: -p.spec.index):
        index = pool.spec.index
        for node in _missing(state, pool):
            free = free_for(state, pool, node)
            if not free:
                continue
            # A worker that holds unfinished input of this pool is the only one that can finish it.
            worker = max(free, key=lambda w: (bool(w.units.get(index)), index in w.hosted, -w.id))
            why = reason.get(index, "")
            state.decide(now, index, f"give worker {worker.id} of {_name(state, worker)}", why)
            actions += assign(state, worker, pool, now)
    return actions


def _name(state: State, worker: Worker) -> str:
    return state.pools[worker.pool].spec.name


def _stop_useless(state: State) -> list[Action]:
    """Stop drained workers that no pool can take up.

    A worker that holds unfinished input, or a global stage's state, stays: only it can go on.
    """
    actions: list[Action] = []
    for worker in list(state.workers.values()):
        if not (worker.state is WorkerState.DRAINING and not worker.calls):
            continue
        if keeps_state(state, worker):
            continue
        waiting = [pool for pool in state.pools if _missing(state, pool)]
        blocked_room = any(not may_share(state, worker.pool, p.spec.index) for p in waiting)
        done = state.pools[worker.pool].done
        needed_later = state.time_sharing and not blocked_room
        if (done and not needed_later) or blocked_room or not state.time_sharing:
            worker.go(WorkerState.STOPPING)
            why = "its stage is done" if done else "its resources are needed elsewhere"
            actions.append(StopWorker(worker.id, why))
    return actions


def _start_missing(state: State, reason: dict[PoolIndex, str], now: float) -> list[Action]:
    room = _room_left(state)
    actions: list[Action] = []
    missing = {
        pool.spec.index: _missing(state, pool)
        for pool in state.pools
        if not (pool.spec.head.is_global and bound_to(state, pool))
    }
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
