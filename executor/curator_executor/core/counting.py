"""When workers are to be counted, and what counting goes by: what each pool costs and may have.

Called by `scaling`, which then brings the workers there.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from math import ceil

from curator_executor.core.allocation.solve import TO_SPARE
from curator_executor.core.assigning import bound_to
from curator_executor.core.dispatch import may_start
from curator_executor.core.planning import plan
from curator_executor.core.sizing import PoolLoad, Sizing, size
from curator_executor.core.state import Pool, State
from curator_executor.core.turns import (
    FIRST_TIMINGS,
    NO_WORK,
    active_workers,
    lends,
    most_workers,
    rank,
    useful_workers,
    waiting_batches,
    worth_a_node,
)
from curator_executor.core.types import NodeId, PoolIndex

# How often is looked whether costs have changed since workers were counted, by what factor that is
# a change, and by what factor the rate must be better for workers to move before their time.
COST_LOOK_S = 2.0
MOVED = 1.2
WORTH = 1.1
# From so many workers and nodes on, each adds so much to the least time between two counts.
FEW_THINGS = 500
GAP_S = 0.0002


def is_due(state: State, now: float) -> bool:
    """Whether workers are to be counted now: something happened, it is time, or costs moved.

    With thousands of workers something always happens, and counting takes a while. It is put off
    then, so that it takes a tenth of the driver's time at most.
    """
    if state.scale_due:
        things = len(state.workers) + len(state.nodes)
        gap_s = max(0, things - FEW_THINGS) * GAP_S
        if now - state.scaled_at >= gap_s:
            return True
        state.next_scale_at = min(state.next_scale_at, state.scaled_at + gap_s)
    return now >= state.next_scale_at or _costs_moved(state, now)


def _costs_moved(state: State, now: float) -> bool:
    """Whether stages cost so much more or less than they did that other counts are much better."""
    if now < state.next_cost_look:
        return False
    state.next_cost_look = now + COST_LOOK_S
    moved = False
    for pool in state.pools:
        cost = cost_s(state, pool)
        if cost and pool.sized_for_s and not pool.done:
            moved = moved or not 1 / MOVED <= cost / pool.sized_for_s <= MOVED
    if not moved or state.time_sharing:
        return False  # stages that take turns are looked at more often anyway
    wanted = sizing_of(state, now).wanted
    open_ = [p for p in state.pools if wanted.get(p.spec.index) and p.spec.fixed_workers is None]
    rates = [
        (pool.wanted / cost, wanted[pool.spec.index] / cost)
        for pool in open_
        if (cost := cost_s(state, pool))
    ]
    return bool(rates) and min(new for _, new in rates) > WORTH * min(old for old, _ in rates)


def sizing_of(state: State, now: float) -> Sizing:
    """The workers that pools should have, and where, by what is known now."""
    lenders = [pool for pool in state.pools if lends(state, pool)]
    loads = [_load(state, pool, lenders, now) for pool in state.pools if _is_open(state, pool)]
    loads = _within_what_comes(state, loads)
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


def _within_what_comes(state: State, loads: list[PoolLoad]) -> list[PoolLoad]:
    """No more workers than have something to do with what the pool before can hand on.

    A pool that is nearly done has few workers left; without this those behind it would get all the
    room that it leaves.
    """
    found: list[PoolLoad] = []
    for load in loads:
        before = found[-1] if found and found[-1].index == load.index - 1 else None
        most = load.most
        if before and before.cost_s and load.cost_s and load.fixed is None:
            workers = before.most if before.fixed is None else before.fixed
            comes = TO_SPARE * workers / before.cost_s * load.cost_s
            useful = ceil(comes) + waiting_batches(state, state.pools[load.index])
            most = min(most, max(1, useful))
        found.append(replace(load, most=most))
    return found


def _is_open(state: State, pool: Pool) -> bool:
    return not pool.done and may_start(state, pool)


def _load(state: State, pool: Pool, lenders: list[Pool], now: float) -> PoolLoad:
    index = pool.spec.index
    head = pool.spec.head
    most = most_workers(state, pool)
    if state.upstream_done(index):
        most = min(most, max(1, waiting_batches(state, pool)))
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
        cost_s=cost_s(state, pool),
        rank=place,
        has_work=place[0] < NO_WORK,
        lends=pool in lenders,
        useful=useful_workers(state, pool, lenders) if lenders or state.groups else 0,
        groups=pool.spec.worker_groups,
        grows=worth_a_node(state, pool) if state.groups else 0,
    )


def cost_s(state: State, pool: Pool) -> float | None:
    """Worker seconds of this pool per task of the first pool, fan-out measured."""
    if pool.samples < FIRST_TIMINGS or pool.seconds_per_task is None:
        return None
    ratio = 1.0
    for before in state.pools[: pool.spec.index]:
        if before.consumed:
            ratio *= before.emitted / before.consumed
    return pool.seconds_per_task * ratio
