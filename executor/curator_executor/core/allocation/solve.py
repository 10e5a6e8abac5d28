"""`allocate`: the workers of each stage, node by node, that let most inputs a second through. Pure.

At n workers a stage that costs c worker seconds per pipeline input lets n / c inputs a second
through; the pipeline runs at the least of these. Nodes with the same room are one kind. A linear
programme over ways to load a node of each kind gives the best mix in fractions of nodes; its whole
part is kept, and the few nodes that are left over are loaded one by one for whichever stage is
slowest.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from math import ceil

from curator_executor.core.allocation.demand import Allocation, Demand
from curator_executor.core.allocation.loads import dearest_load, serving_load
from curator_executor.core.allocation.rate_programme import RateProgramme
from curator_executor.core.allocation.room import (
    Left,
    Load,
    left_of,
    packed,
    packing_order,
    want_of,
)
from curator_executor.core.types import Node, NodeId

# Ways to load a node are made until the programme is this near to what its prices promise.
_NEAR = 0.002
_ROUNDS = 60
# Rounds over the nodes that may pass without the slowest stage having more than before.
_PASSES = 4
# Workers that are placed in all while loads are tried, some 3 us each.
_PLACED = 60_000
# So many nodes, of the kinds that hold the rate back, are loaded again one at a time though the
# programme was content with them; of others only those left over.
_FEW = 24
# Loads of other nodes that are tried on one.
_KNOWN = 6
# Stages get workers until they are so many times as fast as one that can have no more: batches take
# unequal time, and an idle core does no harm.
TO_SPARE = 1.5


def allocate(demands: Sequence[Demand], nodes: Sequence[Node]) -> Allocation:
    """Workers of each stage, and where.

    Args:
        demands: the stages.
        nodes: what they may use.

    Returns:
        An allocation for which every node is large enough. A stage of which no worker fits has
        none, and the rate is 0 then.
    """
    return Solver(demands, nodes).solved()


class Solver:
    """One search for one set of demands and nodes."""

    def __init__(self, demands: Sequence[Demand], nodes: Sequence[Node]) -> None:
        self._stages = range(len(demands))
        self._wants = [want_of(each.need) for each in demands]
        self._unit = max((each.cost_s for each in demands), default=0.0) or 1.0
        self._costs = [max(each.cost_s / self._unit, 1e-9) for each in demands]
        self._least = [min(each.least, each.most) for each in demands]
        self._most = [each.most for each in demands]
        self._pinned = [each.is_pinned for each in demands]
        # What needs no device goes where there are few, other things being equal.
        nodes = sorted(nodes, key=lambda node: node.gpus)
        self._ids = [node.id for node in nodes]
        self._empty = [left_of(node) for node in nodes]
        self._left = list(self._empty)
        grouped = any(node.group for node in nodes)
        self._may = [
            tuple(not (grouped and each.groups) or node.group in each.groups for each in demands)
            for node in nodes
        ]
        self._loads: list[Load] = [(0,) * len(demands)] * len(nodes)
        self._counts = [0] * len(demands)
        self._placed = 0
        self._promised = 0.0
        self._packs: dict[tuple[Left, Load], Left | None] = {}

    def solved(self) -> Allocation:
        """The best that is found for empty nodes."""
        self._place_least()
        base = list(self._loads)
        kinds = self._kinds()
        mixes, prices = self._mixes(list(kinds), [len(mine) for mine in kinds.values()])
        loose: dict[int, list[Load]] = {}
        few = _FEW
        by_price = sorted(
            zip(prices, kinds.values(), mixes, strict=True), key=lambda each: -each[0]
        )
        for price, mine, mix in by_price:
            waiting = iter(mine)
            for load, share in mix:
                for _ in range(int(share + 1e-6)):
                    self._load(next(waiting), load)
            known = [load for load, _ in mix]
            # The programme rounds as many nodes of a kind as there are stages, and wants no others.
            loose |= dict.fromkeys(itertools.islice(waiting, len(self._stages) + 1), known)
            if price > 0 and len(mine) <= few:
                few -= len(mine)
                loose |= dict.fromkeys(mine, known)
        self._improve(loose, base)
        return self._filled(TO_SPARE)

    def bound(self) -> float:
        """No allocation lets more inputs a second through; no more than stages' limits do."""
        self._place_least()
        kinds = self._kinds()
        self._mixes(list(kinds), [len(mine) for mine in kinds.values()])
        return self._promised / self._unit

    def _kinds(self) -> dict[tuple[Left, tuple[bool, ...]], list[int]]:
        """Nodes that have the same left, for the same stages."""
        kinds: dict[tuple[Left, tuple[bool, ...]], list[int]] = {}
        for node, left in enumerate(self._left):
            kinds.setdefault((left, self._may[node]), []).append(node)
        return kinds

    def kept(self, running: Mapping[NodeId, Load]) -> Allocation:
        """What runs, as far as it is allowed and fits, and what there is room for besides."""
        for node, name in enumerate(self._ids):
            load = running.get(name)
            if load is None or not any(load):
                continue
            rooms = [m - n for m, n in zip(self._most, self._counts, strict=True)]
            may = zip(load, rooms, self._may[node], strict=True)
            allowed = tuple(max(0, min(n, room)) if may else 0 for n, room, may in may)
            left = self._packed(node, allowed)
            if left is not None:
                self._loads[node], self._left[node] = allowed, left
                self._counts = [a + b for a, b in zip(self._counts, allowed, strict=True)]
        self._place_least()
        return self._filled()

    def eased(self, goal: float) -> Allocation:
        """What was kept, with a few nodes loaded anew until so many inputs a second go through."""
        none = (0,) * len(self._counts)
        by_load: dict[Load, list[int]] = {}
        for node, load in enumerate(self._loads):
            by_load.setdefault(load, []).append(node)
        common = sorted(by_load, key=lambda load: -len(by_load[load]))[:_KNOWN]
        loose: dict[int, list[Load]] = {}
        turns = itertools.zip_longest(*(by_load[load] for load in common))
        for node in itertools.islice((n for turn in turns for n in turn if n is not None), _FEW):
            loose[node] = common
        self._improve(loose, [none] * len(self._ids), goal * self._unit)
        return self._filled()

    def _packed(self, node: int, load: Load) -> Left | None:
        """What is left of an empty node with a load on it; nodes that are alike are packed once."""
        key = (self._empty[node], load)
        if key not in self._packs:
            self._packs[key] = packed(*key, self._wants)
        return self._packs[key]

    def _filled(self, most_spare: float = TO_SPARE * TO_SPARE) -> Allocation:
        """What is loaded without what would be idle, and what there is room for besides.

        What runs may have more to spare than what is started anew: costs go up and down a little,
        and workers should not.
        """
        self._trim(most_spare)
        self._fill()
        rates = [n / c for n, c in zip(self._counts, self._costs, strict=True)]
        return Allocation(
            tuple(self._counts),
            dict(zip(self._ids, self._loads, strict=True)),
            min(rates, default=0.0) / self._unit,
        )

    def _load(self, node: int, more: Load) -> None:
        """Put workers on a node, beside those that are there."""
        together = tuple(a + b for a, b in zip(self._loads[node], more, strict=True))
        left = self._left[node]
        for i in packing_order(self._wants):
            if more[i]:
                left = left.take(self._wants[i], more[i])
                self._counts[i] += more[i]
        self._loads[node], self._left[node] = together, left

    def _place_least(self) -> None:
        """What stages have before any gets more: on nodes with no more devices than they need."""
        for i in packing_order(self._wants):
            order = sorted(range(len(self._ids)), key=lambda node: self._empty[node].devices)
            for node in order if self._least[i] else ():
                missing = self._least[i] - self._counts[i]
                count = min(missing, self._left[node].fits(self._wants[i]))
                if count > 0 and self._may[node][i]:
                    self._load(node, tuple(count if j == i else 0 for j in self._stages))

    def _mixes(
        self, kinds: Sequence[tuple[Left, tuple[bool, ...]]], sizes: Sequence[int]
    ) -> tuple[list[list[tuple[Load, float]]], list[float]]:
        """For each kind of node, ways to load it and how many nodes should be, in fractions.

        And what one more node of each kind would bring.
        """
        caps = [m / c for m, c in zip(self._most, self._costs, strict=True)]
        have = list(self._counts)
        programme = RateProgramme(self._costs, sizes, min([*caps, 1e9]), have)
        rooms = [
            [(self._most[i] - have[i]) if may[i] else 0 for i in self._stages] for _, may in kinds
        ]
        for _ in range(_ROUNDS):
            programme.solve()
            prices = programme.prices
            promised = prices[-1] * programme.cap + sum(
                price * count for price, count in zip(prices, have, strict=False)
            )
            added = False
            for kind, ((left, _), most) in enumerate(zip(kinds, rooms, strict=True)):
                load = dearest_load(left, self._wants, prices, most)
                worth = sum(price * count for price, count in zip(prices, load, strict=False))
                promised += sizes[kind] * worth
                if worth > prices[len(have) + kind] + 1e-9:
                    added = programme.add(kind, load) or added
            self._promised = promised
            if not added or promised <= programme.rate * (1 + _NEAR):
                break
        mixes: list[list[tuple[Load, float]]] = [[] for _ in kinds]
        for kind, load, share in programme.used():
            mixes[kind].append((load, share))
        return mixes, programme.prices[len(have) : -1]

    def _improve(
        self, loose: dict[int, list[Load]], base: Sequence[Load], goal: float = float("inf")
    ) -> None:
        """Load these nodes anew as is best beside all others, until nothing gets better.

        Or until the slowest stage has reached the goal.
        """
        starts = {node: packed(self._empty[node], base[node], self._wants) for node in loose}
        # What was placed first on a node may fit in no other order.
        free = {node: start for node, start in starts.items() if start is not None}
        in_vain = 0
        while in_vain < _PASSES and self._placed < _PLACED:
            slowest = self._key(self._counts)[:1]
            better = False
            for node in free:
                if min(self._key(self._counts)[:1], default=goal) >= goal:
                    return
                better = self._reload([node], free, loose, base) or better
            if not better and not self._improve_a_pair(free, loose, base):
                return
            in_vain = 0 if self._key(self._counts)[:1] > slowest else in_vain + 1

    def _improve_a_pair(
        self, free: dict[int, Left], loose: dict[int, list[Load]], base: Sequence[Load]
    ) -> bool:
        """Load two nodes anew at once, as each alone may have nothing better; like pairs once.

        The first is one that could have more workers of the slowest stage.
        """
        waiting = [i for i in self._stages if self._counts[i] < self._most[i]]
        if not waiting:
            return False
        slowest = min(waiting, key=lambda i: self._counts[i] / self._costs[i])
        want = self._wants[slowest]
        tried = set()
        for one, other in itertools.permutations(free, 2):
            if not self._may[one][slowest] or free[one].fits(want) <= self._loads[one][slowest]:
                continue
            alike = tuple((free[node], self._may[node], self._loads[node]) for node in (one, other))
            if alike not in tried and self._placed < _PLACED:
                tried.add(alike)
                if self._reload([one, other], free, loose, base):
                    return True
        return False

    def _reload(
        self,
        nodes: Sequence[int],
        free: dict[int, Left],
        loose: dict[int, list[Load]],
        base: Sequence[Load],
    ) -> bool:
        """Give nodes the best loads that are found, one after the other; whether that is better."""
        others = list(self._counts)
        for node in nodes:
            mine = zip(others, self._loads[node], base[node], strict=True)
            others = [n - a + b for n, a, b in mine]
        found: list[tuple[Load, ...]] = [()]
        for node in nodes:
            found = [
                (*before, load)
                for before in found
                for load in self._ways(node, free[node], loose[node], _sum(others, *before))
            ]
        best = max(found, key=lambda loads: self._key(_sum(others, *loads)))
        if self._key(_sum(others, *best)) <= self._key(self._counts):
            return False
        self._counts = others
        for node, load in zip(nodes, best, strict=True):
            self._loads[node], self._left[node] = base[node], free[node]
            self._load(node, load)
        return True

    def _ways(
        self, node: int, start: Left, known: Sequence[Load], others: Sequence[int]
    ) -> set[Load]:
        """Loads worth trying: those of the programme, one stage first, whichever is slowest."""
        most = [m if may else 0 for m, may in zip(self._most, self._may[node], strict=True)]
        none = (0,) * len(most)
        alone = [
            tuple(start.fits(want) if j == i else 0 for j in self._stages)
            for i, want in enumerate(self._wants)
        ]
        ways = {
            serving_load(start, first, self._wants, others, self._costs, most)
            for first in (*known, *alone, none)
        }
        self._placed += (len(known) + len(alone) + 1) * max(map(sum, ways))
        return ways

    def _key(self, counts: Sequence[int]) -> list[float]:
        """Rates of the stages that may have more workers, the slowest first: more is better."""
        return sorted(counts[i] / self._costs[i] for i in self._stages if counts[i] < self._most[i])

    def _trim(self, most_spare: float) -> None:
        """Take workers off stages that have many times what the slowest one lets through."""
        rates = [n / c for n, c in zip(self._counts, self._costs, strict=True)]
        held_up = [
            rates[i]
            for i in self._stages
            if rates[i] > 0 and (self._counts[i] < self._most[i] or self._pinned[i])
        ]
        slowest = min(held_up, default=float("inf"))
        for i in self._stages:
            if rates[i] <= slowest * most_spare:
                continue
            enough = max(1, self._least[i], ceil(slowest * TO_SPARE * self._costs[i]))
            for node in reversed(range(len(self._ids))):
                less = min(self._loads[node][i], self._counts[i] - enough)
                if less <= 0:
                    continue
                load = tuple(n - less * (j == i) for j, n in enumerate(self._loads[node]))
                left = packed(self._empty[node], load, self._wants)
                if left is not None:  # it is what was there, less something
                    self._loads[node], self._left[node] = load, left
                    self._counts[i] -= less

    def _fill(self) -> None:
        """Give the slowest stage one more worker, wherever it fits, until nothing fits.

        Stages that are faster by a good deal than one that can have no more get none either: they
        would have nothing to do.
        """
        waiting = {i: 0 for i in self._stages if self._counts[i] < self._most[i]}
        enough = min(
            (self._counts[i] / self._costs[i] for i in self._stages if self._pinned[i]),
            default=float("inf"),
        )
        while waiting:
            slowest = min(waiting, key=lambda i: (self._counts[i] / self._costs[i], -i))
            if self._counts[slowest] and (
                self._counts[slowest] / self._costs[slowest] >= enough * TO_SPARE
            ):
                return
            node = waiting[slowest]
            while node < len(self._ids) and not (
                self._may[node][slowest] and self._left[node].fits(self._wants[slowest])
            ):
                node += 1
            waiting[slowest] = node
            if node == len(self._ids):
                del waiting[slowest]
                if self._counts[slowest]:
                    enough = min(enough, self._counts[slowest] / self._costs[slowest])
                continue
            self._load(node, tuple(int(j == slowest) for j in self._stages))
            if self._counts[slowest] >= self._most[slowest]:
                del waiting[slowest]


def _sum(*counts: Sequence[int]) -> list[int]:
    return [sum(each) for each in zip(*counts, strict=True)]
