"""Queued work goes to ready workers: two calls each, the furthest downstream first."""

from __future__ import annotations

from curator_executor.core.actions import SubmitCall
from curator_executor.core.lifecycle import WorkerState
from curator_executor.core.state import CoreSettings
from curator_executor.core.types import Call, Need, Segment
from tests.unit.core.states import after, bring_up, calls, died, done, run_of


def test_ready_worker_gets_one_call_to_run_and_one_to_wait() -> None:
    state = run_of({"batch_size": 3}, tasks=10)
    assert bring_up(state, 1) == [
        SubmitCall(Call(1, 1, 0, (Segment(0, 0, 3, 0),), block=1)),
        SubmitCall(Call(2, 1, 0, (Segment(0, 3, 6, 3),), block=2)),
    ]
    assert after(state) == []


def test_idle_workers_get_their_first_call_before_any_gets_a_second() -> None:
    state = run_of({}, tasks=3, cpus=2.0)
    assert [call.worker for call in calls(bring_up(state, 1, 2))] == [1, 2, 1]


def test_call_that_comes_back_makes_place_for_the_next() -> None:
    state = run_of({"batch_size": 2}, tasks=9)
    first, _ = calls(bring_up(state, 1))
    (third,) = calls(after(state, done(first, wall_s=10.0)))
    assert third == Call(3, 1, 0, (Segment(0, 4, 6, 4),), block=3)


def test_furthest_downstream_goes_first() -> None:
    state = run_of({}, {}, tasks=9, cpus=2.0)
    first, *_ = calls(bring_up(state, 1, 2))
    assert first.pool == 0
    found = calls(after(state, done(first, wall_s=10.0)))
    assert [call.pool for call in found] == [1, 0]


def test_remainder_waits_until_the_stage_before_is_done() -> None:
    state = run_of({}, {"batch_size": 3}, tasks=2, cpus=2.0)
    first, second = calls(bring_up(state, 1, 2))
    assert calls(after(state, done(first))) == []
    (remainder,) = calls(after(state, done(second)))
    assert (remainder.pool, [s.tasks for s in remainder.segments]) == (1, [1, 1])


def test_full_downstream_queue_stops_dispatch() -> None:
    state = run_of({}, {}, tasks=50, cpus=2.0, store_bytes=1_000_000)
    first, _ = calls(bring_up(state, 1))
    assert after(state, done(first, out_bytes=300_000)) == []
    assert state.pools[0].why_blocked.startswith("s1 has 1 tasks")


def test_unfinished_input_is_gone_on_with_before_anything_new() -> None:
    state = run_of({}, tasks=9)
    first, _ = calls(bring_up(state, 1))
    (more,) = calls(after(state, done(first, 0, out=1, more=True, emitted_of_current=1)))
    assert (more.segments, more.worker, more.finish) == ((), 1, False)


def test_suspect_batch_has_a_call_and_a_worker_for_itself() -> None:
    state = run_of({"batch_size": 2}, tasks=8)
    bring_up(state, 1)
    after(state, died(1))
    found = calls(bring_up(state, 2, now=2.0))
    assert found == [Call(3, 2, 0, (Segment(0, 0, 2, 0),), block=3, solo=True)]


def test_draining_worker_gets_nothing_new() -> None:
    state = run_of({}, tasks=9, cpus=2.0)
    first, *_ = calls(bring_up(state, 1, 2))
    state.workers[1].go(WorkerState.DRAINING)
    state.scale_due = False
    assert 1 not in {call.worker for call in calls(after(state, done(first, wall_s=9.0)))}


def test_global_stage_finishes_when_it_has_taken_everything_in() -> None:
    state = run_of({"is_global": True}, tasks=2)
    first, second = calls(bring_up(state, 1))
    assert calls(after(state, done(first, out=0))) == []
    (finish,) = calls(after(state, done(second, out=0)))
    assert (finish.finish, finish.skip, finish.segments) == (True, 0, ())
    (more,) = calls(after(state, done(finish, 0, out=5, more=True)))
    assert (more.finish, more.skip) == (True, 5)
    assert calls(after(state, done(more, 0, out=1, finished=True))) == []
    assert state.pools[0].done


def test_batch_mode_starts_a_stage_when_the_one_before_is_done() -> None:
    state = run_of({}, {}, tasks=2, cpus=2.0, settings=CoreSettings(batch_mode=True))
    first, second = calls(bring_up(state, 1, 2))
    assert calls(after(state, done(first))) == []
    assert state.pools[1].queued_tasks == 0
    after(state, done(second))
    assert list(state.pools[1].queue) == [Segment(1, 0, 1, 0), Segment(2, 0, 1, 1)]


def test_when_all_stands_still_one_call_goes_over_the_limit() -> None:
    """No node has room for the stage behind: going over the limit is better than never going on."""
    state = run_of({}, {"need": Need(5.0)}, tasks=9, cpus=1.0, store_bytes=1_000_000)
    first, second = calls(bring_up(state, 1))
    assert calls(after(state, done(first, out_bytes=300_000))) == []
    found = calls(after(state, done(second, out_bytes=300_000)))
    assert len(found) == 1
