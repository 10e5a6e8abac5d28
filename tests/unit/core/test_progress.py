"""Figures for people: rates, time left, the bottleneck."""

from __future__ import annotations

import pytest

from curator_executor.core import progress
from curator_executor.core.progress import Rates
from curator_executor.core.state import State
from curator_executor.core.types import WorkerId
from tests.unit.core.states import bring_up, run_of


def counted(*rows: tuple[int, int, int], done: int = 0) -> State:
    """A run whose pools have accepted, consumed and emitted so much; the first `done` are done."""
    state = run_of(*({} for _ in rows), tasks=rows[0][0])
    for pool, (accepted, consumed, emitted) in zip(state.pools, rows, strict=True):
        pool.accepted, pool.consumed, pool.emitted = accepted, consumed, emitted
        pool.done = pool.spec.index < done
    return state


def with_workers(state: State, pool: int, *workers: WorkerId) -> None:
    state.pools[pool].workers = set(workers)


@pytest.mark.parametrize(
    ("rows", "done", "total", "finished"),
    [
        ([(100, 40, 40), (40, 10, 10)], 0, 100, 10),  # one to one: what has come out at the end
        ([(100, 40, 80), (80, 20, 20)], 0, 100, 10),  # fan-out of two: 20 tasks are 10 inputs
        ([(100, 40, 0), (0, 0, 0)], 0, 100, 40),  # all filtered out: they are finished
        ([(100, 100, 100), (100, 100, 100)], 2, 100, 100),
        ([(1, 0, 0), (0, 0, 0)], 0, None, 0),  # a source: its outputs are the inputs
        ([(1, 0, 30), (30, 12, 12)], 0, None, 12),
        ([(1, 1, 50), (50, 12, 12)], 1, 50, 12),
        ([(1, 0, 0)], 0, 1, 0),
    ],
)
def test_inputs_count_when_all_that_comes_of_them_is_done(
    rows: list[tuple[int, int, int]], done: int, total: int | None, finished: float
) -> None:
    state = counted(*rows, done=done)
    assert (progress.inputs_total(state), progress.inputs_done(state)) == (total, finished)


@pytest.mark.parametrize(
    ("rate", "left"), [(9.0, 10.0), (0.0, None), (1e9, pytest.approx(0.0, abs=1e-6))]
)
def test_time_left_is_what_is_left_at_the_recent_rate(rate: float, left: float | None) -> None:
    assert progress.eta_s(counted((100, 40, 40), (40, 10, 10)), rate) == left


def test_time_left_is_unknown_while_the_source_emits() -> None:
    assert progress.eta_s(counted((1, 0, 30), (30, 12, 12)), 5.0) is None


def test_rates_are_those_of_the_last_twenty_seconds() -> None:
    state = counted((1000, 0, 0))
    rates = Rates()
    assert (rates.inputs_per_s(), rates.tasks_per_s(0), rates.busy_share(0)) == (0.0, 0.0, 0.0)
    for second in range(41):
        # 1 a second at first, 10 a second in the last twenty.
        rate_then = second if second <= 20 else 20 + 10 * (second - 20)
        state.pools[0].consumed = rate_then
        state.totals[0].figures.tasks_in = rate_then
        rates.add(state, float(second))
    assert rates.inputs_per_s() == pytest.approx(10.0)
    assert rates.tasks_per_s(0) == pytest.approx(10.0)
    assert rates.readings[0].at == 20.0


def test_busy_share_is_of_the_workers_that_were_ready() -> None:
    state = run_of({}, tasks=50, cpus=2.0)
    bring_up(state, 1, 2)
    rates = Rates()
    rates.add(state, 0.0)
    state.totals[0].figures.process_s = 5.0
    rates.add(state, 10.0)
    assert rates.busy_share(0) == pytest.approx(0.25)
    state.totals[0].figures.process_s = 500.0
    rates.add(state, 20.0)
    assert rates.busy_share(0) == 1.0


def test_bottleneck_is_the_stage_with_most_work_waiting_per_worker() -> None:
    state = counted((100, 50, 50), (50, 10, 10), (10, 10, 10))
    assert progress.bottleneck(state, Rates()) is None
    for pool, seconds in zip(state.pools, (0.1, 2.0, 0.5), strict=True):
        pool.cost.per_task = seconds
    with_workers(state, 1, 1, 2)
    found = progress.bottleneck(state, Rates())
    assert found == (1, "busy 0%, 40 tasks waiting: 40 s of work for 2 workers")


def test_stage_that_is_done_is_no_bottleneck() -> None:
    state = counted((10, 10, 10), done=1)
    state.pools[0].cost.per_task = 5.0
    assert progress.bottleneck(state, Rates()) is None


def test_fused_bottleneck_is_the_slowest_of_its_stages() -> None:
    from curator_executor.core.fusion import plan_pools
    from curator_executor.core.state import CoreSettings, new_state
    from tests.unit.core.states import NODE, specs

    pools = plan_pools(specs({}, {}), fuse=True)
    state = new_state(pools, (NODE,), CoreSettings(), 5, 0, 0.0)
    state.pools[0].cost.per_task = 1.0
    state.totals[1].figures.process_s = 3.0
    found = progress.bottleneck(state, Rates())
    assert found is not None
    assert found[0] == 1
