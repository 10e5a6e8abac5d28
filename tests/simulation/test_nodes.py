"""Nodes that come and go while a run goes on, in virtual time."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from curator_executor.core.types import Need, Node, NodeGroup, StageSpec
from curator_executor.simulation.autoscaler import Autoscaling
from curator_executor.simulation.simulate import Simulation, SimulationResult, simulate
from curator_executor.simulation.workload import Faults, StageWork, Workload

HEAD = Node("head", cpus=0.0, group="headgroup")
CPU = Node("", cpus=4.0, group="cpu")
GPU = Node("", cpus=4.0, gpus=1.0, group="gpu")


def stages(*options: dict[str, object]) -> tuple[StageSpec, ...]:
    return tuple(
        StageSpec(index, f"s{index}", **each)  # type: ignore[arg-type]
        for index, each in enumerate(options)
    )


def complete(run: Simulation) -> SimulationResult:
    result = simulate(replace(run, most_steps=5_000))
    assert (result.state.ending, result.state.error) == ("succeeded", None)
    assert Counter(result.outputs) == Counter(run.workload.expected_outputs())
    assert result.blocks_left == 0
    return result


def growing(workload: Workload, *groups: NodeGroup, boot_s: float = 30.0) -> Simulation:
    """On a cluster that begins with a head without cores."""
    return Simulation(workload, nodes=(HEAD,), autoscaling=Autoscaling(groups, boot_s))


def test_node_that_joins_is_used() -> None:
    one, two = Node("n1", cpus=1.0), Node("n2", cpus=4.0)
    run = Simulation(
        Workload(
            stages({}),
            (StageWork(batch_s=1.0),),
            source_tasks=50,
            faults=Faults(nodes_at=((3.0, (one, two)),)),
        ),
        nodes=(one,),
    )
    assert complete(run).seconds < 20


def test_node_that_leaves_costs_nothing_but_time() -> None:
    one, two = Node("n1", cpus=1.0), Node("n2", cpus=4.0)
    run = Simulation(
        Workload(
            stages({"batch_size": 2}, {}),
            (StageWork(batch_s=1.0), StageWork(batch_s=0.1)),
            source_tasks=50,
            faults=Faults(nodes_at=((5.0, (one,)),)),
        ),
        nodes=(one, two),
    )
    assert complete(run).ledger.deaths


def test_batch_is_not_blamed_for_nodes_that_leave() -> None:
    """1. A batch takes long. 2. Its node leaves. 3. So does the next one, and the next."""
    nodes = [Node(f"n{number}", cpus=1.0) for number in range(5)]
    leaving = tuple((5.0 * (n + 1), (nodes[n + 1],)) for n in range(4))
    run = Simulation(
        Workload(
            stages({"deaths_allowed": 1}),
            (StageWork(batch_s=8.0),),
            source_tasks=1,
            faults=Faults(nodes_at=leaving),
        ),
        nodes=(nodes[0],),
    )
    assert len(complete(run).ledger.deaths) == 4


def test_nodes_come_for_stages_that_none_has_room_for() -> None:
    run = growing(
        Workload(
            stages({}, {"need": Need(1.0, gpus=1.0)}, {}),
            (StageWork(batch_s=0.1), StageWork(batch_s=0.5), StageWork(batch_s=0.1)),
            source_tasks=40,
        ),
        NodeGroup(CPU, 2),
        NodeGroup(GPU, 1),
    )
    result = complete(run)
    assert {group.split("-")[0] for _, group in result.ledger.node_setups} <= {"cpu", "gpu"}
    assert result.seconds < 30 + 40


def test_more_nodes_come_for_the_slow_stage_and_no_more_than_there_may_be() -> None:
    """2,000 s of work: 500 s on the one node that the start asks for, 167 s on three."""
    run = growing(
        Workload(
            stages({}, {}),
            (StageWork(batch_s=0.01), StageWork(batch_s=1.0)),
            source_tasks=2_000,
        ),
        NodeGroup(CPU, 3),
    )
    result = complete(run)
    assert len({node for _, node in result.ledger.node_setups}) == 3
    assert result.seconds < 30 + 30 + 30 + 170


def test_no_node_comes_for_work_that_is_done_before_it_could_be_there() -> None:
    run = growing(
        Workload(stages({}), (StageWork(batch_s=0.5),), source_tasks=40), NodeGroup(CPU, 10)
    )
    assert complete(run).state.pools[0].workers_started == 4


def test_stage_runs_in_its_worker_groups_only() -> None:
    run = growing(
        Workload(
            stages({}, {"worker_groups": ("gpu",)}, {"worker_groups": ("cpu", "other")}),
            (StageWork(batch_s=0.1), StageWork(batch_s=0.2), StageWork(batch_s=0.1)),
            source_tasks=60,
        ),
        NodeGroup(CPU, 2),
        NodeGroup(GPU, 2),
    )
    where = {(pool, node.split("-")[0]) for pool, node in complete(run).ledger.node_setups}
    assert {node for pool, node in where if pool == 1} == {"gpu"}
    assert {node for pool, node in where if pool == 2} == {"cpu"}


@pytest.mark.parametrize("seed", range(6))
def test_nodes_that_come_and_go_at_any_moment_lose_nothing(seed: int) -> None:
    nodes = [replace(CPU, id=f"cpu-{n}", cpus=2.0) for n in range(3)]
    changes = tuple(
        (2.0 + 3.1 * step + seed * 0.37, tuple(nodes[: 1 + (step * 7 + seed) % 3]))
        for step in range(8)
    )
    run = Simulation(
        Workload(
            stages(
                {"batch_size": 3},
                {"is_global": True, "keeps_state_in_scratch": True},
                {"worker_groups": ("cpu",)},
                {"need": Need(2.0)},
            ),
            (
                StageWork(batch_s=0.3, jitter=0.5, fan_out=3),
                StageWork(batch_s=0.05),
                StageWork(batch_s=0.2, yields=True, fan_out=2),
                StageWork(batch_s=0.1),
            ),
            source_tasks=40,
            faults=Faults(nodes_at=changes),
            seed=seed,
        ),
        nodes=tuple(nodes),
    )
    complete(run)


def test_run_that_ends_while_a_worker_waits_for_a_node_ends_at_once() -> None:
    """s1 has no input after all: its worker waits for a node that takes an hour."""
    run = Simulation(
        Workload(
            stages({}, {"need": Need(1.0, gpus=1.0)}),
            (StageWork(batch_s=0.1, keep=0.0), StageWork()),
            source_tasks=10,
        ),
        nodes=(HEAD, replace(CPU, id="cpu-0")),
        autoscaling=Autoscaling((NodeGroup(GPU, 1),), boot_s=3600.0),
    )
    assert complete(run).seconds < 5


def test_stages_take_turns_on_the_nodes_there_are_until_one_comes() -> None:
    """Two stages, one core; the node for the second worker takes an hour."""
    run = Simulation(
        Workload(stages({}, {}), (StageWork(batch_s=0.1), StageWork(batch_s=0.1)), 50),
        nodes=(replace(CPU, id="cpu-0", cpus=1.0),),
        autoscaling=Autoscaling((NodeGroup(replace(CPU, cpus=1.0), 2),), boot_s=3600.0),
    )
    assert complete(run).seconds < 30
