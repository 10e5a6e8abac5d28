"""The loop carries out what the core decides, and ends whatever happens: on virtual time."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from curator_executor.core import invariants
from curator_executor.core.events import Event
from curator_executor.core.fusion import plan_pools
from curator_executor.core.state import CoreSettings, new_state
from curator_executor.core.types import Node, StageSpec
from curator_executor.runtime.loop import INTERRUPTED_DRAIN_S, Loop
from curator_executor.runtime.stop import Terminated
from curator_executor.simulation.pool import SimulatedPool
from curator_executor.simulation.workload import Faults, StageWork, Workload

NODES = (Node("n1", cpus=2.0),)


class InterruptedPool(SimulatedPool):
    """Raises, as a signal does, before or after its n-th operation.

    Args:
        at: number of the operation.
        after: whether the operation is carried out first.
        error: what is raised.
    """

    def __init__(
        self,
        *args: Any,
        at: int,
        after: bool = False,
        error: type[BaseException] = KeyboardInterrupt,
    ) -> None:
        super().__init__(*args)
        self.at, self.late, self.error = at, after, error
        self.operations = 0

    def _do(self, operation: Any, *args: Any) -> Any:
        self.operations += 1
        now = self.operations == self.at
        if now and not self.late:
            raise self.error
        result = operation(*args)
        if now:
            raise self.error
        return result

    def start(self, action: Any) -> None:
        self._do(super().start, action)

    def setup(self, action: Any) -> None:
        self._do(super().setup, action)

    def submit(self, call: Any) -> None:
        self._do(super().submit, call)

    def stop(self, worker: int) -> None:
        self._do(super().stop, worker)

    def wait(self, timeout_s: float | None) -> Sequence[Event]:
        found: Sequence[Event] = self._do(super().wait, timeout_s)
        return found


def work_of(*work: StageWork, tasks: int = 8, **options: Any) -> Workload:
    stages = tuple(StageSpec(index, f"s{index}") for index in range(len(work)))
    return Workload(stages, work, tasks, **options)


def loop_on(
    workload: Workload, drain_s: float = 3.0, pool: SimulatedPool | None = None, **options: Any
) -> Loop:
    pools = plan_pools(workload.stages, fuse=False)
    workers = pool or SimulatedPool(pools, NODES, workload)
    state = new_state(pools, NODES, CoreSettings(), workload.source_tasks, 0, workers.now())
    return Loop(state, workers, drain_s=drain_s, check=invariants.check, **options)


def interrupted_at(workload: Workload, **how: Any) -> Loop:
    pools = plan_pools(workload.stages, fuse=False)
    return loop_on(workload, pool=InterruptedPool(pools, NODES, workload, **how))


def assert_nothing_left(loop: Loop) -> None:
    assert loop.state.ended
    assert isinstance(loop.pool, SimulatedPool)
    assert loop.pool.clock.now < 70


def test_run_ends_when_every_worker_has_stopped() -> None:
    workload = work_of(StageWork(fan_out=2), StageWork())
    loop = loop_on(workload)
    loop.run()
    assert loop.state.ended
    assert loop.state.ending == "succeeded"
    assert Counter(loop.pool.outputs()) == Counter(workload.expected_outputs())


def test_check_is_called_after_every_step() -> None:
    seen: list[str] = []
    workload = work_of(StageWork())
    loop = loop_on(workload)
    loop._check = lambda state: seen.append(state.ending)
    loop.run()
    assert seen[0] == ""
    assert seen[-1] == "succeeded"


def test_progress_is_published_by_the_clock_and_once_at_the_end() -> None:
    ticks: list[float] = []
    loop = loop_on(work_of(StageWork(batch_s=1.0)), tick_s=1.0, on_tick=ticks.append)
    loop.run()
    assert ticks[0] == 0.0
    gaps = [later - sooner for sooner, later in itertools.pairwise(ticks[:-1])]
    assert all(1.0 <= gap < 1.2 for gap in gaps)
    assert ticks[-1] == loop.pool.now()


def test_every_decision_is_kept_with_its_time_stage_and_reason() -> None:
    loop = loop_on(work_of(StageWork(), tasks=1))
    loop.run()
    first, last = loop.decisions
    assert (first.at_s, first.stage, first.action, first.reason) == (
        0.0,
        "s0",
        "start worker 1",
        "one worker at least",
    )
    assert (last.action, last.reason) == ("stop worker 1", "the run has succeeded")


def how_many_operations(workload: Workload) -> int:
    pools = plan_pools(workload.stages, fuse=False)
    pool = InterruptedPool(pools, NODES, workload, at=0)
    loop_on(workload, pool=pool).run()
    return pool.operations


SHORT = work_of(StageWork(batch_s=0.2), StageWork(batch_s=0.2), tasks=3)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", range(1, how_many_operations(SHORT) + 1))
def test_interrupt_at_any_moment_ends_the_run_with_no_worker_left(at: int, after: bool) -> None:
    loop = interrupted_at(SHORT, at=at, after=after)
    with pytest.raises(KeyboardInterrupt):
        loop.run()
    assert_nothing_left(loop)


class AskedPool(InterruptedPool):
    """Has the loop cancelled, as a signal handler does, before or after its n-th operation."""

    loop: Loop
    how: KeyboardInterrupt

    def _do(self, operation: Any, *args: Any) -> Any:
        self.operations += 1
        now = self.operations == self.at
        if now and not self.late:
            self.loop.cancel(self.how)
        result = operation(*args)
        if now and self.late:
            self.loop.cancel(self.how)
        return result


def asked_at(
    workload: Workload, at: int, after: bool, how: KeyboardInterrupt, **options: Any
) -> Loop:
    pools = plan_pools(workload.stages, fuse=False)
    pool = AskedPool(pools, NODES, workload, at=at, after=after)
    pool.loop = loop_on(workload, pool=pool, **options)
    pool.how = how
    return pool.loop


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", range(1, how_many_operations(SHORT) + 1))
def test_request_at_any_moment_cuts_no_step_short(at: int, after: bool) -> None:
    """All that happened is taken in: the invariants are checked after each step."""
    loop = asked_at(SHORT, at, after, KeyboardInterrupt("enough"))
    with pytest.raises(KeyboardInterrupt, match="enough"):
        loop.run()
    assert_nothing_left(loop)


def test_reason_of_a_request_becomes_the_message_of_the_run() -> None:
    loop = asked_at(SHORT, 5, True, Terminated("drained over HTTP"))
    with pytest.raises(Terminated):
        loop.run()
    assert (loop.state.ending, loop.state.message) == ("cancelled", "drained over HTTP")


def test_drained_workers_get_all_of_their_time_and_hurried_ones_two_seconds() -> None:
    slow = work_of(StageWork(batch_s=20.0))
    took = []
    for how in (Terminated("drain"), KeyboardInterrupt()):
        loop = asked_at(slow, 9, True, how, drain_s=60.0)
        with pytest.raises(KeyboardInterrupt):
            loop.run()
        took.append(loop.pool.now())
    assert took[0] > 19.0
    assert took[1] == pytest.approx(INTERRUPTED_DRAIN_S, abs=1.5)


def test_ctrl_c_hurries_a_run_that_drains() -> None:
    loop = asked_at(work_of(StageWork(batch_s=50.0)), 9, True, Terminated("drain"), drain_s=60.0)
    ticks: list[float] = []

    def tick(now: float) -> None:
        ticks.append(now)
        if loop.state.ending and now > 5.0:
            loop.cancel(KeyboardInterrupt())

    loop._on_tick, loop._tick_s = tick, 1.0
    with pytest.raises(Terminated):
        loop.run()
    assert 5.0 < loop.pool.now() < 5.0 + 1.0 + INTERRUPTED_DRAIN_S + 1.0


def test_progress_goes_on_while_workers_end() -> None:
    ticks: list[float] = []
    slow = work_of(StageWork(batch_s=20.0))
    loop = asked_at(
        slow, 9, True, Terminated("drain"), drain_s=60.0, tick_s=1.0, on_tick=ticks.append
    )
    with pytest.raises(Terminated):
        loop.run()
    gaps = [later - sooner for sooner, later in itertools.pairwise(ticks)]
    assert loop.pool.now() > 19.0
    assert max(gaps) < 1.2


def test_request_ends_the_wait_for_things_to_happen() -> None:
    """The next thing is due in minutes: a decision on scaling, the end of the batch later still."""
    asked: list[float] = []

    class Waiting(SimulatedPool):
        submitted = False

        def submit(self, call: Any) -> None:
            self.submitted = True
            super().submit(call)

        def wait(self, timeout_s: float | None) -> Sequence[Event]:
            if self.submitted and not asked:
                asked.append(self.now())
                loop.cancel(KeyboardInterrupt())
            return super().wait(timeout_s)

    workload = work_of(StageWork(batch_s=500.0), tasks=1)
    loop = loop_on(workload, pool=Waiting(plan_pools(workload.stages, fuse=False), NODES, workload))
    with pytest.raises(KeyboardInterrupt):
        loop.run()
    assert loop.pool.now() < asked[0] + INTERRUPTED_DRAIN_S + 1.5


def test_run_that_had_failed_before_ctrl_c_ends_with_its_error() -> None:
    workload = work_of(
        StageWork(batch_s=0.5, raises_on=frozenset({(10,)})),
        StageWork(batch_s=500.0, jitter=0.0),
        tasks=20,
        faults=Faults(),
    )
    loop = loop_on(workload, drain_s=60.0, tick_s=1.0)
    asked: list[float] = []

    def tick(now: float) -> None:
        if loop.state.ending == "failed" and not asked:
            asked.append(now)
            loop.cancel(KeyboardInterrupt())

    loop._on_tick = tick
    loop.run()
    assert loop.state.error is not None
    assert loop.pool.now() < asked[0] + INTERRUPTED_DRAIN_S + 1.5


def test_interrupted_workers_get_two_seconds() -> None:
    workload = work_of(StageWork(batch_s=50.0))
    loop = interrupted_at(workload, at=9, after=True)
    loop._drain_s = 30.0
    with pytest.raises(KeyboardInterrupt):
        loop.run()
    assert loop.state.ending == "cancelled"
    assert loop.pool.now() == pytest.approx(INTERRUPTED_DRAIN_S, abs=1.5)
    assert "did not end within 2 s" in loop.decisions[-1].reason


def test_terminated_workers_get_all_of_their_time() -> None:
    workload = work_of(StageWork(batch_s=20.0))
    loop = interrupted_at(workload, at=9, after=True, error=Terminated)
    loop._drain_s = 60.0
    with pytest.raises(Terminated):
        loop.run()
    assert loop.pool.now() > 19.0
    assert not [d for d in loop.decisions if d.action.startswith("kill")]


def test_second_interrupt_ends_at_once() -> None:
    workload = work_of(StageWork(batch_s=50.0))

    class Impatient(InterruptedPool):
        def wait(self, timeout_s: float | None) -> Sequence[Event]:
            if self.operations >= self.at:
                raise KeyboardInterrupt
            return super().wait(timeout_s)

    pools = plan_pools(workload.stages, fuse=False)
    loop = loop_on(workload, pool=Impatient(pools, NODES, workload, at=9))
    with pytest.raises(KeyboardInterrupt):
        loop.run()
    assert loop.pool.now() < 2.0


def test_worker_that_does_not_end_is_killed_and_the_run_keeps_its_result() -> None:
    workload = replace(work_of(StageWork()), teardown_s=1e6)
    loop = loop_on(workload)
    loop.run()
    assert loop.state.ending == "succeeded"
    assert len(loop.pool.outputs()) == 8
    assert loop.decisions[-1].action.startswith("kill worker")
    assert loop.pool.now() < 70


def test_failed_run_waits_for_its_workers_no_longer_than_drain_s() -> None:
    workload = work_of(
        StageWork(batch_s=0.1, raises_on=frozenset({(0,)})),
        StageWork(batch_s=500.0, jitter=0.0),
        tasks=20,
        faults=Faults(),
    )
    loop = loop_on(workload, drain_s=2.0)
    loop.run()
    assert loop.state.ending == "failed"
    assert loop.pool.now() < 10


def test_many_decisions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curator_executor.runtime.loop.MOST_DECISIONS", 1)
    loop = loop_on(work_of(StageWork()))
    loop.run()
    assert len(loop.decisions) == 1
    assert loop.state.decisions == []
