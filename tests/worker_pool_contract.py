"""What every worker pool must do, as tests: the base class of the simulated and the Ray ones.

A subclass gives `make`, which builds a pool for a `Scenario` and says how to read its outputs. The
tests play the driver by hand: they start workers, send calls and read events.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from curator_executor.core.actions import SetupWorker, StartWorker
from curator_executor.core.events import (
    CallDone,
    Event,
    NodesChanged,
    WorkerCreated,
    WorkerDied,
    WorkerReady,
    WorkerSetupFailed,
    WorkerStopped,
)
from curator_executor.core.types import SOURCE_BLOCK, BlockId, Call, CallReport, Segment
from curator_executor.runtime.ports import WorkerPool

# An event that has not come by then will not. Generous: a busy machine starts a process slowly.
COMES_WITHIN_S = 90.0
# After the last event: time in which a pool that says too much would do so.
SETTLES_WITHIN_S = 0.3
ENDS = (WorkerDied, WorkerStopped)


@dataclass(frozen=True)
class Scenario:
    """A pipeline of one stage, or two with the second one as the first.

    Attributes:
        fan_out: outputs per task.
        yields: they are handed out one by one.
        block_bytes: bytes after which a call returns.
        output_bytes: of one output, about.
        dies_on: tasks (by number) whose batch ends the process.
        dies_in_setup: `setup` ends the process.
        setup_raises: `setup` raises.
        raises_on: tasks whose batch raises.
        is_global: takes everything in and gives it out, in order, at the end.
    """

    fan_out: int = 1
    yields: bool = False
    block_bytes: int = 1_000_000
    output_bytes: int = 100
    dies_on: frozenset[int] = frozenset()
    dies_in_setup: bool = False
    setup_raises: bool = False
    raises_on: frozenset[int] = frozenset()
    is_global: bool = False


# (number of the source task, ordinal of the output)
Output = tuple[int, int]


class Bench(Protocol):
    """A pool under test."""

    @property
    def pool(self) -> WorkerPool:
        """The pool."""

    def read(self, outputs: list[Any]) -> list[Output]:
        """Outputs, as what they were made from."""

    def crash(self, worker: int) -> None:
        """End a worker's process behind the pool's back."""


@dataclass
class Driver:
    """Plays the driver, and keeps all it hears."""

    bench: Bench
    heard: list[Event] = field(default_factory=list)
    block: int = 0

    @property
    def pool(self) -> WorkerPool:
        return self.bench.pool

    def start(self, worker: int = 1) -> None:
        self.pool.start(StartWorker(worker, 0, "a test"))

    def setup(self, worker: int = 1, *, node_setup: bool = True) -> None:
        self.pool.setup(SetupWorker(worker, 0, node_setup))

    def bring_up(self, worker: int = 1, *, node_setup: bool = True) -> None:
        self.start(worker)
        self.until(WorkerCreated, worker)
        self.setup(worker, node_setup=node_setup)
        self.until(WorkerReady, worker)

    def send(self, *segments: Segment, worker: int = 1, **options: Any) -> Call:
        self.block += 1
        call = Call(self.block, worker, 0, segments, self.block, **options)
        self.pool.submit(call)
        return call

    def give(self, start: int, stop: int, **options: Any) -> Call:
        return self.send(Segment(SOURCE_BLOCK, start, stop), **options)

    def wait(self, holds: Callable[[], bool]) -> None:
        deadline = self.pool.now() + COMES_WITHIN_S
        while not holds():
            left = deadline - self.pool.now()
            assert left > 0, f"it has not come; heard: {self.heard}"
            self.heard += self.news(left)

    def news(self, left_s: float) -> list[Event]:
        """What comes about workers. News of nodes may come at any time and have their own tests."""
        return [e for e in self.pool.wait(left_s) if not isinstance(e, NodesChanged)]

    def until(self, kind: type[Event], worker: int = 1) -> Any:
        self.wait(lambda: bool(self.of(kind, worker)))
        return self.of(kind, worker)[-1]

    def of(self, kind: type[Any] | tuple[type[Any], ...], worker: int = 1) -> list[Any]:
        return [e for e in self.heard if isinstance(e, kind) and getattr(e, "worker", 0) == worker]

    def report(self, call: Call) -> CallReport:
        def there() -> list[CallReport]:
            return [e.report for e in self.heard if isinstance(e, CallDone) and e.call == call.id]

        self.wait(lambda: bool(there()))
        (report,) = there()
        return report

    def settle(self) -> None:
        """Hear what a pool that says too much would still say."""
        deadline = self.pool.now() + SETTLES_WITHIN_S
        while (left := deadline - self.pool.now()) > 0:
            self.heard += self.news(left)

    def died(self, worker: int = 1) -> WorkerDied:
        """Its end, exactly once, with nothing after it."""
        self.wait(lambda: bool(self.of(ENDS, worker)))
        self.settle()
        about = [e for e in self.heard if getattr(e, "worker", 0) == worker]
        ends = [e for e in about if isinstance(e, ENDS)]
        assert len(ends) == 1, about
        assert about[-1] is ends[0], about
        assert isinstance(ends[0], WorkerDied)
        return ends[0]

    def outputs(self, *blocks: BlockId) -> list[Output]:
        for order, block in enumerate(blocks):
            self.pool.keep(block, (order, 0))
        return self.bench.read(self.pool.outputs())


class WorkerPoolContract:
    """The tests. `make` is the subclass's own."""

    def make(self, scenario: Scenario) -> Bench:
        raise NotImplementedError

    def drive(self, **options: Any) -> Driver:
        return Driver(self.make(Scenario(**options)))

    # Life --------------------------------------------------------------------------------

    def test_worker_is_created_on_a_node_then_set_up_then_works(self) -> None:
        driver = self.drive()
        driver.bring_up()
        call = driver.give(0, 3)
        report = driver.report(call)
        assert (report.consumed, report.out_tasks, report.more) == (3, 3, False)
        assert report.out_bytes > 0
        created, ready, done = driver.heard
        assert isinstance(created, WorkerCreated)
        assert created.node in {node.id for node in driver.pool.nodes()}
        assert isinstance(ready, WorkerReady)
        assert ready.setup_s >= 0
        assert isinstance(done, CallDone)
        assert driver.outputs(call.block) == [(0, 0), (1, 0), (2, 0)]

    def test_stop_comes_after_the_calls_and_ends_the_worker(self) -> None:
        driver = self.drive()
        driver.bring_up()
        first, second = driver.give(0, 2), driver.give(2, 4)
        driver.pool.stop(1)
        stopped = driver.until(WorkerStopped)
        driver.settle()
        assert [e.call for e in driver.of(CallDone)] == [first.id, second.id]
        assert stopped.teardown_error == ""
        assert driver.heard[-1] is stopped

    def test_killed_worker_is_dead_at_once_and_silent_after(self) -> None:
        driver = self.drive()
        driver.bring_up()
        driver.give(0, 2)
        driver.pool.kill(1, "it is in the way")
        assert driver.died().reason == "it is in the way"
        assert driver.of(CallDone) == []

    def test_stop_and_kill_of_a_worker_that_is_not_there_are_answered(self) -> None:
        driver = self.drive()
        driver.pool.stop(7)
        driver.pool.kill(8, "nobody")
        driver.wait(lambda: len(driver.heard) == 2)
        assert [(type(e), getattr(e, "worker", 0)) for e in driver.heard] == [
            (WorkerDied, 7),
            (WorkerDied, 8),
        ]

    def test_setup_that_raises_is_told_with_its_cause(self) -> None:
        driver = self.drive(setup_raises=True)
        driver.start()
        driver.until(WorkerCreated)
        driver.setup()
        failed = driver.until(WorkerSetupFailed)
        assert failed.error.stage == 0
        assert driver.of(WorkerReady) == []
        driver.pool.stop(1)
        driver.until(WorkerStopped)

    # Deaths ------------------------------------------------------------------------------

    def test_death_while_it_starts(self) -> None:
        driver = self.drive()
        driver.start()
        driver.bench.crash(1)
        driver.died()

    def test_death_while_it_is_set_up(self) -> None:
        driver = self.drive(dies_in_setup=True)
        driver.start()
        driver.until(WorkerCreated)
        driver.setup()
        driver.died()

    def test_death_while_it_runs_takes_both_calls_with_it(self) -> None:
        driver = self.drive(dies_on=frozenset({1}))
        driver.bring_up()
        driver.give(0, 2)
        driver.give(2, 4)
        driver.died()
        assert driver.of(CallDone) == []

    def test_death_after_a_call_leaves_what_the_call_gave(self) -> None:
        driver = self.drive(dies_on=frozenset({2}))
        driver.bring_up()
        first = driver.give(0, 2)
        # Heard before the next call ends the process: an answer that is still on its way when its
        # process ends goes with it, and the call is done again.
        driver.report(first)
        driver.give(2, 4)
        driver.died()
        assert [e.call for e in driver.of(CallDone)] == [first.id]
        assert driver.outputs(first.block) == [(0, 0), (1, 0)]

    def test_death_of_an_idle_worker_is_told_by_the_next_call_at_the_latest(self) -> None:
        driver = self.drive()
        driver.bring_up()
        driver.bench.crash(1)
        driver.give(0, 2)
        driver.died()
        assert driver.of(CallDone) == []

    def test_other_workers_go_on(self) -> None:
        driver = self.drive(dies_on=frozenset({0}))
        driver.bring_up(1)
        driver.bring_up(2, node_setup=False)
        driver.give(0, 2, worker=1)
        driver.died(1)
        call = driver.give(2, 4, worker=2)
        assert driver.report(call).consumed == 2

    # Calls -------------------------------------------------------------------------------

    def test_two_calls_of_a_worker_come_back_in_order(self) -> None:
        driver = self.drive()
        driver.bring_up()
        first, second = driver.give(0, 3), driver.give(3, 5)
        driver.wait(lambda: len(driver.of(CallDone)) == 2)
        assert [e.call for e in driver.of(CallDone)] == [first.id, second.id]
        assert driver.outputs(first.block, second.block) == [(n, 0) for n in range(5)]

    def test_call_without_output_gives_no_block(self) -> None:
        driver = self.drive(fan_out=0)
        driver.bring_up()
        report = driver.report(driver.give(0, 3))
        assert (report.consumed, report.out_tasks, report.out_bytes) == (3, 0, 0)

    def test_full_block_comes_back_and_a_call_without_input_goes_on(self) -> None:
        driver = self.drive(fan_out=10, yields=True, block_bytes=2000, output_bytes=500)
        driver.bring_up()
        call = driver.give(0, 1)
        calls = [call]
        while (report := driver.report(calls[-1])).more:
            assert report.consumed == 0
            assert report.emitted_of_current > 0
            calls.append(driver.send())
        assert len(calls) > 1
        assert driver.outputs(*(each.block for each in calls)) == [(0, n) for n in range(10)]

    def test_call_that_waits_goes_on_with_the_oldest_input_first(self) -> None:
        driver = self.drive(fan_out=6, yields=True, block_bytes=2000, output_bytes=500)
        driver.bring_up()
        calls = [driver.give(0, 1), driver.give(1, 2)]
        while True:
            report = driver.report(calls[-1])
            driver.report(calls[-2])
            if sum(e.report.consumed for e in driver.of(CallDone)) == 2:
                break
            calls.append(driver.send())
        assert report.more is False
        blocks = [c.block for c in calls if driver.report(c).out_tasks]
        assert driver.outputs(*blocks) == [(t, n) for t in range(2) for n in range(6)]

    def test_replay_leaves_out_what_was_passed_on(self) -> None:
        driver = self.drive(fan_out=5)
        driver.bring_up()
        call = driver.give(0, 2, skip=3, solo=True)
        assert driver.report(call).out_tasks == 7
        assert driver.outputs(call.block) == [(0, 3), (0, 4), *((1, n) for n in range(5))]

    def test_failed_batch_is_told_and_consumed(self) -> None:
        driver = self.drive(raises_on=frozenset({1}))
        driver.bring_up()
        call = driver.give(0, 3)
        report = driver.report(call)
        assert [(e.stage, e.tasks) for e in report.errors] == [(0, 1)]
        assert report.consumed == 3
        assert driver.outputs(call.block) == [(0, 0), (2, 0)]

    def test_global_stage_gives_nothing_before_it_is_told_to_finish(self) -> None:
        driver = self.drive(is_global=True)
        driver.bring_up()
        taken = driver.report(driver.give(0, 3))
        assert (taken.consumed, taken.out_tasks, taken.finished) == (3, 0, False)
        call = driver.send(finish=True)
        report = driver.report(call)
        assert (report.out_tasks, report.finished) == (3, True)
        assert driver.outputs(call.block) == [(0, 0), (1, 0), (2, 0)]

    # Blocks ------------------------------------------------------------------------------

    def test_outputs_come_in_the_order_they_were_given(self) -> None:
        driver = self.drive()
        driver.bring_up()
        first, second = driver.give(0, 2), driver.give(2, 4)
        driver.report(second)
        driver.pool.keep(second.block, (0, 1))
        driver.pool.keep(first.block, (1, 0))
        assert driver.bench.read(driver.pool.outputs()) == [(2, 0), (3, 0), (0, 0), (1, 0)]

    def test_block_may_be_read_in_parts_and_outlives_its_worker(self) -> None:
        driver = self.drive()
        driver.bring_up(1)
        call = driver.give(0, 5)
        driver.report(call)
        driver.pool.kill(1, "no longer needed")
        driver.died(1)
        driver.bring_up(2, node_setup=False)
        part = driver.send(Segment(call.block, 1, 3), Segment(call.block, 4, 5), worker=2)
        assert driver.report(part).consumed == 3
        driver.pool.release(call.block)
        assert driver.outputs(part.block) == [(1, 0), (2, 0), (4, 0)]

    # Waiting -----------------------------------------------------------------------------

    def test_wait_ends_with_nothing_when_nothing_happens(self) -> None:
        driver = self.drive()
        driver.bring_up()
        before = driver.pool.now()
        assert driver.news(0.2) == []
        assert driver.pool.now() >= before + 0.19

    def test_clock_never_goes_back(self) -> None:
        driver = self.drive()
        times = [driver.pool.now()]
        driver.bring_up()
        times.append(driver.pool.now())
        driver.report(driver.give(0, 1))
        times.append(driver.pool.now())
        assert times == sorted(times)
