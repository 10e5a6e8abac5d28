"""What a cluster would do for a pipeline: its best steady rate, what holds it up, what more brings.

Called by the commands `plan --nodes` and `simulate`. Nothing is run here: the figures are those of
the core's own allocation, for stages whose cost is known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from curator_executor.core.planning import plan
from curator_executor.core.sizing import PoolLoad, Sizing
from curator_executor.core.types import Node, PoolSpec

# Workers beyond any cluster: there is always more work than workers in a forecast.
MANY = 1_000_000
# A stage whose rate is this near to the lowest one holds the pipeline up too.
NEAR = 1.01


@dataclass(frozen=True, slots=True)
class StageCost:
    """What one stage costs and makes.

    Attributes:
        seconds: of one worker, for one task.
        outputs: tasks that it emits for one.
        setup_s: seconds from a worker's start until it can work.
    """

    seconds: float
    outputs: float = 1.0
    setup_s: float = 0.0


@dataclass(frozen=True, slots=True)
class PoolForecast:
    """A pool of workers in the steady state.

    Attributes:
        name: its stages.
        workers: how many.
        places: how many of them on nodes of each group.
        reason: why so many.
        rate: inputs of the pipeline a second that they let through.
        busy: share of their time that they work, at the pipeline's rate.
    """

    name: str
    workers: int
    places: dict[str, int]
    reason: str
    rate: float
    busy: float

    @property
    def waits(self) -> bool:
        """Not even one worker fits beside the others."""
        return self.workers == 0


@dataclass(frozen=True, slots=True)
class Forecast:
    """The steady state.

    Attributes:
        pools: in the pipeline's order.
        rate: inputs a second.
        bottlenecks: names of the pools that hold it up.
        gpus: GPUs that workers hold, and GPUs that work at that rate.
        one_more: rate with one more node of each group, by the group's name.
        takes_turns: there are more pools than fit, so the rate is an upper bound.
    """

    pools: tuple[PoolForecast, ...]
    rate: float
    bottlenecks: tuple[str, ...]
    gpus: tuple[float, float]
    one_more: dict[str, float]
    takes_turns: bool


def forecast(
    pools: Sequence[PoolSpec],
    costs: Sequence[StageCost],
    nodes: Sequence[Node],
    most_workers: int | None = None,
) -> Forecast:
    """The steady state of a pipeline on a cluster.

    Args:
        pools: the pipeline.
        costs: of each stage, in order; workers of a pool do the work of all its stages.
        nodes: what there is; nodes of one kind have the same `group`.
        most_workers: of any one pool, or None.
    """
    loads = _loads(pools, costs, nodes, most_workers)
    sizing = plan(loads, nodes, {}, {})
    rates = [_rate(load, sizing) for load in loads]
    rate = min(rates, default=0.0)
    group_of = {node.id: node.group for node in nodes}
    found = []
    for pool, each in zip(pools, rates, strict=True):
        places: Counter[str] = Counter()
        for node, count in (sizing.places or {})[pool.index].items():
            places[group_of[node]] += count
        found.append(
            PoolForecast(
                name=pool.name,
                workers=sizing.wanted[pool.index],
                places=dict(places),
                reason=sizing.reason[pool.index],
                rate=each,
                busy=min(1.0, rate / each) if each else 0.0,
            )
        )
    kinds = {node.group: node for node in nodes}
    one_more = {}
    for kind in kinds.values():
        more = plan(
            _loads(pools, costs, [*nodes, kind], most_workers),
            [*nodes, replace(kind, id=f"{kind.group}-more")],
            {},
            {},
        )
        one_more[kind.group] = min((_rate(load, more) for load in loads), default=0.0)
    gpus = [
        sum(count * pool.need.on(kinds[name]).gpus for name, count in each.places.items())
        for each, pool in zip(found, pools, strict=True)
    ]
    held = sum(gpus)
    busy = sum(mine * each.busy for mine, each in zip(gpus, found, strict=True))
    return Forecast(
        tuple(found),
        rate,
        tuple(each.name for each in found if each.rate <= rate * NEAR),
        (held, busy),
        one_more,
        sizing.take_turns,
    )


def pool_cost(pool: PoolSpec, costs: Sequence[StageCost]) -> StageCost:
    """What one task of a pool's head costs in all its stages, and makes."""
    seconds, outputs = 0.0, 1.0
    for stage in pool.stages:
        seconds += costs[stage.index].seconds * outputs
        outputs *= costs[stage.index].outputs
    return StageCost(seconds, outputs, sum(costs[stage.index].setup_s for stage in pool.stages))


def _loads(
    pools: Sequence[PoolSpec],
    costs: Sequence[StageCost],
    nodes: Sequence[Node],
    most_workers: int | None,
) -> list[PoolLoad]:
    loads = []
    ratio = 1.0
    for pool in pools:
        cost = pool_cost(pool, costs)
        head = pool.head
        limits = [each for each in (head.max_workers, most_workers) if each is not None]
        fixed = pool.fixed_workers
        if fixed is None and head.workers_per_node is not None:
            fixed = max(1, round(head.workers_per_node * len(nodes)))
        loads.append(
            PoolLoad(
                index=pool.index,
                need=pool.need,
                fixed=fixed,
                most=min(limits, default=MANY),
                least=head.min_workers,
                cost_s=cost.seconds * ratio,
                rank=(1, -pool.index),
                groups=pool.worker_groups,
            )
        )
        ratio *= cost.outputs
    return loads


def _rate(load: PoolLoad, sizing: Sizing) -> float:
    return sizing.wanted[load.index] / max(load.cost_s or 0.0, 1e-12)
