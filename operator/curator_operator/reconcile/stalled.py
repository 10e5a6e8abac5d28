"""Whether a running pipeline gets anywhere: the `Stalled` condition.

Called by `plan` for every status. A run stalls when no input and no task of any stage has finished
for a while; the stage that holds the work is named.
"""

from __future__ import annotations

from curator_api.progress import ProgressSnapshot
from curator_api.times import seconds
from curator_api.v1alpha1.status import PipelineStatus
from curator_operator.reconcile.case import Case
from curator_operator.reconcile.conditions import Says
from curator_operator.reconcile.reasons import Reason
from curator_operator.reconcile.text import clean, plural
from curator_operator.reconcile.times import duration

# Twenty polls without an answer of the driver, while Ray says that it runs.
NO_REPORT_S = 120.0


def stalled(case: Case, status: PipelineStatus) -> tuple[Says, float | None]:
    """What `Stalled` says of a status, and the seconds until time alone may change that."""
    if status.phase != "Running":
        return Says("Stalled", "False", Reason.NOT_RUNNING), None
    seen = case.snapshot
    if seen is None:
        return Says("Stalled", "Unknown", Reason.NO_PROGRESS_REPORT, _NOTHING_YET), None
    silent_s = case.now - seen.at
    if silent_s >= NO_REPORT_S:
        message = "the driver has not said how far it is for a while; Ray says that it runs"
        return Says("Stalled", "Unknown", Reason.NO_PROGRESS_REPORT, message), None
    limit_s = case.settings.stalled_after_s
    idle_s = _idle_s(case, status, seen.snapshot)
    if idle_s < limit_s:
        again_s = min(limit_s - idle_s, NO_REPORT_S - silent_s)
        return Says("Stalled", "False", Reason.TASKS_FINISH), again_s
    message = f"nothing finished for {duration(limit_s)} or longer{_where(seen.snapshot)}"
    return Says("Stalled", "True", Reason.NO_TASK_FINISHED, message), None


_NOTHING_YET = "the driver has not said yet how far it is"


def _idle_s(case: Case, status: PipelineStatus, snapshot: ProgressSnapshot) -> float:
    """Seconds since anything finished, but no more than the run has gone on."""
    last = seconds(status.last_progress_time)
    ran_s = snapshot.elapsed_s
    return ran_s if last is None else min(ran_s, max(0.0, case.now - last))


def _where(snapshot: ProgressSnapshot) -> str:
    """The stage that holds the work: the bottleneck, else the last one that has any."""
    holding = [one for one in snapshot.stages if one.queued or one.running]
    named = snapshot.bottleneck.stage if snapshot.bottleneck is not None else ""
    stage = next((one for one in snapshot.stages if one.name == named), None)
    if stage is None and holding:
        stage = holding[-1]
    if stage is None:
        return ""
    name = clean(stage.name, 128)
    ready = plural(stage.workers.ready, "worker")
    return f"; stage {name} holds {plural(stage.running, 'task')} and {ready}"
