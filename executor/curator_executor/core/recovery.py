"""What happens to a worker's work when the worker is gone, and when a batch is given up.

Called by `step`. The batch that may have killed the worker runs by itself from then on, so that
one more death names it; everything else the worker held goes back untouched.
"""

from __future__ import annotations

from dataclasses import replace

from curator_executor.core import batching
from curator_executor.core.actions import Action, KillWorker
from curator_executor.core.errors import (
    CuratorError,
    StageFailed,
    TooManyFailures,
    WorkersKeepDying,
)
from curator_executor.core.events import NODE_GONE, WorkerDied
from curator_executor.core.lifecycle import WorkerState
from curator_executor.core.state import Failure, Pool, State, Worker
from curator_executor.core.types import BatchError, Suspect, Unit

# Failed batches whose input is kept, to run one again by hand; up to 4 MiB each.
FAILURES_WITH_INPUT = 100


def give_up(state: State, error: BatchError, node: str, now: float) -> None:
    """Record a failed batch; ends the run unless failures are ignored."""
    if len(state.failures) >= FAILURES_WITH_INPUT:
        error = replace(error, inputs=b"")
    totals = state.totals[error.stage]
    totals.failed += error.tasks
    state.failures.append(Failure(error, node, now))
    stage = next(s for pool in state.pools for s in pool.spec.stages if s.index == error.stage)
    if error.fatal or not stage.ignore_failures:
        fail(state, StageFailed(describe(stage.name, error, node)), error)
        return
    limit = state.settings.max_failures
    if limit is not None and len(state.failures) > limit:
        text = (
            f"{len(state.failures)} batches failed, more than max_failures={limit} allows; the "
            f"last: {describe(stage.name, error, node)}"
        )
        fail(state, TooManyFailures(text), error)


def describe(stage_name: str, error: BatchError, node: str) -> str:
    """One message with stage, tasks, node, exception and remote traceback."""
    ids = ", ".join(error.task_ids[:5]) + (", …" if len(error.task_ids) > 5 else "")
    tried = f" in {error.attempts} attempts" if error.attempts > 1 else ""
    where = f" on node {node[:12]}" if node else ""
    tail = f"\n\n{error.traceback.rstrip()}" if error.traceback else ""
    return (
        f'stage "{stage_name}" failed{tried}{where} on task {ids or "(unknown)"}: '
        f"{error.error}: {error.message}{tail}"
    )


def fail(state: State, error: CuratorError, batch: BatchError | None = None) -> None:
    """End the run with an error; the first one counts."""
    if state.error is None and state.ending != "cancelled":
        state.error = error
        state.error_batch = batch
    if not state.ending:
        state.ending = "failed"


def worker_gone(state: State, worker: Worker, death: WorkerDied, now: float) -> list[Action]:
    """Take a dead worker out and put its work elsewhere."""
    reason = death.reason
    was = worker.state
    worker.go(WorkerState.GONE)
    pool = state.pools[worker.pool]
    del state.workers[worker.id]
    pool.workers.discard(worker.id)
    for call in worker.calls:
        state.pools[call.pool].in_flight -= 1
    if worker.prepares_node:
        state.nodes_prepared.pop((worker.pool, worker.node), None)
    state.scale_due = True
    if was is WorkerState.STOPPING or state.ending:
        return []
    pool.workers_died += 1
    actions: list[Action] = []
    running = worker.calls[0].pool if worker.calls else None
    for index, units in worker.units.items():
        if not units:
            continue
        owner = state.pools[index]
        untouched = list(units)
        if index == running and reason != NODE_GONE:
            actions += _suspect(state, owner, untouched.pop(0), worker, death, now)
        for unit in reversed(untouched):
            requeue(owner, unit)
    coming_up = (WorkerState.STARTING, WorkerState.CREATED, WorkerState.SETTING_UP)
    if was in coming_up and reason != NODE_GONE:
        _count_setup_death(state, pool, reason)
    check_global_state(state, worker, reason)
    return actions


def requeue(pool: Pool, unit: Unit) -> None:
    """Give back input that was not being worked on."""
    if unit.suspect:
        pool.suspects.appendleft(replace(unit.suspect, skip=unit.emitted))
        return
    if unit.emitted:
        # The batch it was in the middle of must be made again as it was, and go on from there.
        size = pool.spec.head.batch_size
        batch, rest = batching.split_off(unit.segments, size)
        pool.suspects.appendleft(Suspect(tuple(batch), skip=unit.emitted))
        batching.give_back(pool, rest)
        return
    batching.give_back(pool, unit.segments)


def _suspect(
    state: State, pool: Pool, unit: Unit, worker: Worker, death: WorkerDied, now: float
) -> list[Action]:
    """The input that a dead worker was on: batch by batch from now on, or given up."""
    size = pool.spec.head.batch_size
    if unit.suspect is None:
        for suspect in reversed(batching.into_suspects(unit, size)):
            pool.suspects.appendleft(suspect)
        state.totals[pool.spec.head.index].figures.retried += unit.tasks
        return []
    deaths = unit.suspect.deaths + 1
    if deaths < pool.spec.head.deaths_allowed:
        pool.suspects.append(replace(unit.suspect, deaths=deaths, skip=unit.emitted))
        state.totals[pool.spec.head.index].figures.retried += unit.tasks
        return []
    error = BatchError(
        stage=pool.spec.head.index if death.stage is None else death.stage,
        tasks=unit.tasks,
        task_ids=death.task_ids,
        error="WorkerDied",
        message=(
            f"the batch ended {deaths} workers of {pool.spec.name} by itself, the last with: "
            f"{death.reason}. Run its tasks by hand to see why; memory and native code are the "
            "usual causes."
        ),
        traceback="",
        attempts=deaths,
        emitted=unit.emitted,
        # They are input of the first stage; kept where that is the stage to look at.
        inputs=death.inputs if death.stage in (None, pool.spec.head.index) else b"",
    )
    give_up(state, error, worker.node, now)
    return list(batching.consume(state, pool, unit.segments))


def _count_setup_death(state: State, pool: Pool, reason: str) -> None:
    pool.setup_deaths += 1
    if pool.setup_deaths >= state.settings.setup_deaths_allowed:
        fail(
            state,
            WorkersKeepDying(
                f'stage "{pool.spec.name}": {pool.setup_deaths} workers in a row died before they '
                f"were ready, the last with: {reason}. Look at what setup() does and at the memory "
                "it needs."
            ),
        )


def check_global_state(state: State, worker: Worker, reason: str) -> None:
    """End the run if a global stage's state went with the worker."""
    for index in worker.hosted:
        pool = state.pools[index]
        head = pool.spec.head
        if head.is_global and pool.consumed and not pool.done and not head.keeps_state_in_scratch:
            fail(
                state,
                StageFailed(
                    f'stage "{head.name}" lost its worker ({reason}) and with it what it had taken '
                    "in. A global stage that keeps its state in scratch_dir and sets "
                    "keeps_state_in_scratch = True survives this."
                ),
            )


def kill_all(state: State, reason: str) -> list[Action]:
    """End every worker that is left, at once."""
    return [KillWorker(worker, reason) for worker in state.workers]
