"""`reallocate`: from the workers there are to better ones, and only if that is worth it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from curator_executor.core.allocation.demand import Allocation, Demand
from curator_executor.core.allocation.moves import settled
from curator_executor.core.allocation.room import Load
from curator_executor.core.allocation.solve import Solver, allocate
from curator_executor.core.types import Node, NodeId

# Workers stay where they are if so large a share of the best rate is had without moving them: a
# move costs the start of a process and its models, and costs of stages are measured to a few
# percent.
GOOD_ENOUGH = 0.97
# If less is had, a few nodes are loaded anew until more is: costs that change a little further must
# not move workers again at once.
EASED_TO = 0.99


def reallocate(
    demands: Sequence[Demand], nodes: Sequence[Node], running: Mapping[NodeId, Load]
) -> Allocation:
    """Workers of each stage, and where, with few moves from where they are.

    Args:
        demands: the stages.
        nodes: what they may use.
        running: workers of each stage on each node now; a node that is not named has none.

    Returns:
        What runs and what there is room for besides, if no allocation is much better; else the best
        one, on nodes chosen so that most workers stay.
    """
    if not any(any(load) for load in running.values()):
        return allocate(demands, nodes)
    solver = Solver(demands, nodes)
    kept = solver.kept(running)
    limits = [each.most / max(each.cost_s, 1e-12) for each in demands]
    bound = Solver(demands, nodes).bound()
    if bound < min(limits):
        # Nothing can be much better than these, so it is not looked for.
        if min(kept.counts) and _rate(demands, kept) >= GOOD_ENOUGH * bound:
            return kept
        eased = solver.eased(EASED_TO * bound)
        if min(eased.counts) and _rate(demands, eased) >= GOOD_ENOUGH * bound:
            return eased
    best = allocate(demands, nodes)
    has_least = _met(demands, kept) >= _met(demands, best)
    if has_least and _rate(demands, kept) >= GOOD_ENOUGH * _rate(demands, best):
        return kept
    return replace(best, places=settled(best.places, nodes, running))


def _rate(demands: Sequence[Demand], found: Allocation) -> float:
    """Of the stages that could use more workers: of the others the rate is as good as can be."""
    return min(
        (
            count / max(demand.cost_s, 1e-12)
            for demand, count in zip(demands, found.counts, strict=True)
            if count < demand.most
        ),
        default=float("inf"),
    )


def _met(demands: Sequence[Demand], found: Allocation) -> int:
    """Workers that stages are to have before any gets more."""
    pairs = zip(demands, found.counts, strict=True)
    return sum(min(count, demand.least, demand.most) for demand, count in pairs)
