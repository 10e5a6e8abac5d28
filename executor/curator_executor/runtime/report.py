"""Snapshots and the final report, out of the core's state. Called by `run` when one is due."""

from __future__ import annotations

import time
import uuid

from curator_api.progress import (
    Bottleneck,
    DeadLetter,
    FailureSummary,
    ProgressSnapshot,
    RunReport,
    RunState,
    StageProgress,
    StageReport,
    WorkerCounts,
)
from curator_executor.core import progress
from curator_executor.core.lifecycle import WorkerState
from curator_executor.core.state import Pool, State
from curator_executor.runtime.loop import Loop

MOST_HISTORY = 240
FAILURE_KINDS = 10
MESSAGE_CHARACTERS = 2000
_STARTING = (WorkerState.STARTING, WorkerState.CREATED, WorkerState.SETTING_UP)


def new_run_id() -> str:
    """An id that no other run has."""
    return uuid.uuid4().hex[:12]


class Reporter:
    """Makes snapshots of one run.

    Args:
        state: the run.
        pipeline: its pipeline's name.
        names: of all stages.
        run_id: unique for each run; see `new_run_id`.
    """

    def __init__(
        self, state: State, pipeline: str, names: tuple[str, ...], run_id: str = ""
    ) -> None:
        self.state = state
        self.pipeline = pipeline
        self.names = names
        self.run_id = run_id or new_run_id()
        self.history: list[ProgressSnapshot] = []
        self._rates = progress.Rates()
        self._best_done = 0
        self._has_run = False
        self._every = 1
        self._count = 0

    def snapshot(self, now: float, *, final: bool = False) -> ProgressSnapshot:
        """The run now; also kept in the history.

        Args:
            now: seconds on the pool's clock.
            final: nothing comes after it, whether or not every worker was seen to end.
        """
        self._rates.add(self.state, now)
        state = self.state
        total = progress.inputs_total(state)
        self._best_done = max(self._best_done, int(progress.inputs_done(state)))
        done = self._best_done if total is None else min(self._best_done, total)
        rate = self._rates.inputs_per_s()
        held = progress.bottleneck(state, self._rates)
        shot = ProgressSnapshot(
            run_id=self.run_id,
            pipeline=self.pipeline,
            state=self._phase(final=final),
            time=time.time(),
            elapsed_s=now - state.started_at,
            inputs_done=done,
            inputs_total=total,
            percent=None if not total else min(100.0, 100.0 * done / total),
            inputs_per_second=rate,
            eta_s=progress.eta_s(state, rate),
            bottleneck=Bottleneck(stage=self.names[held[0]], reason=held[1]) if held else None,
            store_bytes=sum(block.bytes for block in state.blocks.values() if block.id),
            stages=[
                self._stage(pool, i) for pool in state.pools for i in range(len(pool.spec.stages))
            ],
            failures=self._failures(),
            message=self._message(),
        )
        self._remember(shot)
        return shot

    def _remember(self, shot: ProgressSnapshot) -> None:
        self._count += 1
        if self._count % self._every == 0:
            self.history.append(shot)
        if len(self.history) > MOST_HISTORY:
            self.history = self.history[::2]
            self._every *= 2

    def _phase(self, *, final: bool) -> RunState:
        state = self.state
        if state.ending:
            ends: dict[str, RunState] = {
                "succeeded": "Succeeded",
                "failed": "Failed",
                "cancelled": "Cancelled",
            }
            return ends[state.ending] if state.ended or final else "Draining"
        # A run does not start again when its last workers stop before its last tasks are done.
        self._has_run = self._has_run or any(one.hosted for one in state.workers.values())
        return "Running" if self._has_run else "Starting"

    def _message(self) -> str:
        state = self.state
        if state.message:
            return state.message
        if state.ending:
            return ""
        if not any(worker.state not in _STARTING for worker in state.workers.values()):
            return f"waiting for {len(state.workers)} workers to start"
        if state.time_sharing:
            return "stages take turns: there are more of them than workers fit"
        return ""

    def _stage(self, pool: Pool, position: int) -> StageProgress:
        state = self.state
        stage = pool.spec.stages[position]
        totals = state.totals[stage.index]
        figures = totals.figures
        workers = [state.workers[w] for w in pool.workers]
        starting = sum(1 for w in workers if w.state in _STARTING)
        is_head = position == 0
        running = pool.accepted - pool.consumed - pool.queued_tasks if is_head else 0
        suspects = sum(suspect.tasks for suspect in pool.suspects)
        running -= suspects if is_head else 0
        return StageProgress(
            name=self.names[stage.index],
            workers=WorkerCounts(
                ready=len(workers) - starting, starting=starting, wanted=pool.wanted
            ),
            queued=pool.queued_tasks + suspects if is_head else 0,
            running=max(0, running),
            done=figures.tasks_in,
            emitted=figures.tasks_out,
            filtered=figures.filtered,
            failed=totals.failed,
            retried=figures.retried,
            items_per_second=self._rates.tasks_per_s(stage.index),
            seconds_per_task=figures.process_s / figures.tasks_in if figures.tasks_in else None,
            busy_percent=100.0 * self._rates.busy_share(stage.index),
            queued_bytes=pool.held_bytes if is_head else 0,
            fused_with=[self.names[s.index] for s in pool.spec.stages if s.index != stage.index],
        )

    def _failures(self) -> list[FailureSummary]:
        kinds: dict[tuple[int, str], FailureSummary] = {}
        for failure in self.state.failures:
            error = failure.error
            key = (error.stage, error.error)
            known = kinds.pop(key, None)
            kinds[key] = FailureSummary(
                stage=self.names[error.stage],
                error=error.error,
                message=error.message[:MESSAGE_CHARACTERS],
                count=error.tasks + (known.count if known else 0),
                task_id=error.task_ids[0] if error.task_ids else "",
                traceback=error.traceback,
            )
        return list(kinds.values())[-FAILURE_KINDS:]

    def report(self, loop: Loop, now: float, outputs: int, error: str) -> RunReport:
        """The whole run, at its end."""
        shot = self.snapshot(now, final=True)
        return RunReport(
            snapshot=shot,
            stages=[
                self._stage_report(pool, position, shot)
                for pool in self.state.pools
                for position in range(len(pool.spec.stages))
            ],
            decisions=loop.decisions,
            dead_letters=self._dead_letters(now),
            history=self.history,
            error=error,
            outputs=outputs,
        )

    def _stage_report(self, pool: Pool, position: int, shot: ProgressSnapshot) -> StageReport:
        stage = pool.spec.stages[position]
        totals = self.state.totals[stage.index]
        figures = totals.figures
        is_head = position == 0
        return StageReport(
            progress=shot.stages[stage.index],
            process_s=figures.process_s,
            idle_s=totals.idle_s,
            overhead_s=totals.overhead_s,
            setup_s=totals.setup_s,
            workers_started=pool.workers_started if is_head else 0,
            workers_died=pool.workers_died if is_head else 0,
            calls=pool.calls if is_head else 0,
            batches=figures.batches,
            input_bytes=totals.input_bytes,
            output_bytes=totals.output_bytes,
            kept=figures.kept,
            dropped=dict(figures.dropped),
            kept_samples=list(figures.kept_samples),
            dropped_samples=list(figures.dropped_samples),
            metrics=dict(figures.metrics),
        )

    def _dead_letters(self, now: float) -> list[DeadLetter]:
        wall = time.time()
        return [
            DeadLetter(
                stage=self.names[failure.error.stage],
                task_ids=list(failure.error.task_ids),
                error=failure.error.error,
                message=failure.error.message,
                traceback=failure.error.traceback,
                attempts=failure.error.attempts,
                node=failure.node,
                time=wall - (now - failure.at),
                emitted=failure.error.emitted,
            )
            for failure in self.state.failures
        ]
