"""Take in what a call's report says: the figures of its stages, and what a task costs their pool.

Called by `step` for each call that comes back.
"""

from __future__ import annotations

from typing import TypeVar

from curator_executor.core.state import Pool, State, Worker
from curator_executor.core.turns import FIRST_TIMINGS
from curator_executor.core.types import CallReport

# Samples of a stage that the report shows; later ones replace none.
SAMPLES_PER_STAGE = 5
Sample = TypeVar("Sample")


def measure(
    state: State, worker: Worker, pool: Pool, report: CallReport, now: float, *, solo: bool
) -> None:
    """Count what a call did, and how long it took."""
    process_s = 0.0
    for figures in report.figures:
        totals = state.totals[figures.stage].figures
        process_s += figures.process_s
        totals.process_s += figures.process_s
        totals.batches += figures.batches
        totals.tasks_in += figures.tasks_in
        totals.tasks_out += figures.tasks_out
        totals.filtered += figures.filtered
        totals.retried += figures.retried
        totals.items += figures.items
        totals.kept += figures.kept
        for name, count in figures.dropped.items():
            totals.dropped[name] = totals.dropped.get(name, 0) + count
        for name, value in figures.metrics.items():
            totals.metrics[name] = totals.metrics.get(name, 0.0) + value
        _keep_samples(totals.kept_samples, figures.kept_samples)
        _keep_samples(totals.dropped_samples, figures.dropped_samples)
    head = state.totals[pool.spec.head.index]
    head.input_bytes += report.in_bytes
    head.idle_s += report.idle_s
    head.overhead_s += max(0.0, report.wall_s - process_s)
    state.totals[pool.spec.stages[-1].index].output_bytes += report.out_bytes
    _time(state, worker, pool, report, now)
    if report.consumed and not solo:
        pool.last_call_tasks = max(report.consumed, int(pool.last_call_tasks * 0.5))


def _time(state: State, worker: Worker, pool: Pool, report: CallReport, now: float) -> None:
    """Add to what a task costs; time of calls that finish none belongs to the next one that does.

    A source that yields for a minute comes back many times before its one input is finished.
    """
    index = pool.spec.index
    is_first = index not in worker.measured
    spent_s = worker.spent_s.pop(index, 0.0) + report.wall_s
    if not report.consumed:
        worker.spent_s[index] = spent_s
        return
    worker.measured.add(index)
    was_warm = pool.cost.is_warm
    pool.cost.add(now, spent_s, report.consumed, is_first=is_first)
    pool.samples += 1
    # The first figures; and the first that are not for workers that may have loaded models.
    if pool.samples == FIRST_TIMINGS or pool.cost.is_warm is not was_warm:
        state.scale_due = True


def _keep_samples(kept: list[Sample], new: list[Sample]) -> None:
    room = SAMPLES_PER_STAGE - len(kept)
    if room > 0:
        kept.extend(new[:room])
