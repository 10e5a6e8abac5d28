"""Hand queued work to ready workers. Called by `step` after every batch of events.

The furthest-downstream pool goes first: it frees memory. A worker has at most two calls, one
running and one that waits in it, which hides the way there and back.
"""

from __future__ import annotations

from typing import Any

from curator_executor.core import backpressure, batching
from curator_executor.core.actions import SubmitCall
from curator_executor.core.lifecycle import WorkerState
from curator_executor.core.state import CALLS_PER_WORKER, Pool, State, Worker
from curator_executor.core.types import Call, Segment, Unit, WorkerId


def dispatch(state: State, *, ignore_room: bool = False) -> list[SubmitCall]:
    """Calls to send now; with `ignore_room` the first one only, though there be no room for it."""
    if state.ending:
        return []
    submitted: list[SubmitCall] = []
    for pool in reversed(state.pools):
        if not pool.done and may_start(state, pool):
            submitted.extend(_dispatch_pool(state, pool, ignore_room=ignore_room))
            if ignore_room and submitted:
                break
    return submitted


def may_start(state: State, pool: Pool) -> bool:
    """Whether the pool may run at all: in batch mode only when the one before it is done."""
    return not state.settings.batch_mode or state.upstream_done(pool.spec.index)


def _dispatch_pool(state: State, pool: Pool, *, ignore_room: bool) -> list[SubmitCall]:
    """Idle workers first; each round gives every worker at most one call.

    Workers that go on with what they hold come before those that take something new. Only who can
    take a call is asked, and only as long as there is something to give: with thousands of workers
    nearly all are at work.
    """
    submitted: list[SubmitCall] = []
    for depth in range(CALLS_PER_WORKER):
        for goes_on in (True, False):
            calls, is_blocked = _round(state, pool, depth, goes_on, ignore_room)
            submitted += map(SubmitCall, calls)
            if is_blocked or (ignore_room and submitted):
                return submitted
    return submitted


def _round(
    state: State, pool: Pool, depth: int, goes_on: bool, ignore_room: bool
) -> tuple[list[Call], bool]:
    """Calls for workers that have `depth` of them, and whether there is no room for more."""
    asked = pool.going_on if goes_on else pool.waiting[depth]
    calls: list[Call] = []
    stale: list[WorkerId] = []
    is_blocked = False
    for number in asked:
        if not goes_on and not _has_new(state, pool):
            break
        worker = state.workers.get(number)
        if worker is None or not _is_waiting(pool, worker, goes_on):
            stale.append(number)
            continue
        if len(worker.calls) != depth:
            if not goes_on:
                stale.append(number)
            continue
        if not ignore_room and not backpressure.has_room(state, pool, idle_worker=depth == 0):
            is_blocked = True
            break
        call = _next_call(state, pool, worker)
        if call is not None:
            pool.calls += 1
            pool.in_flight += 1
            calls.append(call)
            if ignore_room:
                break
    for number in stale:
        del asked[number]
    for call in calls:
        _give(state, pool, call)
    return calls, is_blocked


def _is_waiting(pool: Pool, worker: Worker, goes_on: bool) -> bool:
    index = pool.spec.index
    if worker.pool != index or worker.state not in (WorkerState.READY, WorkerState.DRAINING):
        return False
    return not goes_on or len(worker.units.get(index, ())) > len(worker.calls)


def _give(state: State, pool: Pool, call: Call) -> None:
    worker = state.workers[call.worker]
    pool.waiting[len(worker.calls)].pop(worker.id, None)
    worker.calls.append(call)
    state.may_take_more(worker)


def _has_new(state: State, pool: Pool) -> bool:
    """Whether there may be something to give that no worker holds yet."""
    return state.has_batch(pool) or bool(pool.suspects) or pool.spec.head.is_global


def _next_call(state: State, pool: Pool, worker: Worker) -> Call | None:
    """The call that this worker should get now, or None."""
    units = worker.queue(pool.spec.index)
    if any(unit.suspect for unit in units) and worker.calls:
        return None  # a suspect runs by itself, so that a death names it
    if len(units) > len(worker.calls):
        return _call(state, pool, worker)
    if worker.state is WorkerState.DRAINING and not pool.spec.head.is_global:
        return None  # of a global stage it alone has the state, and goes on
    if pool.suspects and not worker.calls:
        suspect = pool.suspects.popleft()
        units.append(Unit(list(suspect.segments), suspect, suspect.skip))
        return _call(state, pool, worker, suspect.segments, skip=suspect.skip, solo=True)
    tasks = batching.tasks_for_call(state, pool, len(pool.workers)) if pool.queue else 0
    if tasks:
        segments = batching.take(pool, tasks)
        units.append(Unit(list(segments)))
        return _call(state, pool, worker, tuple(segments))
    if _should_finish(state, pool, worker):
        return _call(state, pool, worker, finish=True, skip=pool.finish_emitted)
    return None


def _should_finish(state: State, pool: Pool, worker: Worker) -> bool:
    return (
        pool.spec.head.is_global
        and not pool.finished
        and not worker.calls
        and state.upstream_done(pool.spec.index)
        and pool.consumed == pool.accepted
    )


def _call(
    state: State,
    pool: Pool,
    worker: Worker,
    segments: tuple[Segment, ...] = (),
    **options: Any,
) -> Call:
    call = Call(
        id=state.next_call,
        worker=worker.id,
        pool=pool.spec.index,
        segments=segments,
        block=state.next_block,
        **options,
    )
    state.next_call += 1
    state.next_block += 1
    return call
