"""Decide how many workers each pool should have. Called by `scaling`; never places or starts any.

Gives every pool that can use one a worker, then adds workers where the pipeline is slowest: at n
workers a pool that costs c seconds of work per pipeline input does n / c inputs a second, and the
pipeline runs at the least of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from curator_executor.core.types import Need, Node, PoolIndex


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


@dataclass(frozen=True, slots=True)
class Sizing:
    """Workers wanted per pool, the reason for each count, and whether pools take turns."""

    wanted: dict[PoolIndex, int]
    reason: dict[PoolIndex, str]
    take_turns: bool


class Room:
    """What is left on each node while workers are counted; first fit."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._left = [[node.cpus, node.gpus, float(node.memory)] for node in nodes]
        self._unlimited_memory = [node.memory <= 0 for node in nodes]

    def place(self, need: Need) -> bool:
        """Take the resources of one worker from some node; False if none has them."""
        for left, unlimited in zip(self._left, self._unlimited_memory, strict=True):
            fits = left[0] + 1e-9 >= need.cpus and left[1] + 1e-9 >= need.gpus
            if fits and (unlimited or left[2] >= need.memory):
                left[0] -= need.cpus
                left[1] -= need.gpus
                left[2] -= need.memory
                return True
        return False


def size(loads: Sequence[PoolLoad], nodes: Sequence[Node]) -> Sizing:
    """Workers wanted per pool.

    Args:
        loads: pools that are not done.
        nodes: what stages may use.

    Returns:
        A count for each pool in `loads`; 0 for one that has to wait for its turn.
    """
    tally = _Tally(loads, nodes)
    in_order = sorted(loads, key=lambda each: each.rank)
    trial = Room(nodes)
    take_turns = not all(trial.place(load.need) for load in in_order if load.most > 0)
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
    return Sizing(tally.wanted, tally.reason, take_turns)


class _Tally:
    """Workers counted so far, why, and the room that is left."""

    def __init__(self, loads: Sequence[PoolLoad], nodes: Sequence[Node]) -> None:
        self.room = Room(nodes)
        self.wanted = {load.index: 0 for load in loads}
        self.reason = {load.index: "" for load in loads}

    def place_first(self, load: PoolLoad) -> None:
        """The workers that a pool has before any other gets more of them."""
        count = min(max(1, load.least), load.most) if load.fixed is None else load.fixed
        for _ in range(count):
            if not self.room.place(load.need):
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
            if self.wanted[slowest.index] >= slowest.most or not self.room.place(slowest.need):
                open_loads.remove(slowest)
                continue
            self.wanted[slowest.index] += 1
            self.reason[slowest.index] = (
                "slowest stage"
                if slowest.cost_s is not None
                else "equal share, nothing measured yet"
            )


def check_fits(loads: Sequence[tuple[str, Need]], nodes: Sequence[Node]) -> list[str]:
    """One sentence for each stage of which not even one worker fits on any node."""
    problems = []
    for name, need in loads:
        if nodes and not Room(nodes).place(need):
            problems.append(_explain(name, need, nodes))
    return problems


def _explain(name: str, need: Need, nodes: Sequence[Node]) -> str:
    offers = {
        "CPUs": (need.cpus, max(node.cpus for node in nodes)),
        "GPUs": (need.gpus, max(node.gpus for node in nodes)),
        "bytes of memory": (float(need.memory), float(max(node.memory for node in nodes))),
    }
    for what, (wanted, offered) in offers.items():
        if wanted > offered + 1e-9:
            return (
                f'stage "{name}": needs {wanted:g} {what} per worker, the largest node offers '
                f"{offered:g}. Lower the stage's resources or add a larger node."
            )
    return f'stage "{name}": no single node has the {need} that one worker needs.'
