"""Deaths and failed batches: nothing is lost, the culprit is found, the run ends when it must."""

from __future__ import annotations

import pytest

from curator_executor.core.actions import KillWorker, ReleaseBlock, SetupWorker
from curator_executor.core.errors import (
    SetupFailed,
    StageFailed,
    TooManyFailures,
    WorkersKeepDying,
)
from curator_executor.core.events import (
    CallBroken,
    CallDone,
    CancelRequested,
    WorkerCreated,
    WorkerReady,
    WorkerSetupFailed,
    WorkerStopped,
)
from curator_executor.core.lifecycle import WorkerState
from curator_executor.core.recovery import describe
from curator_executor.core.state import CoreSettings, Failure, State
from curator_executor.core.types import BatchError, Call, CallReport, Segment, Suspect
from tests.unit.core.states import after, batch_error, bring_up, calls, died, done, run_of


def run_with_two_calls(**options: object) -> tuple[State, Call, Call]:
    state = run_of({"batch_size": 2, **options}, tasks=8)
    first, second = calls(bring_up(state, 1))
    return state, first, second


def test_death_puts_the_waiting_call_back_and_suspects_the_running_one() -> None:
    state, _, _ = run_with_two_calls()
    after(state, died(1))
    pool = state.pools[0]
    assert list(pool.suspects) == [Suspect((Segment(0, 0, 2, 0),))]
    assert list(pool.queue) == [Segment(0, 2, 4, 2), Segment(0, 4, 8, 4)]
    assert (pool.workers_died, state.totals[0].figures.retried) == (1, 2)


def test_larger_call_becomes_one_suspect_a_batch() -> None:
    state, first, second = run_with_two_calls()
    after(state, done(first, wall_s=0.001), done(second, wall_s=0.001))
    (third,) = state.workers[1].calls
    assert sum(segment.tasks for segment in third.segments) == 4
    after(state, died(1))
    assert list(state.pools[0].suspects) == [
        Suspect((Segment(0, 4, 6, 4),)),
        Suspect((Segment(0, 6, 8, 6),)),
    ]


def test_batch_that_had_emitted_goes_on_from_there() -> None:
    state, first, _ = run_with_two_calls()
    after(state, done(first, 0, out=3, more=True, emitted_of_current=3))
    after(state, died(1))
    assert state.pools[0].suspects[0] == Suspect((Segment(0, 0, 2, 0),), skip=3)
    (again,) = calls(bring_up(state, 2, now=2.0))
    assert (again.segments, again.skip, again.solo) == ((Segment(0, 0, 2, 0),), 3, True)


def test_second_death_by_itself_makes_it_a_failed_batch() -> None:
    state, _, _ = run_with_two_calls(ignore_failures=True)
    after(state, died(1))
    bring_up(state, 2, now=2.0)
    after(state, died(2), now=2.5)
    assert list(state.pools[0].suspects) == [Suspect((Segment(0, 0, 2, 0),), deaths=1)]
    bring_up(state, 3, now=3.0)
    after(state, died(3, "out of memory"), now=3.5)
    (failure,) = state.failures
    assert (failure.at, failure.node, failure.error.tasks, failure.error.attempts) == (
        3.5,
        "n1",
        2,
        2,
    )
    assert "the last with: out of memory" in failure.error.message
    assert (state.pools[0].consumed, state.totals[0].failed, state.ending) == (2, 2, "")


def test_failed_batch_ends_the_run_unless_failures_are_ignored() -> None:
    state, first, _ = run_with_two_calls()
    after(state, done(first, out=0, errors=[batch_error(tasks=2)]))
    assert isinstance(state.error, StageFailed)
    assert (state.ending, state.error_batch) == ("failed", batch_error(tasks=2))


def test_ignored_failure_is_kept_with_its_cause_and_the_run_goes_on() -> None:
    state, first, _ = run_with_two_calls(ignore_failures=True)
    error = batch_error(tasks=2)
    after(state, done(first, out=0, errors=[error]), now=4.0)
    assert state.failures == [Failure(error, "n1", 4.0)]
    assert (state.totals[0].failed, state.ending, state.error) == (2, "", None)


def test_fatal_failure_ends_the_run_even_so() -> None:
    state, first, _ = run_with_two_calls(ignore_failures=True)
    after(state, done(first, out=0, errors=[batch_error(tasks=2, fatal=True)]))
    assert isinstance(state.error, StageFailed)


def test_too_many_failures_end_the_run() -> None:
    state = run_of({"ignore_failures": True}, settings=CoreSettings(max_failures=1))
    first, second = calls(bring_up(state, 1))
    after(state, done(first, out=0, errors=[batch_error()]))
    assert state.ending == ""
    after(state, done(second, out=0, errors=[batch_error()]))
    assert isinstance(state.error, TooManyFailures)
    assert "max_failures=1" in str(state.error)


def test_message_has_stage_tasks_node_attempts_and_traceback() -> None:
    error = BatchError(0, 7, tuple(f"0_{n}" for n in range(7)), "KeyError", "'x'", "File …", 3)
    assert describe("caption", error, "0123456789abcdef") == (
        'stage "caption" failed in 3 attempts on node 0123456789ab on task 0_0, 0_1, 0_2, 0_3, '
        "0_4, …: KeyError: 'x'\n\nFile …"
    )


