"""Ends: success, failure, deadline; and what is left to do afterwards, until the pipeline goes.

Called by `plan` and its parts. An end is written first and cleaned up after, so that whoever waits
for `Finished` waits for the work and not for KubeRay.
"""

from __future__ import annotations

from curator_api.times import seconds
from curator_api.v1alpha1.status import ConditionType, PipelineStatus
from curator_operator.desired.labels import FINALIZER
from curator_operator.reconcile.actions import (
    Action,
    DeleteConfigMap,
    DeletePipeline,
    DeleteRayCluster,
    RemoveFinalizer,
)
from curator_operator.reconcile.case import Case, Step
from curator_operator.reconcile.clock import stop_clock
from curator_operator.reconcile.conditions import Says, condition_of, is_true, reason_of
from curator_operator.reconcile.draining import rest
from curator_operator.reconcile.reasons import Reason
from curator_operator.reconcile.say import say
from curator_operator.reconcile.status import stopped, with_progress
from curator_operator.reconcile.times import stamp
from curator_operator.reconcile.verdict import Ended, verdict_of


def finish(case: Case, ended: Ended) -> Step:
    """The job's own end becomes the pipeline's."""
    status = with_progress(case, case.status)
    return _end(case, status, ended.complete, ended.reason, ended.message)


def fail(case: Case, reason: Reason, message: str) -> Step:
    """The pipeline failed, for a reason that is not the job's own."""
    return _end(case, with_progress(case, case.status), False, reason, message)


def stop_for_deadline(case: Case) -> Step:
    """Time is up: drain first."""
    message = f"spec.activeDeadlineSeconds ({case.judged.controls.deadline_s:.0f}) are over"
    status = case.status.model_copy(update={"phase": "Stopping"})
    says = Says("Progressing", "False", Reason.DEADLINE_EXCEEDED, message)
    return Step(say(case, status, message, says), look_again_s=0.0, poll=case.submitted)


def stopping(case: Case) -> Step:
    """Stopping: bring the job to rest, then fail, unless it ended by itself."""
    verdict = verdict_of(case)
    if isinstance(verdict, Ended) and not verdict.cancelled:
        return finish(case, verdict)
    message = condition_message(case.status) or "spec.activeDeadlineSeconds are over"
    resting = rest(case, case.judged.controls.drain_s, message)
    if resting.reached:
        return fail(case, Reason.DEADLINE_EXCEEDED, message)
    says = Says("Progressing", "False", Reason.DEADLINE_EXCEEDED, message)
    status = with_progress(case, case.status.model_copy(update={"phase": "Stopping"}))
    said = say(case, status, f"{message}; {resting.why}", says)
    return Step(said, resting.actions, resting.again_s, poll=True)


def condition_message(status: PipelineStatus) -> str:
    """What `Progressing` says."""
    found = condition_of(status, "Progressing")
    return "" if found is None else found.message


def ended(case: Case) -> Step:
    """Succeeded or Failed: clean up, let the pipeline go when its time to live is over."""
    status = _mended(case)
    actions: list[Action] = []
    if FINALIZER in case.pipeline.finalizers:
        actions.append(RemoveFinalizer("the pipeline has ended; nothing runs that must be stopped"))
    ttl_s = case.judged.controls.ttl_s
    left_s: float | None = None
    if ttl_s is not None:
        at = seconds(status.completion_time)
        left_s = max(0.0, (case.now if at is None else at) + ttl_s - case.now)
        if left_s == 0:
            reason = f"spec.ttlSecondsAfterFinished ({ttl_s:.0f}) are over"
            actions.append(DeletePipeline(case.pipeline.uid, reason))
            return Step(status, tuple(actions))
    keep = case.judged.controls.keep_cluster
    actions += [
        DeleteRayCluster(one.name, one.uid, "the pipeline has ended")
        for one in case.leftovers(present=not keep)
    ]
    if not keep:
        actions += [
            DeleteConfigMap(name.removeprefix("ConfigMap/"), "the pipeline has ended")
            for name in sorted(case.observed.children)
            if name.startswith("ConfigMap/")
        ]
    return Step(status, tuple(actions), left_s)


def _end(case: Case, status: PipelineStatus, complete: bool, reason: Reason, message: str) -> Step:
    phase = "Succeeded" if complete else "Failed"
    ended = stopped(stop_clock(status, case.now)).model_copy(
        update={"phase": phase, "completion_time": stamp(case.now)}
    )
    kept = case.judged.controls.keep_cluster and not case.existing
    cluster = (
        ()
        if kept
        else (Says("ClusterReady", "False", Reason.CLUSTER_NOT_NEEDED, "the pipeline has ended"),)
    )
    says = (
        *cluster,
        Says("Progressing", "False", Reason.FINISHED, message),
        Says("Suspended", "False", Reason.NOT_SUSPENDED),
        Says("Finished", "True", reason, message),
        Says("Complete" if complete else "Failed", "True", reason, message),
    )
    return Step(say(case, ended, message, *says), look_again_s=0.0)


def _mended(case: Case) -> PipelineStatus:
    """An end's status as it is, with what somebody took from it put back."""
    status = case.status
    if status.completion_time is None:
        status = status.model_copy(update={"completion_time": stamp(case.now)})
    kind: ConditionType = "Complete" if status.phase == "Succeeded" else "Failed"
    if is_true(status, "Finished") and is_true(status, kind):
        return status
    known = reason_of(status, kind) or reason_of(status, "Finished")
    otherwise = Reason.SUCCEEDED if kind == "Complete" else Reason.DRIVER_FAILED
    reason = Reason(known) if known in set(Reason) else otherwise
    message = status.message or ""
    says = (Says("Finished", "True", reason, message), Says(kind, "True", reason, message))
    return say(case, status, message, *says)
