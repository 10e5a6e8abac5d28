"""Stages on GPUs of several nodes, in virtual time: what is had of the best, and few moves."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from curator_executor.core.state import CoreSettings
from curator_executor.core.types import Need, Node, StageSpec
from curator_executor.simulation.simulate import Simulation, simulate
from curator_executor.simulation.workload import Faults, StageWork, Workload

NODES = tuple(Node(f"n{at}", cpus=16.0, gpus=4.0) for at in range(3))
STAGES = (
    StageSpec(0, "read", need=Need(1.0)),
    StageSpec(1, "embed", need=Need(1.0, 0.25), batch_size=4),
    StageSpec(2, "caption", need=Need(1.0, 1.0)),
    StageSpec(3, "judge", need=Need(1.0, 0.5)),
)
WORK = (
    StageWork(batch_s=0.05),
    StageWork(batch_s=1.0, setup_s=5.0),
    StageWork(batch_s=2.0, setup_s=10.0),
    StageWork(batch_s=0.4, setup_s=5.0),
)
# GPU seconds of one input: 0.25 * 0.25 + 2.0 + 0.4 * 0.5.
GPU_SECONDS = 0.25 * 1.0 / 4 + 2.0 + 0.5 * 0.4
TASKS = 1_200


@pytest.mark.parametrize("spreads", [False, True], ids=["Ray packs", "Ray spreads"])
def test_nearly_all_that_the_gpus_allow_is_had_and_workers_hardly_move(spreads: bool) -> None:
    work = Workload(STAGES, WORK, TASKS, spreads_gpus=spreads)
    result = simulate(Simulation(work, nodes=NODES))
    assert Counter(result.outputs) == Counter(work.expected_outputs())
    best_s = TASKS * GPU_SECONDS / 12
    assert result.seconds <= 1.25 * best_s + 30  # models are loaded, the end runs dry
    started = sum(pool.workers_started for pool in result.state.pools)
    assert started <= 3 * sum(node.gpus * 2 + 4 for node in NODES)


def test_cores_beside_gpus_are_left_to_the_stage_that_needs_both() -> None:
    """Four nodes of eight cores, two of them with eight GPUs. Readers on those would leave GPUs
    without a core to serve them.
    """
    nodes = tuple(Node(f"n{at}", cpus=8.0, gpus=8.0 if at < 2 else 0.0) for at in range(4))
    stages = (StageSpec(0, "read", need=Need(1.0)), StageSpec(1, "embed", need=Need(1.0, 1.0)))
    work = Workload(stages, (StageWork(batch_s=1.0), StageWork(batch_s=1.0)), source_tasks=800)
    result = simulate(Simulation(work, nodes=nodes))
    assert Counter(result.outputs) == Counter(work.expected_outputs())
    assert result.seconds <= 1.1 * 800 / 16


def test_a_node_that_goes_and_one_that_comes_cost_no_more_than_their_time() -> None:
    later = (*NODES[1:], replace(NODES[0], id="new"))
    faults = Faults(nodes_at=((60.0, NODES[1:]), (120.0, later)))
    work = Workload(STAGES, WORK, TASKS, faults=faults)
    result = simulate(Simulation(work, nodes=NODES))
    assert Counter(result.outputs) == Counter(work.expected_outputs())
    best_s = (TASKS * GPU_SECONDS + 60 * 4) / 12
    assert result.seconds <= 1.25 * best_s + 45


def test_gpu_memory_fills_each_kind_of_gpu_by_what_it_has() -> None:
    """10 GB: eight workers on each GPU of 80 GB, two on one of 24; never more than there is."""
    nodes = (
        Node("h100", cpus=32.0, gpus=2.0, group="h100", gpu_memory=80 * 2**30),
        Node("l4", cpus=32.0, gpus=2.0, group="l4", gpu_memory=24 * 2**30),
    )
    stages = (StageSpec(0, "embed", need=Need(1.0, 0.4, gpu_memory=10 * 2**30)),)
    work = Workload(stages, (StageWork(batch_s=1.0),), source_tasks=1_000)
    result = simulate(Simulation(work, nodes=nodes))
    assert Counter(result.outputs) == Counter(work.expected_outputs())
    assert result.state.pools[0].workers_started == 2 * 8 + 2 * 2
    assert result.seconds <= 1.1 * 1_000 / 20


def test_a_stage_behind_one_that_is_nearly_done_does_not_get_all_the_room_that_is_left() -> None:
    """The last captions take 40 s; meanwhile hundreds of cores have nothing to do, and writers have
    no use for them.
    """
    nodes = tuple(Node(f"n{at}", cpus=64.0, gpus=4.0) for at in range(8))
    needs = (Need(1.0), Need(1.0, 0.5), Need(1.0, 1.0), Need(1.0))
    stages = tuple(
        StageSpec(at, f"s{at}", need=need, prepares_nodes=False) for at, need in enumerate(needs)
    )
    seconds = (0.5, 20.0, 40.0, 1.0)
    work = Workload(stages, tuple(StageWork(batch_s=each, jitter=0.5) for each in seconds), 150)
    result = simulate(
        Simulation(work, nodes=nodes, settings=CoreSettings(autoscale_interval_s=5.0))
    )
    assert Counter(result.outputs) == Counter(work.expected_outputs())
    # What is started before anything is measured is an equal share.
    assert result.state.pools[3].workers_started <= 8 * 60 / 2 + 30
