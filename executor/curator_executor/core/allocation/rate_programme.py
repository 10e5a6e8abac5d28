"""A small linear programme: which mix of loaded nodes does the most inputs a second. Pure.

    most r  with  have[i] + sum_q load[q][i] * x[q] >= cost[i] * r   for each stage i
                  sum_{q of kind k} x[q]  <= nodes[k]      for each kind of node k
                  r <= cap

A column q is one way to load a node. There are too many to list, so they are made as they are
needed: `prices` says what a worker of each stage and a node of each kind are worth, and the caller
adds a load that is worth more than its node costs, until there is none. Revised simplex with the
inverse written out: there are as many rows as stages and kinds, a few dozen.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from operator import mul

from curator_executor.core.allocation.room import Load

_EPSILON = 1e-9
# The right-hand sides of stages are zero, so that steps may have no length; a nudge that differs by
# row keeps simplex from going in circles, and is far below one worker.
_NUDGE = 1e-7
# Far more steps than any programme here takes; the columns so far are good then, too.
_MOST_STEPS = 2_000


class _What(Enum):
    SLACK = 0
    RATE = 1
    COLUMN = 2


_Variable = tuple[_What, int]
_RATE: _Variable = (_What.RATE, 0)


class RateProgramme:
    """The programme, and its best solution with the columns so far.

    Args:
        costs: worker seconds per pipeline input, by stage, scaled to about one.
        nodes: number of nodes, by kind.
        cap: most inputs a second.
        have: workers that stages have already, beside what the columns bring.
    """

    def __init__(
        self, costs: Sequence[float], nodes: Sequence[int], cap: float, have: Sequence[int]
    ) -> None:
        self.cap = cap
        self._costs = list(costs)
        self._columns: list[tuple[int, Load]] = []
        self._known: set[tuple[int, Load]] = set()
        self._size = len(costs) + len(nodes) + 1
        rows = range(self._size)
        self._inverse = [[float(i == j) for j in rows] for i in rows]
        self._values = [count + _NUDGE * (1 + i) for i, count in enumerate(have)]
        self._values += [*map(float, nodes), cap]
        self._basic: list[_Variable] = [(_What.SLACK, row) for row in rows]

    def add(self, kind: int, load: Load) -> bool:
        """Add a way to load a node of a kind; False if it is known."""
        if (kind, load) in self._known:
            return False
        self._known.add((kind, load))
        self._columns.append((kind, load))
        return True

    @property
    def rate(self) -> float:
        """Inputs a second."""
        return self._values[self._basic.index(_RATE)] if _RATE in self._basic else 0.0

    @property
    def prices(self) -> list[float]:
        """What one more worker of each stage, node of each kind and a higher cap are worth.

        In inputs a second, in the order of the rows.
        """
        if _RATE not in self._basic:
            return [0.0] * self._size
        return list(self._inverse[self._basic.index(_RATE)])

    def used(self) -> list[tuple[int, Load, float]]:
        """Kind, load and number of nodes of each column in use."""
        return [
            (*self._columns[number], value)
            for (what, number), value in zip(self._basic, self._values, strict=True)
            if what is _What.COLUMN and value > _EPSILON
        ]

    def solve(self) -> None:
        """Go on to the best solution with the columns that there are."""
        for _ in range(_MOST_STEPS):
            entering = self._entering()
            if entering is None or not self._enter(entering):
                return

    def _entering(self) -> _Variable | None:
        basic = set(self._basic)
        if _RATE not in basic:
            return _RATE
        prices = self.prices
        stages = len(self._costs)
        best, chosen = _EPSILON, None
        for number, (kind, load) in enumerate(self._columns):
            gain = sum(map(mul, prices, load)) - prices[stages + kind]
            if gain > best and (_What.COLUMN, number) not in basic:
                best, chosen = gain, (_What.COLUMN, number)
        for row, price in enumerate(prices):
            if -price > best and (_What.SLACK, row) not in basic:
                best, chosen = -price, (_What.SLACK, row)
        return chosen

    def _coefficients(self, variable: _Variable) -> list[tuple[int, float]]:
        """Rows in which a variable stands, with its factor there."""
        what, number = variable
        if what is _What.SLACK:
            return [(number, 1.0)]
        if what is _What.RATE:
            return [*enumerate(self._costs), (self._size - 1, 1.0)]
        kind, load = self._columns[number]
        rows = [(i, -float(count)) for i, count in enumerate(load) if count]
        return [*rows, (len(self._costs) + kind, 1.0)]

    def _enter(self, entering: _Variable) -> bool:
        """Let a variable grow until another is zero, and swap them; False if none gets there."""
        sparse = self._coefficients(entering)
        slopes = [sum(row[i] * factor for i, factor in sparse) for row in self._inverse]
        leaving = min(
            (row for row, slope in enumerate(slopes) if slope > _EPSILON),
            key=lambda row: (self._values[row] / slopes[row], -slopes[row]),
            default=None,
        )
        if leaving is None:
            return False
        step = self._values[leaving] / slopes[leaving]
        pivot = [each / slopes[leaving] for each in self._inverse[leaving]]
        for row, slope in enumerate(slopes):
            if row != leaving and slope:
                mine = self._inverse[row]
                self._inverse[row] = [a - slope * b for a, b in zip(mine, pivot, strict=True)]
                self._values[row] = max(0.0, self._values[row] - slope * step)
        self._inverse[leaving] = pivot
        self._values[leaving] = step
        self._basic[leaving] = entering
        return True
