"""Events: what a person would want to be told, once each, when a status says it first.

Called by `plan` with the status before and after. Told by difference, so nothing has to be
remembered: the write of the status that makes the difference happens once.
"""

from __future__ import annotations

from collections.abc import Iterator

from curator_api.v1alpha1.status import ConditionType, PipelineStatus
from curator_operator.reconcile.actions import EmitEvent
from curator_operator.reconcile.conditions import condition_of, reason_of
from curator_operator.reconcile.reasons import Reason
from curator_operator.reconcile.text import cut

# Reasons of ClusterReady=False that somebody has to act on.
WARNS = frozenset(
    {
        Reason.UNSCHEDULABLE,
        Reason.IMAGE_PULL_FAILED,
        Reason.CONFIG_MISSING,
        Reason.CONTAINER_FAILED,
        Reason.HEAD_CRASHING,
        Reason.OUT_OF_MEMORY,
        Reason.EVICTED,
        Reason.QUOTA_EXCEEDED,
        Reason.PODS_REFUSED,
        Reason.FORBIDDEN,
        Reason.OBJECT_REFUSED,
        Reason.NAME_TAKEN,
        Reason.KUBERAY_MISSING,
        Reason.KUBERAY_SILENT,
        Reason.HEAD_UNAUTHORIZED,
        Reason.EXISTING_ABSENT,
    }
)
# The API server's limit on an event's note.
LONGEST_EVENT = 1024


def events(before: PipelineStatus, after: PipelineStatus) -> tuple[EmitEvent, ...]:
    """What to tell when a status changes from `before` to `after`."""
    return (
        *_of_attempts(before, after),
        *_of_phases(before, after),
        *_of_trouble(before, after),
    )


def _of_attempts(before: PipelineStatus, after: PipelineStatus) -> Iterator[EmitEvent]:
    number = after.attempt or 0
    if number > (before.attempt or 0):
        if after.retries_used > before.retries_used:
            yield _warning("AttemptLost", after.message, f"lost/{number}")
        elif before.phase == "Suspended":
            yield _normal("Resumed", f"resumed: attempt {number} begins", f"resumed/{number}")
        else:
            yield _normal("AttemptStarted", after.message, f"attempt/{number}")
    if after.submission_id and after.submission_id != before.submission_id:
        text = f"job {after.submission_id} is submitted to RayCluster {after.ray_cluster}"
        head = (after.head_container_id or "")[-12:]
        yield _normal("JobSubmitted", text, f"submitted/{after.submission_id}/{head}")


def _of_phases(before: PipelineStatus, after: PipelineStatus) -> Iterator[EmitEvent]:
    if after.phase == before.phase:
        return
    number = after.attempt or 0
    if after.phase == "Running":
        yield _normal("Running", f"attempt {number} runs", f"running/{after.submission_id}")
    elif after.phase == "Queued":
        yield _normal("Queued", after.message, f"queued/{number}")
    elif after.phase == "Suspending":
        yield _normal("Suspending", after.message, f"suspending/{number}")
    elif after.phase == "Suspended":
        yield _normal("Suspended", after.message, f"suspended/{number}")
    elif after.phase == "Stopping":
        if reason_of(after, "Progressing") == Reason.DEADLINE_EXCEEDED:
            yield _warning("DeadlineExceeded", after.message, "deadline")
        else:
            yield _normal("Stopping", after.message, "stopping")
    elif after.phase == "Succeeded":
        dead = reason_of(after, "Complete") == Reason.DEAD_LETTERS
        yield (_warning if dead else _normal)("Succeeded", after.message, "ended")
    elif after.phase == "Failed":
        yield _warning(reason_of(after, "Failed") or "Failed", after.message, "ended")


def _of_trouble(before: PipelineStatus, after: PipelineStatus) -> Iterator[EmitEvent]:
    accepted = condition_of(after, "Accepted")
    if accepted is not None and accepted.status == "False" and _changed(before, after, "Accepted"):
        key = f"accepted/{accepted.reason}/{accepted.observed_generation}"
        yield _warning(accepted.reason, accepted.message, key)
    cluster = condition_of(after, "ClusterReady")
    if cluster is not None and cluster.reason in WARNS and _changed(before, after, "ClusterReady"):
        key = f"cluster/{after.attempt or 0}/{cluster.reason}"
        yield _warning(cluster.reason, cluster.message, key)
    stalled = condition_of(after, "Stalled")
    if stalled is not None and stalled.status == "True" and _changed(before, after, "Stalled"):
        yield _warning("Stalled", stalled.message, f"stalled/{stalled.last_transition_time}")


def _changed(before: PipelineStatus, after: PipelineStatus, kind: ConditionType) -> bool:
    old, new = condition_of(before, kind), condition_of(after, kind)
    if old is None or new is None:
        return new is not None
    return (old.status, old.reason) != (new.status, new.reason)


def _normal(event: str, message: str | None, key: str) -> EmitEvent:
    return EmitEvent("Normal", event, cut(message or event, LONGEST_EVENT), key)


def _warning(event: str, message: str | None, key: str) -> EmitEvent:
    return EmitEvent("Warning", event, cut(message or event, LONGEST_EVENT), key)
