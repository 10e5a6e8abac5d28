"""Progress as a status shows it: rounded to what a person reads, never going back.

Called by `attempt` and `ending` with the newest snapshot. Everything shown is a function of the
snapshot and of what was shown before, never of the time of looking: looking twice writes once.
"""

from __future__ import annotations

from curator_api.progress import FailureSummary, ProgressSnapshot, StageProgress
from curator_api.v1alpha1.status import (
    LONGEST_MESSAGE,
    MOST_FAILURES,
    MOST_SHOWN_STAGES,
    ConditionType,
    FailureStatus,
    PipelineStatus,
    StageStatus,
    StatusBottleneck,
    StatusProgress,
    StatusWorkers,
)
from curator_operator.reconcile.case import Case
from curator_operator.reconcile.conditions import condition_of
from curator_operator.reconcile.eta import completion, remaining
from curator_operator.reconcile.reasons import Reason
from curator_operator.reconcile.text import clean, cut, figure
from curator_operator.reconcile.times import stamp

_LONGEST_NAME = 128
_LONGEST_REASON = 256
# Phases in which something may hold it up, and the conditions that say what, the weightier first.
_WAITS = frozenset({"Pending", "Queued", "Starting", "Running"})
_HOLDS_UP: tuple[ConditionType, ...] = ("Accepted", "ClusterReady")


def with_progress(case: Case, status: PipelineStatus) -> PipelineStatus:
    """The status with the newest snapshot of the present attempt in it; as it was without one."""
    seen = case.snapshot
    if seen is None:
        return status
    snapshot = seen.snapshot
    gpus = _gpus_by_stage(case)
    stages = [_stage(one, gpus.get(one.name)) for one in snapshot.stages[:MOST_SHOWN_STAGES]]
    progress = _progress(snapshot, status.progress)
    update: dict[str, object] = {
        "progress": progress,
        "stages": stages,
        "failures": _failures(snapshot, status.failures),
    }
    if _moved(status, progress, stages):
        update["last_progress_time"] = stamp(seen.at)
    return status.model_copy(update=update)


def at_rest(status: PipelineStatus) -> PipelineStatus:
    """The status without what only a run has: a rate, a time of completion, a bottleneck."""
    if status.progress is None:
        return status
    gone = ("inputs_per_second", "estimated_completion_time", "remaining", "bottleneck")
    progress = status.progress.model_copy(update=dict.fromkeys(gone))
    return status.model_copy(update={"progress": progress})


def stopped(status: PipelineStatus) -> PipelineStatus:
    """The status at rest, of a pipeline without a cluster: its stages have no workers."""
    nobody = {
        "workers": StatusWorkers(),
        "running": 0,
        "items_per_second": None,
        "busy_percent": None,
        "gpus": None,
    }
    stages = [one.model_copy(update=nobody) for one in status.stages]
    return at_rest(status).model_copy(update={"stages": stages})


def held_up_by(status: PipelineStatus) -> str | None:
    """What `kubectl get` names as holding the pipeline up: a stage, or a reason of a condition."""
    if status.phase not in _WAITS:
        return None
    for kind in _HOLDS_UP:
        found = condition_of(status, kind)
        if found is not None and found.status == "False" and found.reason != Reason.NOT_STARTED:
            return found.reason
    held = status.progress.bottleneck if status.progress is not None else None
    return held.stage if held is not None else None


def _progress(snapshot: ProgressSnapshot, before: StatusProgress | None) -> StatusProgress:
    done, total, percent = max(0, snapshot.inputs_done), snapshot.inputs_total, None
    if snapshot.percent is not None and total is not None:
        # 100 is for the end: 99.6 percent of a long run is still a while.
        percent = 100 if done >= total else min(99, max(0, int(snapshot.percent)))
    if before is not None:
        done = max(done, before.inputs_done)
        total = before.inputs_total if total is None else max(total, 0)
        shown = [one for one in (percent, before.percent) if one is not None]
        percent = max(shown, default=None)
    held = snapshot.bottleneck
    at = completion(snapshot, before)
    return StatusProgress(
        inputs_done=done,
        inputs_total=total,
        percent=percent,
        inputs_per_second=figure(max(0.0, snapshot.inputs_per_second)),
        estimated_completion_time=None if at is None else stamp(at),
        remaining=None if at is None else remaining(at - snapshot.time),
        bottleneck=None
        if held is None
        else StatusBottleneck(
            stage=cut(held.stage, _LONGEST_NAME), reason=clean(held.reason, _LONGEST_REASON)
        ),
    )


def _stage(stage: StageProgress, gpus: float | None) -> StageStatus:
    return StageStatus(
        name=cut(stage.name, _LONGEST_NAME),
        workers=StatusWorkers(
            ready=max(0, stage.workers.ready),
            starting=max(0, stage.workers.starting),
            wanted=max(0, stage.workers.wanted),
        ),
        queued=max(0, stage.queued),
        running=max(0, stage.running),
        done=max(0, stage.done),
        failed=max(0, stage.failed),
        dropped=max(0, stage.filtered),
        items_per_second=figure(max(0.0, stage.items_per_second)),
        seconds_per_task=None
        if stage.seconds_per_task is None
        else figure(max(0.0, stage.seconds_per_task)),
        busy_percent=min(100, max(0, round(stage.busy_percent))),
        gpus=f"{gpus * max(0, stage.workers.ready):g}" if gpus else None,
    )


def _gpus_by_stage(case: Case) -> dict[str, float]:
    """GPUs that a worker of each stage holds, as far as the manifest says."""
    spec = case.judged.spec
    if spec is None or spec.stages is None:
        return {}
    return {
        one.name: one.resources.gpus
        for one in spec.stages
        if one.resources is not None and one.resources.gpus
    }


def _failures(snapshot: ProgressSnapshot, before: list[FailureStatus]) -> list[FailureStatus]:
    """The kinds of the snapshot, then those of earlier attempts that it does not have."""
    known = {(one.stage, one.error): one for one in before}
    found: dict[tuple[str, str], FailureStatus] = {}
    for one in reversed(snapshot.failures):
        shown = _failure(one, snapshot.time)
        key = (shown.stage, shown.error)
        earlier = known.pop(key, None)
        if earlier is not None and earlier.count == shown.count:
            shown = shown.model_copy(update={"last_seen": earlier.last_seen})
        found[key] = shown
    return [*found.values(), *known.values()][:MOST_FAILURES]


def _failure(failure: FailureSummary, at: float) -> FailureStatus:
    return FailureStatus(
        stage=cut(failure.stage, _LONGEST_NAME),
        task=cut(failure.task_id, 256),
        error=cut(failure.error, _LONGEST_NAME),
        message=clean(failure.message, LONGEST_MESSAGE),
        count=max(1, failure.count),
        last_seen=stamp(at),
    )


def _moved(status: PipelineStatus, progress: StatusProgress, stages: list[StageStatus]) -> bool:
    """Whether an input or a task finished since the status was written."""
    before = status.progress.inputs_done if status.progress is not None else 0
    done_by_name = {one.name: one.done for one in status.stages}
    # A stage that there was no room to show is not new.
    return progress.inputs_done > before or any(
        one.done > done_by_name.get(one.name, one.done if done_by_name else 0) for one in stages
    )
