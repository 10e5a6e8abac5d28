"""Stages that share cores: who gives its worker away, and when it gets it back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from curator_executor.core.actions import SetupWorker
from curator_executor.core.events import WorkerCreated, WorkerReady
from curator_executor.core.lifecycle import WorkerState
from curator_executor.core.state import CoreSettings, State
from curator_executor.core.turns import lends, someone_can_help, someone_waits, useful_workers
from curator_executor.core.types import Need
from tests.unit.core.states import after, bring_up, calls, done, run_of

HELP = SetupWorker(2, 0, node_setup=False)


def slow_before_idle(tasks: int = 500, **second: Any) -> State:
    """Two cores: s0 is slow and has all the work, s1 has a worker and nothing to do."""
    state = run_of({}, second, tasks=tasks, cpus=2.0)
    found = calls(bring_up(state, 1, 2))
    for _ in range(2):  # measured
        found = calls(after(state, done(found[0], out=0, wall_s=1.0)))
    return state


def test_worker_with_nothing_to_do_helps_the_slow_stage() -> None:
    state = run_of({}, {}, tasks=500, cpus=2.0)
    first, *_ = calls(bring_up(state, 1, 2))
    second, *_ = calls(after(state, done(first, out=0, wall_s=1.0)))
    actions = after(state, done(second, out=0, wall_s=1.0))
    assert HELP in actions
    assert state.pools[1].workers == set()


def test_helper_is_called_back_after_a_quantum_when_its_stage_has_work() -> None:
    state = slow_before_idle()
    found = calls(after(state, WorkerReady(2, 0.1), now=2.0))
    assert {call.worker for call in found} == {2}
    mine = next(call for call in state.workers[1].calls)
    after(state, done(mine, wall_s=1.0), now=3.0)
    assert (someone_waits(state), state.next_scale_at) == (True, 5.0)
    after(state, now=5.0)
    held = list(state.workers[2].calls)
    actions = after(state, *(done(call, wall_s=1.0) for call in held), now=5.5)
    assert state.workers[2].pool == 1
    assert {call.pool for call in calls(actions) if call.worker == 2} == {1}


@pytest.mark.parametrize(
    "second",
    [
        {"fixed_workers": 1},
        {"min_workers": 1},
        {"workers_per_node": 1.0},
        {"need": Need(1.0, memory=1)},
        {"is_global": True},
    ],
    ids=["pinned", "least", "per node", "memory", "state in the process"],
)
def test_worker_that_a_stage_must_keep_is_not_lent(second: dict[str, Any]) -> None:
    state = slow_before_idle(**second)
    assert not lends(state, state.pools[1])
    assert len(state.pools[1].workers) == 1


def test_state_in_scratch_does_not_tie_a_worker() -> None:
    state = slow_before_idle(is_global=True, keeps_state_in_scratch=True)
    assert state.workers[2].pool == 0


def test_beside_gpus_no_core_is_lent() -> None:
    state = run_of({}, {}, {"need": Need(1.0, gpus=1.0)}, tasks=500, cpus=3.0)
    state.nodes = (replace(state.nodes[0], gpus=1.0),)
    found = calls(bring_up(state, 1, 2, 3))
    for _ in range(3):
        found = calls(after(state, done(found[0], out=0, wall_s=1.0)))
    assert [len(pool.workers) for pool in state.pools] == [1, 1, 1]


def test_help_that_takes_longer_to_set_up_than_the_work_is_not_given() -> None:
    state = run_of({}, {}, tasks=8, cpus=2.0)
    found = calls(bring_up(state, 1, 2))
    state.totals[0].setup_s = 30.0
    for _ in range(2):
        found = calls(after(state, done(found[0], out=0, wall_s=1.0)))
    assert state.pools[0].queued_tasks > 0
    assert not someone_can_help(state)
    assert state.workers[2].pool == 1


def test_workers_that_different_processes_need_do_not_help() -> None:
    state = slow_before_idle(env_key="other")
    assert (state.workers[2].pool, state.workers[2].state) == (1, WorkerState.READY)


def test_stage_that_is_held_back_gets_no_help() -> None:
    """s1 has a worker in its set-up, so its full queue holds s0 back; s2 has nothing to do."""
    state = run_of({}, {}, {}, tasks=500, cpus=3.0, store_bytes=1_000_000)
    found = calls(bring_up(state, 1))
    for out_bytes in (1, 1, 400_000):
        found += calls(after(state, done(found.pop(0), out_bytes=out_bytes)))
    after(state, WorkerCreated(3, "n1"), WorkerReady(3, 0.1))
    assert len(state.workers[1].calls) == 1
    assert state.pools[0].why_blocked
    assert state.pools[0].queued_tasks > 0
    assert (state.workers[3].pool, someone_can_help(state)) == (2, False)


def test_only_so_many_are_useful_as_have_something_to_do() -> None:
    state = slow_before_idle(tasks=6)
    pool = state.pools[0]
    assert useful_workers(state, pool, []) == 2
    pool.queue.clear()
    pool.queued_tasks = 0
    state.workers[1].units.clear()
    assert useful_workers(state, pool, []) == 1


def test_most_workers_are_not_passed_by_help() -> None:
    settings = CoreSettings(max_workers_per_stage=1)
    state = run_of({}, {}, tasks=500, cpus=2.0, settings=settings)
    found = calls(bring_up(state, 1, 2))
    for _ in range(3):
        found = calls(after(state, done(found[0], out=0, wall_s=1.0)))
    assert [len(pool.workers) for pool in state.pools] == [1, 1]
    assert not someone_can_help(state)
