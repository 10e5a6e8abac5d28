"""Hand queued work to ready workers. Called by `step` after every batch of events.

The furthest-downstream pool goes first: it frees memory. A worker has at most two calls, one
running and one that waits in it, which hides the way there and back.
"""

from __future__ import annotations

from typing import Any

from curator_executor.core import backpressure, batching
from curator_executor.core.actions import SubmitCall
from curator_executor.core.lifecycle import WorkerState
from curator_executor.core.state import Pool, State, Worker
from curator_executor.core.types import Call, Segment, Unit

CALLS_PER_WORKER = 2


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
    ready = [
        worker
        for worker_id in pool.workers
        if (worker := state.workers[worker_id]).state in (WorkerState.READY, WorkerState.DRAINING)
    ]
    if not ready:
        return []
    in_flight = backpressure.calls_in_flight(state, pool.spec.index)
    submitted: list[SubmitCall] = []
    # Idle workers first; each round gives every worker at most one call.
    for depth in range(CALLS_PER_WORKER):
        for worker in sorted(ready, key=lambda w: (len(w.calls), w.id)):
            if len(worker.calls) != depth:
                continue
            if not ignore_room and not backpressure.has_room(
                state, pool, in_flight, idle_worker=depth == 0
            ):
                return submitted
            call = _next_call(state, pool, worker, len(ready))
            if call is not None:
                worker.calls.append(call)
                pool.calls += 1
                in_flight += 1
                submitted.append(SubmitCall(call))
                if ignore_room:
                    return submitted
    return submitted


def _next_call(state: State, pool: Pool, worker: Worker, ready: int) -> Call | None:
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
    tasks = batching.tasks_for_call(state, pool, ready) if pool.queue else 0
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
