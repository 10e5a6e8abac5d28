"""`allocate` and `reallocate` beside what HiGHS finds: at least 97 % of the best that can be.

Small clusters: the best integer plan, from a programme with a variable for each stage and device.
Large ones: a linear programme over whole kinds of nodes, which no plan can surpass.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import lil_array

from curator_executor.core.allocation.change import reallocate
from curator_executor.core.allocation.demand import Demand
from curator_executor.core.allocation.solve import allocate
from curator_executor.core.types import Need, Node

GOOD = 0.97
GIB = 1 << 30
# The small programmes take about a second; what is not proved by then is bounded.
LIMIT_S = 10.0


def best_integer_rate(demands: Sequence[Demand], nodes: Sequence[Node]) -> float:
    """No plan lets more inputs a second through; nearly always one lets as many."""
    columns: list[tuple[int, int, int]] = []  # stage, node, device or -1
    for at, node in enumerate(nodes):
        for stage, demand in enumerate(demands):
            shared = 0 < demand.need.gpus < 1
            devices = range(int(node.gpus)) if shared else (-1,)
            columns += [(stage, at, device) for device in devices]
    size = len(columns) + 1
    rows: list[tuple[dict[int, float], float, float]] = []
    for stage, demand in enumerate(demands):
        row = {c: 1.0 for c, (s, _, _) in enumerate(columns) if s == stage}
        rows.append((row | {size - 1: -demand.cost_s}, 0.0, np.inf))
    whole: dict[tuple[int, int], int] = {}
    for at, node in enumerate(nodes):
        mine = [(c, s, d) for c, (s, n, d) in enumerate(columns) if n == at]
        rows.append(({c: demands[s].need.cpus for c, s, _ in mine}, 0.0, node.cpus))
        rows.append(({c: demands[s].need.memory / GIB for c, s, _ in mine}, 0.0, node.memory / GIB))
        for device in range(int(node.gpus)):
            # A device is one that is shared, or free for stages that take whole ones.
            whole[at, device] = size
            size += 1
            on_it = {c: demands[s].need.gpus for c, s, d in mine if d == device}
            rows.append((on_it | {whole[at, device]: 1.0}, 0.0, 1.0))
        takes = {c: demands[s].need.gpus for c, s, _ in mine if demands[s].need.gpus >= 1}
        free = {whole[at, device]: -1.0 for device in range(int(node.gpus))}
        rows.append((takes | free, -np.inf, 0.0))
    matrix = lil_array((len(rows), size))
    for at, (row, _, _) in enumerate(rows):
        for column, value in row.items():
            matrix[at, column] = value
    limits = LinearConstraint(
        matrix.tocsr(), [low for _, low, _ in rows], [high for _, _, high in rows]
    )
    upper = np.full(size, np.inf)
    upper[list(whole.values())] = 1.0
    objective = np.zeros(size)
    rate = len(columns)
    objective[rate] = -1.0
    integral = np.ones(size)
    integral[rate] = 0
    options = {"time_limit": LIMIT_S, "mip_rel_gap": 1e-3}
    found: Any = milp(
        objective,
        constraints=limits,
        integrality=integral,
        bounds=Bounds(0, upper),
        options=options,
    )
    return -float(found.mip_dual_bound)


def small_case(seed: int) -> tuple[list[Demand], list[Node]]:
    """Two or three kinds of nodes, seven in all, and four stages."""
    dice = Random(seed)
    nodes = []
    for kind in range(dice.choice((2, 3))):
        cpus, gpus = dice.choice((16, 32, 64)), dice.choice((0, 2, 4)) if kind else 4
        memory = dice.choice((64, 128, 256)) * GIB
        count = dice.choice((1, 2, 3))
        nodes += [Node(f"{kind}-{at}", cpus, gpus, memory) for at in range(count)]
    demands = [
        Demand(
            Need(
                dice.choice((1, 2, 4)),
                dice.choice((0.0, 0.25, 0.4, 0.5, 1.0, 2.0)),
                dice.choice((1, 4, 16)) * GIB,
            ),
            cost_s=dice.choice((0.2, 0.5, 1.0, 2.0, 5.0)),
        )
        for _ in range(4)
    ]
    return demands, nodes


@pytest.mark.parametrize("seed", range(20))
def test_small_clusters_get_nearly_the_best_integer_plan(seed: int) -> None:
    demands, nodes = small_case(seed)
    assert allocate(demands, nodes).rate >= GOOD * best_integer_rate(demands, nodes)


@pytest.mark.parametrize("seed", range(20, 26))
def test_from_scattered_workers_comes_nearly_the_best_integer_plan(seed: int) -> None:
    demands, nodes = small_case(seed)
    dice = Random(seed)
    running = {
        node.id: tuple(
            dice.choice((0, 1)) if demand.need.gpus <= node.gpus else 0 for demand in demands
        )
        for node in nodes
    }
    found = reallocate(demands, nodes, running)
    assert found.rate >= GOOD * best_integer_rate(demands, nodes)


def highest_rate(demands: Sequence[Demand], nodes: Sequence[Node]) -> float:
    """No plan surpasses it: nodes of a kind taken as one, workers as if they could be cut."""
    kinds: dict[tuple[float, float, int], int] = {}
    for node in nodes:
        key = (node.cpus, node.gpus, node.memory)
        kinds[key] = kinds.get(key, 0) + 1
    stages, size = len(demands), len(demands) * len(kinds) + 1
    above, limits = [], []
    for at, ((cpus, gpus, memory), count) in enumerate(kinds.items()):
        for have, need in (
            (cpus, [d.need.cpus for d in demands]),
            (gpus, [d.need.gpus for d in demands]),
            (memory / GIB, [d.need.memory / GIB for d in demands]),
        ):
            row = np.zeros(size)
            row[at * stages : (at + 1) * stages] = need
            above.append(row)
            limits.append(have * count)
    for stage, demand in enumerate(demands):
        row = np.zeros(size)
        row[stage : size - 1 : stages] = -1.0
        row[-1] = demand.cost_s
        above.append(row)
        limits.append(0.0)
    objective = np.zeros(size)
    objective[-1] = -1.0
    found: Any = linprog(objective, A_ub=np.array(above), b_ub=limits, method="highs")
    return -float(found.fun)


SIX = [
    Demand(Need(1, 0, 2 * GIB), 0.5),
    Demand(Need(1, 0.25, 8 * GIB), 1.0),
    Demand(Need(4, 1, 32 * GIB), 6.0),
    Demand(Need(1, 0.5, 8 * GIB), 3.0),
    Demand(Need(4, 1, 8 * GIB), 4.0),
    Demand(Need(2, 0, 4 * GIB), 0.2),
]


@pytest.mark.parametrize("count", [200, 1_000])
def test_large_clusters_come_near_to_what_no_plan_can_surpass(count: int) -> None:
    nodes = [Node(f"n{at}", 64.0, 8.0, 512 * GIB) for at in range(count)]
    assert allocate(SIX, nodes).rate >= GOOD * highest_rate(SIX, nodes)


def test_twenty_kinds_of_nodes_come_near_to_what_no_plan_can_surpass() -> None:
    dice = Random(1)
    nodes = []
    for kind in range(20):
        cpus, gpus = dice.choice((32, 48, 64, 96, 128)), dice.choice((0, 4, 8))
        memory = dice.choice((256, 512, 1024)) * GIB
        nodes += [Node(f"{kind}-{at}", cpus, gpus, memory) for at in range(50)]
    highest = highest_rate(SIX, nodes)
    assert allocate(SIX, nodes).rate >= GOOD * highest
    running = {
        node.id: tuple(
            dice.choice((0, 1, 2)) if demand.need.gpus <= node.gpus / 4 else 0 for demand in SIX
        )
        for node in nodes
    }
    assert reallocate(SIX, nodes, running).rate >= GOOD * highest