def test_third_death_in_a_row_before_ready_ends_the_run() -> None:
    state = run_of({})
    after(state, now=0.0)
    after(state, died(1))
    after(state, WorkerCreated(2, "n1"), died(2))
    assert state.ending == ""
    after(state, WorkerCreated(3, "n1"), died(3, "it is too large"))
    assert isinstance(state.error, WorkersKeepDying)
    assert "3 workers in a row" in str(state.error)
    assert "it is too large" in str(state.error)


def test_worker_that_gets_ready_starts_the_count_again() -> None:
    state = run_of({})
    after(state, now=0.0)
    after(state, died(1))
    after(state, died(2))
    bring_up(state, 3)
    after(state, died(3))
    after(state, died(4))
    assert state.ending == ""


def test_failed_setup_ends_the_run_with_its_cause() -> None:
    state = run_of({})
    after(state, now=0.0)
    after(state, WorkerCreated(1, "n1"), WorkerSetupFailed(1, batch_error(attempts=2)))
    assert isinstance(state.error, SetupFailed)
    assert 'stage "s0": setup failed in 2 attempts: ValueError: bad input' in str(state.error)


@pytest.mark.parametrize(
    ("options", "ends"),
    [({}, "failed"), ({"keeps_state_in_scratch": True}, "")],
)
def test_global_stage_survives_its_worker_only_with_its_state_in_scratch(
    options: dict[str, bool], ends: str
) -> None:
    state = run_of({"is_global": True, **options}, tasks=5)
    first, _ = calls(bring_up(state, 1))
    after(state, done(first, out=0))
    after(state, died(1))
    assert state.ending == ends


def test_global_stage_that_had_taken_nothing_in_loses_nothing() -> None:
    state = run_of({"is_global": True}, tasks=5)
    bring_up(state, 1)
    after(state, died(1))
    assert (state.ending, len(state.pools[0].suspects)) == ("", 1)


def test_death_while_the_run_ends_is_no_death() -> None:
    state, _, _ = run_with_two_calls()
    after(state, CancelRequested("enough"))
    assert state.workers[1].state is WorkerState.STOPPING
    after(state, died(1))
    assert (state.ended, state.pools[0].workers_died) == (True, 0)


def test_stopped_worker_takes_nothing_with_it() -> None:
    state, _, _ = run_with_two_calls()
    after(state, CancelRequested("enough"))
    after(state, WorkerStopped(1))
    assert (state.ended, state.ending, state.error) == (True, "cancelled", None)


def test_broken_call_writes_its_worker_off() -> None:
    """The waiting call goes back, nothing more is sent, and what still comes of it is void."""
    state, first, second = run_with_two_calls(ignore_failures=True)
    actions = after(state, CallBroken(1, first.id, batch_error()))
    assert actions == [KillWorker(1, "bad input")]
    assert state.workers[1].state is WorkerState.STOPPING
    assert list(state.pools[0].queue) == [Segment(0, 2, 4, 2), Segment(0, 4, 8, 4)]
    assert (state.pools[0].consumed, state.totals[0].failed) == (2, 2)
    late = CallDone(1, second.id, CallReport(consumed=2, out_tasks=2, out_bytes=9))
    assert after(state, late) == [ReleaseBlock(second.block)]
    assert (state.pools[0].consumed, state.pools[0].emitted) == (2, 0)


def test_broken_call_of_several_batches_is_tried_batch_by_batch() -> None:
    state, first, second = run_with_two_calls()
    after(state, done(first, wall_s=0.001), done(second, wall_s=0.001))
    (third,) = state.workers[1].calls
    after(state, CallBroken(1, third.id, batch_error()))
    assert list(state.pools[0].suspects) == [
        Suspect((Segment(0, 4, 6, 4),)),
        Suspect((Segment(0, 6, 8, 6),)),
    ]
    assert state.ending == ""


def test_dead_preparer_leaves_the_node_to_the_next_worker() -> None:
    state = run_of({}, tasks=9, cpus=3.0)
    after(state, now=0.0)
    assert after(state, WorkerCreated(1, "n1")) == [SetupWorker(1, 0, node_setup=True)]
    assert after(state, WorkerCreated(2, "n1"), WorkerCreated(3, "n1")) == []
    # One that only waits may die without freeing the node for a second preparation.
    assert not [a for a in after(state, died(3)) if isinstance(a, SetupWorker)]
    found = [a for a in after(state, died(1)) if isinstance(a, SetupWorker)]
    assert found == [SetupWorker(2, 0, node_setup=True)]
    after(state, WorkerReady(2, 0.1))
    assert state.nodes_prepared == {(0, "n1"): "prepared"}


def test_events_of_workers_that_are_gone_are_void() -> None:
    state, first, _ = run_with_two_calls()
    after(state, died(1))
    before = (state.pools[0].accepted, state.pools[0].consumed, state.pools[0].emitted)
    after(state, done(first), died(1), WorkerReady(1, 0.1), CallBroken(1, 1, batch_error()))
    assert (state.pools[0].accepted, state.pools[0].consumed, state.pools[0].emitted) == before
