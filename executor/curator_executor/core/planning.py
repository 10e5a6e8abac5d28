"""Decide which pool has how many workers on which node, where nodes or workers differ.

Called by `scaling` instead of `sizing.size` where it matters on which node a worker is. Counts and
places come from `allocation`; this says what is asked of it, and why each pool has what it has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil

from curator_executor.core.allocation.change import reallocate
from curator_executor.core.allocation.demand import Allocation, Demand
from curator_executor.core.allocation.room import Load
from curator_executor.core.room import Room
from curator_executor.core.sizing import PoolLoad, Sizing, first_workers, size_new_nodes
from curator_executor.core.types import Need, Node, NodeId, PoolIndex, PoolSpec

# Rates this near to the lowest one count as lowest when a reason is given.
NEAR = 1.05


def places_matter(pools: Sequence[PoolSpec], nodes: Sequence[Node]) -> bool:
    """Whether workers are to be placed by us: with GPUs, or several nodes and unlike workers.

    Workers that are all alike can be put anywhere: as many fit either way.
    """
    alike = len({(pool.need, pool.worker_groups) for pool in pools}) <= 1
    return any(pool.need.gpus for pool in pools) or (len(nodes) > 1 and not alike)


def plan(
    loads: Sequence[PoolLoad],
    nodes: Sequence[Node],
    running: Mapping[NodeId, Mapping[PoolIndex, int]],
    tied: Mapping[PoolIndex, NodeId],
    to_come: Sequence[Node] = (),
) -> Sizing:
    """Workers wanted per pool, and where.

    Args:
        loads: pools that are not done.
        nodes: what stages may use.
        running: workers that each node has now, by pool.
        tied: pools with one worker that alone can do their work, and the node where it is.
        to_come: nodes that an autoscaler brings when workers wait for them.

    Returns:
        A count for each pool in `loads`; 0 for one that has to wait for its turn.
    """
    fixed = {load.index: load for load in loads if load.index in tied}
    for index, node in tied.items():
        nodes = _without(nodes, node, fixed[index].need) if index in fixed else nodes
    free = [load for load in loads if load.most > 0 and load.index not in fixed]
    in_order = sorted(free, key=lambda each: each.rank)
    found = _allocated(in_order, nodes, running)
    take_turns = not all(found.counts)
    if take_turns:
        in_order = _first_in_turn(in_order, nodes)
        found = _allocated(in_order, nodes, running)
    wanted = {load.index: int(load.index in fixed) for load in loads}
    wanted |= {load.index: count for load, count in zip(in_order, found.counts, strict=True)}
    places: dict[PoolIndex, dict[NodeId, int]] = {
        load.index: {tied[load.index]: 1} if load.index in fixed else {} for load in loads
    }
    for node, load_of_node in found.places.items():
        for load, count in zip(in_order, load_of_node, strict=True):
            if count:
                places[load.index][node] = count
    reason = {load.index: "it has what the stage took in" for load in loads}
    reason |= _reasons(in_order, found)
    for load in loads:
        if load.most > 0 and not wanted[load.index]:
            reason[load.index] = "waits for its turn: more stages than resources"
    sizing = Sizing(wanted, reason, take_turns, places=places)
    return size_new_nodes(sizing, loads, to_come) if to_come else sizing


def _without(nodes: Sequence[Node], node: NodeId, need: Need) -> list[Node]:
    """The nodes, less what one worker takes of one of them."""
    return [
        replace(
            each,
            cpus=each.cpus - need.cpus,
            gpus=each.gpus - ceil(need.on(each).gpus),
            memory=max(1, each.memory - need.memory) if each.memory > 0 else each.memory,
        )
        if each.id == node
        else each
        for each in nodes
    ]


def _allocated(
    loads: Sequence[PoolLoad],
    nodes: Sequence[Node],
    running: Mapping[NodeId, Mapping[PoolIndex, int]],
) -> Allocation:
    known = [load.cost_s for load in loads if load.cost_s is not None]
    assumed = sum(known) / len(known) if known else 1.0
    demands = [
        Demand(
            need=load.need,
            cost_s=load.cost_s if load.cost_s is not None else assumed,
            least=first_workers(load),
            most=load.most if load.fixed is None else load.fixed,
            groups=load.groups,
            is_pinned=load.fixed is not None,
        )
        for load in loads
    ]
    now: dict[NodeId, Load] = {
        node: tuple(mine.get(load.index, 0) for load in loads) for node, mine in running.items()
    }
    return reallocate(demands, nodes, now)


def _first_in_turn(in_order: Sequence[PoolLoad], nodes: Sequence[Node]) -> list[PoolLoad]:
    """The pools whose turn it is: in order, as long as one worker of each fits."""
    room = Room(nodes)
    return [load for load in in_order if room.place(load.need, load.groups) is not None]


def _reasons(loads: Sequence[PoolLoad], found: Allocation) -> dict[PoolIndex, str]:
    rates = {
        load.index: count / max(load.cost_s, 1e-12)
        for load, count in zip(loads, found.counts, strict=True)
        if load.cost_s is not None and load.fixed is None
    }
    lowest = min(rates.values(), default=0.0) * NEAR
    return {
        load.index: _reason(load, count, rates.get(load.index), lowest)
        for load, count in zip(loads, found.counts, strict=True)
    }


def _reason(load: PoolLoad, count: int, rate: float | None, lowest: float) -> str:
    if load.fixed is not None:
        there = f", and {count} fit" if count < load.fixed else ""
        return f"pinned{there}"
    if count >= load.most:
        return "as many as have something to do, or are allowed"
    if count <= first_workers(load):
        return "one worker at least" if count <= 1 else "as many as it is to have at least"
    if rate is None:
        return "equal share, nothing measured yet"
    return "slowest stage" if rate <= lowest else "keeps up with the slowest stage"
