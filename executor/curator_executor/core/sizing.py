"""Decide how many workers each pool should have. Called by `scaling`; never places or starts any.

Gives every pool that can use one a worker, then adds workers where the pipeline is slowest: at n
workers a pool that costs c seconds of work per pipeline input does n / c inputs a second, and the
pipeline runs at the least of these.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from curator_executor.core.room import Room
from curator_executor.core.types import (
    GIB,
    Need,
    Node,
    NodeId,
    PoolIndex,
    PoolSpec,
    StageSpec,
    gpu_share,
)


@dataclass(frozen=True, slots=True)
class PoolLoad:
    """What sizing needs to know of a pool that is not done.

    Attributes:
        index: the pool.
        need: resources of one worker.
        fixed: a pinned count, or None.
        most: workers beyond which more would have nothing to do, or are not allowed.
        least: workers wanted while there is room.
        cost_s: worker seconds per pipeline input, or None while unknown.
        rank: place in the queue for a first worker; smaller comes first.
        has_work: a worker would have something to do now.
        lends: it has nothing to do, and its worker may serve others until it has.
        useful: workers that have something to do now; counts only where a pool lends.
        groups: worker groups where it may run; empty means anywhere.
        grows: further workers that are worth a new node, where one may come.
    """

    index: PoolIndex
    need: Need
    fixed: int | None
    most: int
    least: int
    cost_s: float | None
    rank: tuple[int, int]
    has_work: bool = True
    lends: bool = False
    useful: int = 0
    groups: tuple[str, ...] = ()
    grows: int = 0


@dataclass(frozen=True, slots=True)
class Sizing:
    """Workers wanted per pool, the reason for each count, and whether pools take turns.

    Those in `on_new_nodes` come on top: they wait for a node, so that one comes. `places` says how
    many are to be on which node; None leaves that to Ray.
    """

    wanted: dict[PoolIndex, int]
    reason: dict[PoolIndex, str]
    take_turns: bool
    on_new_nodes: dict[PoolIndex, int] = field(default_factory=dict)
    places: dict[PoolIndex, dict[NodeId, int]] | None = None


def usable_cpus(cpus: float, share: float) -> float:
    """Cores of one node that stages may use: at least one, to the nearest whole core.

    A node with less than one core keeps what it has; one with none gives none.
    """
    if cpus < 1:
        return cpus
    return float(max(1, round(cpus * share)))


def size(loads: Sequence[PoolLoad], nodes: Sequence[Node], to_come: Sequence[Node] = ()) -> Sizing:
    """Workers wanted per pool.

    Args:
        loads: pools that are not done.
        nodes: what stages may use.
        to_come: nodes that an autoscaler brings when workers wait for them.

    Returns:
        A count for each pool in `loads`; 0 for one that has to wait for its turn.
    """
    tally = _Tally(loads, nodes)
    in_order = sorted(loads, key=lambda each: each.rank)
    trial = Room(nodes)
    take_turns = not all(trial.place(load.need, load.groups) for load in in_order if load.most > 0)
    # Where not all fit, a pool without work takes nothing away from those that have some.
    first = [load for load in in_order if load.has_work or not (take_turns or load.lends)]
    for load in first:
        tally.place_first(load)
    if any(load.lends for load in loads):
        tally.add_where_slowest([replace(e, most=min(e.most, e.useful)) for e in first])
        for load in in_order:
            if load.lends:
                tally.place_first(load)
    if not take_turns or all(tally.wanted[load.index] for load in first):
        tally.add_where_slowest(first)
    for load in in_order:
        if load not in first and not load.lends:
            tally.place_first(load)
    for load in loads:
        if not tally.wanted[load.index] and load.most > 0:
            take_turns = True  # one of each fits, but not with the least or pinned counts of others
            tally.reason[load.index] = (
                "has nothing to do: its core serves others"
                if load.lends
                else "waits for its turn: more stages than resources"
            )
    sizing = Sizing(tally.wanted, tally.reason, take_turns)
    return size_new_nodes(sizing, loads, to_come) if to_come else sizing


def size_new_nodes(sizing: Sizing, loads: Sequence[PoolLoad], to_come: Sequence[Node]) -> Sizing:
    """The same, with workers that are to wait for nodes that may come."""
    tally = _Tally(loads, to_come)
    tally.wanted, tally.reason = dict(sizing.wanted), dict(sizing.reason)
    in_order = sorted(loads, key=lambda each: each.rank)
    tally.ask_for_nodes(in_order, may_grow=not sizing.take_turns)
    added = {index: count - sizing.wanted[index] for index, count in tally.wanted.items()}
    on_new_nodes = {index: count for index, count in added.items() if count}
    return replace(sizing, reason=tally.reason, on_new_nodes=on_new_nodes)


def first_workers(load: PoolLoad) -> int:
    """The workers that a pool has before any other gets more of them."""
    return min(max(1, load.least), load.most) if load.fixed is None else load.fixed


class _Tally:
    """Workers counted so far, why, and the room that is left."""

    def __init__(self, loads: Sequence[PoolLoad], nodes: Sequence[Node]) -> None:
        self.room = Room(nodes)
        self.wanted = {load.index: 0 for load in loads}
        self.reason = {load.index: "" for load in loads}

    def place_first(self, load: PoolLoad) -> None:
        """The workers that a pool has before any other gets more of them."""
        for _ in range(first_workers(load) - self.wanted[load.index]):
            if self.room.place(load.need, load.groups) is None:
                return
            self.wanted[load.index] += 1
            self.reason[load.index] = "one worker at least" if load.fixed is None else "pinned"

    def add_where_slowest(self, loads: Sequence[PoolLoad]) -> None:
        """Further workers, one by one, for the pool with the lowest rate."""
        open_loads = [load for load in loads if load.fixed is None]
        known = [load.cost_s for load in open_loads if load.cost_s is not None]
        assumed = sum(known) / len(known) if known else 1.0
        while open_loads:
            # The furthest downstream among equals.
            slowest = min(
                open_loads,
                key=lambda load: (
                    self.wanted[load.index] / max(load.cost_s or assumed, 1e-9),
                    -load.index,
                ),
            )
            is_full = self.wanted[slowest.index] >= slowest.most
            if is_full or self.room.place(slowest.need, slowest.groups) is None:
                open_loads.remove(slowest)
                continue
            self.wanted[slowest.index] += 1
            self.reason[slowest.index] = (
                "slowest stage"
                if slowest.cost_s is not None
                else "equal share, nothing measured yet"
            )

    def ask_for_nodes(self, in_order: Sequence[PoolLoad], *, may_grow: bool) -> None:
        """Workers for nodes that are not there: first ones, then more of the slowest pool."""
        for load in in_order:
            if load.most > 0 and not load.lends:
                self.place_first(load)
        sized = [load for load in in_order if load.fixed is None and load.cost_s]
        while may_grow and sized:
            slowest = min(sized, key=lambda load: self.wanted[load.index] / (load.cost_s or 1.0))
            most = min(slowest.most, slowest.useful + slowest.grows)
            if self.wanted[slowest.index] >= most:
                return  # more of a faster one would not help
            if self.room.place(slowest.need, slowest.groups) is None:
                return
            self.wanted[slowest.index] += 1
            self.reason[slowest.index] = "slowest stage, and a node may come for it"


def check_pools_fit(
    pools: Sequence[PoolSpec], nodes: Sequence[Node], *, batch_mode: bool = False
) -> list[str]:
    """One sentence for each stage of which not even one worker fits; pools if all stages do.

    Each stage by itself first: of stages that share a worker, the message names the large one.
    Then the workers that must be there at once: a global stage that keeps its state in its process
    cannot step aside for the stages before it.

    Args:
        pools: the pipeline.
        nodes: what stages may use, nodes that may come included.
        batch_mode: each stage is done before the next begins, so none is beside another.
    """
    problems = [
        text for pool in pools for stage in pool.stages for text in _unfit(stage.name, stage, nodes)
    ]
    problems = problems or [text for pool in pools for text in _unfit(pool.name, pool, nodes)]
    if problems or batch_mode:
        return problems
    return [text for pool in pools for text in _unfit_beside_state(pools, pool, nodes)]


def _ties_its_worker(pool: PoolSpec) -> bool:
    return pool.head.is_global and not pool.head.keeps_state_in_scratch


def _unfit_beside_state(
    pools: Sequence[PoolSpec], holder: PoolSpec, nodes: Sequence[Node]
) -> list[str]:
    """Pools that feed a global stage and find no room beside the worker that has its state."""
    if not _ties_its_worker(holder):
        return []
    before = list(pools[: holder.index])
    last = max((pool.index for pool in before if pool.head.is_global), default=0)
    emitting = [pool for pool in before[last : last + 1] if _ties_its_worker(pool)]
    for feeder in before[last:]:
        beside = [holder, *(pool for pool in emitting if pool is not feeder)]
        if any(feeder.may_share_workers(pool) for pool in beside):
            continue
        if not _fit_together([*beside, feeder], nodes):
            text = (
                f'stage "{holder.name}" keeps what it has taken in in its process, so its worker '
                f'stays while "{feeder.name}" goes on; no node has room for both. Let the stage '
                "keep its state in scratch_dir and set keeps_state_in_scratch = True, ask for less "
                'resources, or run with execution_mode="batch".'
            )
            return [text]
    return []


def _fit_together(pools: Sequence[PoolSpec], nodes: Sequence[Node]) -> bool:
    for order in itertools.permutations(pools):
        room = Room(nodes)
        if all(room.place(pool.need, pool.worker_groups) is not None for pool in order):
            return True
    return False


def _unfit(name: str, one: StageSpec | PoolSpec, nodes: Sequence[Node]) -> list[str]:
    groups = one.worker_groups
    allowed = [node for node in nodes if node.group in groups]
    if not groups or not any(node.group for node in nodes):
        return check_fits([(name, one.need)], nodes)
    if not allowed:
        there = ", ".join(sorted({node.group for node in nodes if node.group}))
        text = (
            f'stage "{name}": runs on the worker groups {", ".join(groups)} only; the cluster has '
            f"{there}. Name one of these in the stage's workerGroups."
        )
        return [text]
    return check_fits([(name, one.need)], allowed)


def check_fits(loads: Sequence[tuple[str, Need]], nodes: Sequence[Node]) -> list[str]:
    """One sentence for each stage of which not even one worker fits on any node."""
    problems = []
    for name, need in loads:
        if nodes and Room(nodes).place(need) is None:
            problems.append(_explain(name, need, nodes))
    return problems


def _explain(name: str, need: Need, nodes: Sequence[Node]) -> str:
    offers = {
        "CPUs": (need.cpus, max(node.cpus for node in nodes)),
        "GPUs": (need.gpus, max(node.gpus for node in nodes)),
        "bytes of memory": (float(need.memory), float(max(node.memory for node in nodes))),
    }
    devices = [node.gpu_memory for node in nodes if node.gpus]
    if need.gpu_memory and all(devices) and gpu_share(need.gpu_memory, max(devices, default=1)) > 1:
        offers["GB of memory on one GPU"] = (need.gpu_memory / GIB, max(devices) / GIB)
    for what, (wanted, offered) in offers.items():
        if wanted > offered + 1e-9:
            return (
                f'stage "{name}": needs {wanted:g} {what} per worker, the largest node offers '
                f"{offered:g}. Lower the stage's resources or add a larger node."
            )
    return f'stage "{name}": no single node has the {need} that one worker needs.'
