"""Single runs that once went wrong, or that show one rule of the scheduler by itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from curator_executor.core.errors import SetupFailed, StageFailed, WorkersKeepDying
from curator_executor.core.state import CoreSettings
from curator_executor.core.types import Need, Node, StageSpec
from curator_executor.simulation.simulate import Simulation, SimulationResult, simulate
from curator_executor.simulation.workload import Faults, StageWork, Workload


def stages(*specs: StageSpec) -> tuple[StageSpec, ...]:
    return tuple(replace(spec, index=index, name=f"s{index}") for index, spec in enumerate(specs))


def spec(**options: object) -> StageSpec:
    return StageSpec(0, "", **options)  # type: ignore[arg-type]


def assert_complete(run: Simulation, result: SimulationResult) -> None:
    assert (result.state.ending, result.state.error) == ("succeeded", None)
    assert Counter(result.outputs) == Counter(run.workload.expected_outputs())
    assert result.blocks_left == 0


def test_input_left_in_a_worker_that_changed_stage_is_finished() -> None:
    """A worker held unfinished input when it was given away.

    1. The worker of s0 returns a full block; the rest of its batch waits in it.
    2. s1's queue is full, so it may not go on; s0 needs fewer workers: it is given to s2.
    3. s1 drains. Only that worker can finish the batch, and s0 has its wanted count of others.
    """
    run = Simulation(
        Workload(
            stages(
                spec(batch_size=3, min_workers=1),
                spec(batch_size=7, need=Need(0.5)),
                spec(batch_size=2),
            ),
            (
                StageWork(batch_s=0.4, jitter=0.5, fan_out=3, output_bytes=50_000, setup_s=2.0),
                StageWork(batch_s=0.4, fan_out=12, output_bytes=50_000),
                StageWork(batch_s=3.0, setup_s=0.0),
            ),
            source_tasks=8,
            seed=465,
        ),
        nodes=(Node("n1", cpus=8.0),),
        block_bytes=2000,
    )
    result = simulate(run)
    assert_complete(run, result)
    assert result.ledger.idle_waits == 0


def test_global_stage_keeps_its_one_worker_while_stages_take_turns() -> None:
    """Its state lives in one process: another worker would see a part of the tasks only."""
    run = Simulation(
        Workload(
            stages(spec(), spec(is_global=True), spec(), spec()),
            (
                StageWork(batch_s=1.0, fan_out=4, output_bytes=50_000),
                StageWork(batch_s=0.1, output_bytes=50_000),
                StageWork(batch_s=0.5, fan_out=2),
                StageWork(batch_s=0.5),
            ),
            source_tasks=12,
        ),
        nodes=(Node("n1", cpus=2.0, store_bytes=200_000),),
    )
    assert_complete(run, simulate(run))


def test_worker_that_changes_stage_waits_until_its_node_is_prepared() -> None:
    """Several workers take up the next stage at once; the first one prepares the node.

    The simulated pool refuses a set-up on a node that is not prepared yet.
    """
    run = Simulation(
        Workload(
            stages(spec(), spec()),
            (StageWork(batch_s=0.1), StageWork(batch_s=0.1, setup_s=2.0)),
            source_tasks=20,
        ),
        nodes=(Node("n1", cpus=4.0),),
        settings=CoreSettings(batch_mode=True),
    )
    result = simulate(run)
    assert_complete(run, result)
    assert result.ledger.node_setups == {(0, "n1"): 1, (1, "n1"): 1}


def test_call_that_cannot_be_carried_out_is_replaced_with_its_worker() -> None:
    """1. A call breaks. 2. Its worker is killed. 3. Nothing more may be sent to that worker."""
    run = Simulation(
        Workload(
            stages(spec(ignore_failures=True)),
            (StageWork(batch_s=0.05),),
            source_tasks=60,
            faults=Faults(breaks=0.2, most_broken=2),
        ),
        nodes=(Node("n1", cpus=2.0),),
    )
    result = simulate(run)
    assert result.ledger.broken == 2
    lost = result.ledger.lost({0: 2})
    assert sorted(result.outputs) == run.workload.expected_outputs(lost)


def test_batch_that_kills_two_workers_by_itself_is_named_and_given_up() -> None:
    run = Simulation(
        Workload(
            stages(spec(batch_size=2, ignore_failures=True)),
            (StageWork(batch_s=0.05, kills_on=frozenset({(7,)})),),
            source_tasks=20,
        ),
        nodes=(Node("n1", cpus=2.0),),
    )
    result = simulate(run)
    assert [failure.error.error for failure in result.state.failures] == ["WorkerDied"]
    assert sorted(result.outputs) == [(n, 0) for n in range(20) if n not in (6, 7)]
    assert result.ledger.processed[0, (7,)] <= 3


def test_source_that_lists_once_feeds_a_thousand_tasks() -> None:
    run = Simulation(
        Workload(
            stages(spec(), spec(batch_size=7)),
            (StageWork(batch_s=0.5, fan_out=1000, yields=True), StageWork(batch_s=0.01)),
            source_tasks=1,
        )
    )
    result = simulate(run)
    assert_complete(run, result)
    sizes = Counter(len(batch) for stage, batch in result.ledger.batches if stage == 1)
    assert sizes == {7: 142, 6: 1}


def test_seven_stages_on_two_cores_take_turns() -> None:
    run = Simulation(
        Workload(
            stages(*(spec() for _ in range(7))),
            tuple(StageWork(batch_s=0.05, fan_out=2 if n == 2 else 1) for n in range(7)),
            source_tasks=50,
        ),
        nodes=(Node("n1", cpus=2.0),),
    )
    result = simulate(run)
    assert_complete(run, result)
    assert result.ledger.idle_waits == 0


@pytest.mark.parametrize(("cores", "at_most_s"), [(2.0, 31), (3.0, 25), (4.0, 19)])
def test_stage_with_little_to_do_gives_its_core_to_the_slow_one(
    cores: float, at_most_s: float
) -> None:
    """52 s of work, most of it in s1; s2 sees everything before it emits and is busy for 3 %.

    1. s2 has a worker of its own and waits for s1. 2. s1 is given that core. 3. Every quantum s2
    has it back for as long as it takes. Without that the run takes 46, 40 and 45 s.
    """
    run = Simulation(
        Workload(
            stages(
                spec(fans_out=True),
                spec(),
                spec(is_global=True, keeps_state_in_scratch=True),
                spec(),
            ),
            (
                StageWork(batch_s=0.02, fan_out=10, output_bytes=500_000),
                StageWork(batch_s=0.1, output_bytes=400_000, setup_s=1.0),
                StageWork(batch_s=0.003, output_bytes=400_000),
                StageWork(batch_s=0.025),
            ),
            source_tasks=40,
        ),
        nodes=(Node("n1", cpus=cores),),
    )
    result = simulate(run)
    assert_complete(run, result)
    assert result.seconds < at_most_s
    # A set-up in each process once, and no more: a worker keeps what it has set up.
    assert sum(pool.workers_started for pool in result.state.pools) <= 4 * cores


def test_stages_that_take_long_to_set_up_get_something_done_in_their_turn() -> None:
    """Workers of different shapes take turns, and a set-up takes longer than a turn.

    1. s1 and s2 come up on one core each. 2. When they are ready their turn is over already: s0,
    which needs both cores, waits. 3. They are stopped, and come up again before s0, for ever.
    """
    run = Simulation(
        Workload(
            stages(
                spec(batch_size=3, need=Need(2.0)),
                spec(fixed_workers=1, batch_size=7),
                spec(batch_size=2, env_key="other"),
            ),
            (
                StageWork(batch_s=0.05, fan_out=5, output_bytes=20_000, setup_s=3.0),
                StageWork(batch_s=0.05, fan_out=2, output_bytes=20_000, setup_s=3.0),
                StageWork(batch_s=0.4, setup_s=3.0),
            ),
            source_tasks=40,
        ),
        nodes=(Node("n1", cpus=2.0, store_bytes=1_000_000),),
    )
    result = simulate(run)
    assert_complete(run, result)
    # 200 batches of 0.4 s on one core, and the set-ups between turns.
    assert result.seconds < 200


def test_queues_stay_below_their_limit() -> None:
    """A fast reader before a slow stage: what waits between them is bounded by bytes."""
    run = Simulation(
        Workload(
            stages(spec(), spec()),
            (
                StageWork(batch_s=0.001, fan_out=10, output_bytes=20_000),
                StageWork(batch_s=0.5),
            ),
            source_tasks=100,
        ),
        nodes=(Node("n1", cpus=4.0, store_bytes=4_000_000),),
    )
    result = simulate(run)
    assert_complete(run, result)
    # Half of the store is for queues; two boundaries share it; the calls' own blocks come on top.
    assert result.ledger.most_held_bytes <= 2_000_000


def test_workers_go_to_the_slow_stage() -> None:
    run = Simulation(
        Workload(
            stages(spec(), spec()),
            (StageWork(batch_s=0.01), StageWork(batch_s=0.5)),
            source_tasks=200,
        ),
        nodes=(Node("n1", cpus=8.0),),
    )
    result = simulate(run)
    assert_complete(run, result)
    # 200 tasks of 0.5 s: 100 s on one worker, 14.3 s on seven.
    assert result.seconds < 20


def test_most_workers_of_a_stage_is_honoured() -> None:
    run = Simulation(
        Workload(
            stages(spec(max_workers=2)),
            (StageWork(batch_s=0.5),),
            source_tasks=40,
        ),
        nodes=(Node("n1", cpus=8.0),),
    )
    result = simulate(run)
    assert_complete(run, result)
    assert result.state.pools[0].workers_started == 2


def test_failing_setup_ends_the_run() -> None:
    run = Simulation(
        Workload(stages(spec()), (StageWork(setup_raises=True),), source_tasks=3),
    )
    result = simulate(run)
    assert isinstance(result.state.error, SetupFailed)
    assert "s0" in str(result.state.error)


def test_workers_that_die_before_they_are_ready_end_the_run() -> None:
    run = Simulation(
        Workload(
            stages(spec(max_workers=1)),
            (StageWork(setup_s=1.0),),
            source_tasks=3,
            faults=Faults(dies_at={1: 0.2, 2: 0.5, 3: 1.0}),
        ),
    )
    result = simulate(run)
    assert isinstance(result.state.error, WorkersKeepDying)


def test_global_stage_that_loses_its_worker_ends_the_run() -> None:
    run = Simulation(
        Workload(
            stages(spec(is_global=True)),
            (StageWork(batch_s=0.5),),
            source_tasks=30,
            faults=Faults(dies_at={1: 5.0}),
        ),
    )
    result = simulate(run)
    assert isinstance(result.state.error, StageFailed)
    assert "keeps_state_in_scratch" in str(result.state.error)


def test_global_stage_with_its_state_in_scratch_survives_its_worker() -> None:
    run = Simulation(
        Workload(
            stages(spec(is_global=True, keeps_state_in_scratch=True), spec()),
            (StageWork(batch_s=0.5), StageWork()),
            source_tasks=30,
            faults=Faults(dies_at={1: 5.0}),
        ),
    )
    result = simulate(run)
    assert_complete(run, result)
    assert [worker for worker, _ in result.ledger.deaths] == [1]


@pytest.mark.parametrize("fuse", [False, True])
def test_fusing_changes_nothing_but_the_number_of_calls(fuse: bool) -> None:
    run = Simulation(
        Workload(
            stages(spec(batch_size=3), spec(), spec()),
            (
                StageWork(batch_s=0.01, fan_out=2),
                StageWork(batch_s=0.01, keep=0.5),
                StageWork(batch_s=0.01, fan_out=3),
            ),
            source_tasks=40,
        ),
        fuse=fuse,
    )
    result = simulate(run)
    assert_complete(run, result)
    assert len(result.state.pools) == (1 if fuse else 3)
