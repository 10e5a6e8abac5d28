"""Any pipeline, any deaths: a run ends, loses nothing, doubles nothing.

Every example checks the invariants of the core after every step, and that the core asks for
nothing that a worker pool cannot do.
"""

from __future__ import annotations

from hypothesis import given, note, settings
from hypothesis import strategies as st

from curator_executor.simulation.simulate import Simulation, SimulationResult, simulate
from tests.simulation.pipelines import (
    broken_calls,
    check_batches,
    check_complete,
    poisoned,
    random_faults,
    simulations,
)


def simulated(run: Simulation) -> SimulationResult:
    note(f"seed {run.workload.seed}")
    result = simulate(run)
    note(f"{result.steps} steps, {result.seconds:.1f} virtual seconds")
    return result


@given(run=simulations())
@settings(max_examples=60)
def test_run_without_faults_does_every_task_once(run: Simulation) -> None:
    result = simulated(run)
    check_complete(run, result)
    check_batches(run, result)
    assert max(result.ledger.processed.values(), default=1) == 1


@given(run=simulations())
@settings(max_examples=40)
def test_run_without_faults_never_stands_still(run: Simulation) -> None:
    assert simulated(run).ledger.idle_waits == 0


@given(run=simulations(faults=random_faults()))
@settings(max_examples=80)
def test_random_deaths_lose_and_double_nothing(run: Simulation) -> None:
    result = simulated(run)
    check_complete(run, result)
    check_batches(run, result)


@given(run=simulations(faults=random_faults(), batch_mode=st.just(value=True)))
@settings(max_examples=40)
def test_batch_mode_gives_outputs_in_input_order_through_deaths(run: Simulation) -> None:
    result = simulated(run)
    assert result.outputs == run.workload.expected_outputs()


@given(run=simulations(faults=broken_calls(), ignore=True, global_stages=False))
@settings(max_examples=40)
def test_broken_calls_cost_their_own_batches_only(run: Simulation) -> None:
    result = simulated(run)
    check_complete(run, result)


@given(run=poisoned(ignore=True))
@settings(max_examples=60)
def test_only_poison_batches_are_lost_when_failures_are_ignored(run: Simulation) -> None:
    result = simulated(run)
    check_complete(run, result)
    lost = result.ledger.lost({stage.index: 2 for stage in run.workload.stages})
    assert sum(failure.error.tasks for failure in result.state.failures) == len(lost)


@given(run=poisoned(ignore=False))
@settings(max_examples=40)
def test_first_poison_batch_ends_the_run_unless_failures_are_ignored(run: Simulation) -> None:
    result = simulated(run)
    lost = result.ledger.lost({stage.index: 2 for stage in run.workload.stages})
    assert (result.state.ending == "failed") == bool(lost)
    assert (result.state.error is not None) == bool(lost)
    if not lost:
        check_complete(run, result)


@given(run=simulations(faults=random_faults()))
@settings(max_examples=15)
def test_same_seed_gives_the_same_run(run: Simulation) -> None:
    one, other = simulated(run), simulated(run)
    assert (one.outputs, one.steps, one.seconds) == (other.outputs, other.steps, other.seconds)
