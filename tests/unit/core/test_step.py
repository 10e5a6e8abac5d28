"""What a call's report changes, and how a run ends."""

from __future__ import annotations

import pytest

from curator_executor.core.actions import KeepOutput, ReleaseBlock, StopWorker
from curator_executor.core.events import CancelRequested, Tick, WorkerStopped
from curator_executor.core.lifecycle import WorkerState
from curator_executor.core.state import Block, CoreSettings
from curator_executor.core.types import CallReport, Segment, StageFigures
from tests.unit.core.states import after, bring_up, calls, done, run_of


def test_output_of_the_last_stage_is_kept_by_its_place_in_the_input() -> None:
    state = run_of({}, tasks=3)
    first, second = calls(bring_up(state, 1))
    actions = after(state, done(first), done(second, out=2))
    assert [a for a in actions if isinstance(a, KeepOutput)] == [
        KeepOutput(first.block, (0, 1)),
        KeepOutput(second.block, (1, 2)),
    ]


def test_output_becomes_input_of_the_next_stage() -> None:
    state = run_of({}, {}, tasks=3, cpus=2.0)
    first, second = calls(bring_up(state, 1))
    after(state, done(first, out=3, out_bytes=50), done(second, out=2, out_bytes=70))
    below = state.pools[1]
    assert list(below.queue) == [
        Segment(first.block, 0, 3, 0),
        Segment(second.block, 0, 2, 3),
    ]
    assert (below.accepted, below.queued_tasks, below.held_bytes) == (5, 5, 120)
    assert state.blocks[first.block] == Block(first.block, 1, 3, 50, 3)


def test_block_is_released_when_its_tasks_are_finished() -> None:
    state = run_of({}, {}, tasks=2, cpus=2.0)
    first, *_ = calls(bring_up(state, 1, 2))
    (below,) = [call for call in calls(after(state, done(first))) if call.pool == 1]
    assert ReleaseBlock(first.block) in after(state, done(below))


def test_call_without_output_makes_no_block() -> None:
    state = run_of({}, {}, tasks=2, cpus=2.0)
    first, *_ = calls(bring_up(state, 1, 2))
    after(state, done(first, out=0))
    assert (state.pools[1].accepted, len(state.pools[1].queue)) == (0, 0)
    assert first.block not in state.blocks


def test_call_that_gives_nothing_still_counts_in_the_figures() -> None:
    state = run_of({}, tasks=2)
    first, _ = calls(bring_up(state, 1))
    after(state, done(first, out=0, wall_s=0.5, in_bytes=9, idle_s=0.25))
    totals = state.totals[0]
    assert (totals.figures.tasks_in, totals.figures.process_s) == (1, 0.5)
    assert (totals.input_bytes, totals.output_bytes, totals.idle_s) == (9, 0, 0.25)


def test_figures_add_up_stage_by_stage() -> None:
    state = run_of({}, tasks=9)
    first, second = calls(bring_up(state, 1))
    figures = StageFigures(
        0, 1.0, 2, 3, 4, 5, 6, 7, 8, {"short": 1}, ["kept"] * 4, [("short", "x")], {"gb": 1.5}
    )
    for call in (first, second):
        report = CallReport(consumed=1, wall_s=1.5, figures=[figures])
        event = done(call)
        after(state, type(event)(1, call.id, report))
    assert state.totals[0].figures == StageFigures(
        0,
        2.0,
        4,
        6,
        8,
        10,
        12,
        14,
        16,
        {"short": 2},
        ["kept"] * 5,
        [("short", "x")] * 2,
        {"gb": 3.0},
    )
    assert state.totals[0].overhead_s == pytest.approx(1.0)


def test_first_call_of_a_worker_counts_until_there_is_another() -> None:
    state = run_of({}, tasks=9)
    first, second = calls(bring_up(state, 1))
    after(state, done(first, wall_s=9.0))
    assert state.pools[0].seconds_per_task == 9.0
    (third,) = calls(after(state, done(second, wall_s=1.0)))
    assert state.pools[0].seconds_per_task == 1.0  # the first one also loaded a model
    after(state, done(third, wall_s=2.0))
    assert state.pools[0].seconds_per_task == 1.5


def test_a_source_that_yields_costs_all_the_time_until_its_input_is_finished() -> None:
    state = run_of({}, {}, tasks=1)
    (call,) = calls(bring_up(state, 1, 2))
    for _ in range(5):
        (call,) = calls(after(state, done(call, consumed=0, out=1, more=True, wall_s=2.0)))
    after(state, done(call, consumed=1, out=1, wall_s=2.0))
    assert state.pools[0].seconds_per_task == 12.0


def test_run_succeeds_when_its_last_task_is_done() -> None:
    state = run_of({}, tasks=2)
    first, second = calls(bring_up(state, 1))
    after(state, done(first))
    assert StopWorker(1, "the run has succeeded") in after(state, done(second))
    assert (state.ending, state.ended) == ("succeeded", False)
    after(state, WorkerStopped(1))
    assert state.ended


def test_stage_is_done_only_when_the_one_before_is() -> None:
    state = run_of({}, {}, tasks=2, cpus=2.0)
    first, *_ = calls(bring_up(state, 1, 2))
    (below,) = [call for call in calls(after(state, done(first))) if call.pool == 1]
    after(state, done(below))
    assert [pool.done for pool in state.pools] == [False, False]


def test_run_without_input_succeeds_at_once() -> None:
    state = run_of({}, {}, tasks=0)
    assert after(state, now=0.0) == []
    assert state.ended


def test_cancelled_run_stops_every_worker_once() -> None:
    state = run_of({}, tasks=9, cpus=2.0)
    bring_up(state, 1)
    assert after(state, CancelRequested("enough")) == [
        StopWorker(1, "the run has cancelled"),
        StopWorker(2, "the run has cancelled"),
    ]
    assert after(state, Tick()) == []
    assert {w.state for w in state.workers.values()} == {WorkerState.STOPPING}


def test_call_that_ends_late_is_still_counted() -> None:
    state = run_of({}, tasks=9)
    first, _ = calls(bring_up(state, 1))
    after(state, CancelRequested("enough"))
    after(state, done(first))
    assert (state.pools[0].consumed, state.pools[0].emitted) == (1, 1)


def test_batch_mode_hands_outputs_on_in_input_order() -> None:
    settings = CoreSettings(batch_mode=True)
    state = run_of({}, {}, tasks=3, cpus=2.0, settings=settings)
    found = calls(bring_up(state, 1, 2))
    by_start = {call.segments[0].start: call for call in found}
    for start in (1, 0, 2):
        after(state, done(by_start[start], out=2))
    assert [(s.block, s.position) for s in state.pools[1].queue] == [
        (by_start[0].block, 0),
        (by_start[1].block, 2),
        (by_start[2].block, 4),
    ]
