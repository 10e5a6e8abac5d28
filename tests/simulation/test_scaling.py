"""How near to the best rate runs come, whatever stages cost, and how seldom workers move.

The bound is what the cores could do if work could be cut into any pieces: a stage that costs c core
seconds an input takes c / cores seconds of the whole cluster.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from curator_executor.core.state import State
from curator_executor.core.types import Node, StageSpec
from curator_executor.simulation.simulate import Simulation, SimulationResult, simulate
from curator_executor.simulation.workload import Faults, StageWork, Workload

CORES = 16
# Set-ups for each core: one to begin with, one when costs are known, and what the end brings, where
# stages run dry one after the other.
SET_UPS = 2.5
ONE_NODE = (Node("n1", cpus=float(CORES)),)


@dataclass
class Watch:
    """What has come out of the last stage, by time."""

    times: list[float] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)

    def look(self, state: State, now: float) -> None:
        self.times.append(now)
        self.outputs.append(state.pools[-1].emitted)

    def rate(self, begin: float, end: float) -> float:
        """Outputs a second between two times."""
        first, last = (bisect_left(self.times, at) for at in (begin, end))
        made = self.outputs[last] - self.outputs[first]
        return made / (self.times[last] - self.times[first])


def run(
    *work: StageWork,
    tasks: int,
    nodes: Sequence[Node] = ONE_NODE,
    faults: Faults | None = None,
    start_s: float = 0.3,
) -> tuple[SimulationResult, Watch]:
    """A run to its end; every output is there once."""
    stages = tuple(StageSpec(at, f"s{at}", prepares_nodes=False) for at in range(len(work)))
    load = Workload(stages, work, tasks, faults=faults or Faults(), start_s=start_s)
    watch = Watch()
    simulation = Simulation(load, nodes=tuple(nodes), most_steps=1_000_000, checks=False)
    result = simulate(simulation, watch.look)
    assert Counter(result.outputs) == Counter(load.expected_outputs())
    return result, watch


def started(result: SimulationResult) -> int:
    """Times that a worker was started, or took up another stage."""
    return sum(pool.workers_started for pool in result.state.pools)


def test_fast_stages_beside_a_slow_one() -> None:
    work = [StageWork(batch_s=each, jitter=0.3) for each in (0.005, 0.5, 0.02)]
    result, _ = run(*work, tasks=2_000)
    assert result.seconds <= 2_000 * 0.525 / CORES / 0.93
    assert started(result) <= SET_UPS * CORES


def test_heavy_fan_out_from_few_sources() -> None:
    source = StageWork(batch_s=2.0, fan_out=400, yields=True)
    result, _ = run(source, StageWork(batch_s=0.05, jitter=0.3), tasks=24)
    assert result.seconds <= 24 * (2.0 + 400 * 0.05) / CORES / 0.9
    assert started(result) <= SET_UPS * CORES


def test_models_that_take_two_minutes_to_load_are_loaded_hardly_more_than_once_a_core() -> None:
    work = [StageWork(batch_s=0.1), StageWork(batch_s=2.0, setup_s=120.0, jitter=0.3)]
    result, _ = run(*work, tasks=4_000)
    # Half of the cores load at once, the others when the first ones have shown what a task costs.
    assert result.seconds <= 120 + 120 / 2 + 4_000 * 2.1 / CORES / 0.95
    assert result.state.pools[1].workers_started <= 1.1 * CORES


def test_models_that_load_in_the_first_call_do_not_mislead_the_plan() -> None:
    work = [
        StageWork(batch_s=0.5, jitter=0.3),
        StageWork(batch_s=0.5, jitter=0.3, first_batch_s=30.0),
        StageWork(batch_s=1.0, jitter=0.3),
    ]
    result, watch = run(*work, tasks=3_000)
    assert watch.rate(90.0, 140.0) >= 0.9 * CORES / 2.0
    assert started(result) <= SET_UPS * CORES


def test_stragglers_cost_their_time_and_no_more() -> None:
    faults = Faults(straggle=0.02, straggle_by=20.0)
    work = [StageWork(batch_s=each) for each in (0.05, 0.2, 0.1)]
    mean = 0.35 * (1 + 0.02 * 19)
    result, _ = run(*work, tasks=3_000, faults=faults)
    assert result.seconds <= 3_000 * mean / CORES / 0.85
    assert started(result) <= 3 * CORES


def test_a_stage_whose_cost_triples_half_way_has_its_share_of_cores_20_s_later() -> None:
    changes_at = 60.0

    def middle(now: float) -> float:
        return 0.2 if now < changes_at else 0.6

    work = [StageWork(batch_s=0.1), StageWork(batch_s=middle), StageWork(batch_s=0.1)]
    result, watch = run(*work, tasks=4_000)
    before = CORES / 0.4
    assert watch.rate(20.0, changes_at) >= 0.9 * before
    best = min(3 / 0.1, 12 / 0.6)  # of 16 workers in whole ones: two, twelve, two
    assert watch.rate(changes_at + 20, changes_at + 60) >= 0.9 * best
    assert started(result) <= SET_UPS * CORES


def test_pre_empted_nodes_cost_their_share() -> None:
    """One of ten nodes goes each minute, and another one comes half a minute later."""
    nodes = [Node(f"n{at}", cpus=4.0) for at in range(10)]
    changes: list[tuple[float, tuple[Node, ...]]] = []
    for minute in range(1, 6):
        nodes = nodes[1:]
        changes.append((60.0 * minute, tuple(nodes)))
        nodes = [*nodes, replace(nodes[0], id=f"m{minute}")]
        changes.append((60.0 * minute + 30, tuple(nodes)))
    work = [StageWork(batch_s=each, jitter=0.3) for each in (0.2, 1.0, 0.4)]
    first = [Node(f"n{at}", cpus=4.0) for at in range(10)]
    faults = Faults(nodes_at=tuple(changes))
    result, _ = run(*work, tasks=6_000, nodes=first, faults=faults)
    assert result.seconds <= 6_000 * 1.6 / (40 * 0.95) / 0.9
    assert started(result) <= 40 + SET_UPS * 5 * 4


def test_nodes_that_arrive_one_by_one_are_filled_as_they_come() -> None:
    def there(count: int) -> tuple[Node, ...]:
        return tuple(Node(f"n{at}", cpus=8.0) for at in range(count))

    every = 10.0
    faults = Faults(nodes_at=tuple((every * at, there(1 + at)) for at in range(1, 8)))
    work = [StageWork(batch_s=each, jitter=0.3) for each in (0.1, 0.8, 0.2)]
    result, watch = run(*work, tasks=4_000, nodes=there(1), faults=faults)
    for count in range(2, 8):
        begin = every * (count - 1) + 3.0
        assert watch.rate(begin, begin + every - 3.0) >= 0.8 * 8 * count / 1.1
    assert started(result) <= 64 + 16
