"""What became of the present attempt's job: it ended, its infrastructure was lost, or neither.

The driver's own word counts: its exit code, else its final snapshot. A bad manifest or a failing
stage would fail again, so it ends the pipeline at once. Only what befell the driver from outside
(its pod, its node, a signal) is `Lost`, and only that is tried again.
"""

from __future__ import annotations

from dataclasses import dataclass

from curator_api.progress import ProgressSnapshot
from curator_api.v1alpha1.status import LONGEST_MESSAGE
from curator_operator.reconcile.case import ALIVE, Case
from curator_operator.reconcile.observed import JobSeen, Refusal
from curator_operator.reconcile.reasons import Reason
from curator_operator.reconcile.text import clean, plural

# The driver's exit codes.
DONE, STAGE_FAILED, REFUSED, DEAD_LETTERS, CANCELLED = 0, 1, 2, 3, 130

# Head pod and head both silent: long enough for a watch that lags behind, short enough that a
# killed head costs less than a minute.
HEAD_GONE_S = 15.0
# KubeRay's reason of a false `HeadPodReady` where there is no head pod at all.
HEAD_POD_NOT_FOUND = "HeadPodNotFound"
# Ray answers 400 to a job that it will never take; a few times, in case a proxy said it.
MOST_SUBMISSION_REFUSALS = 3
_RUNTIME_ENV = "runtime_env setup failed"
_MESSAGE = LONGEST_MESSAGE // 2


@dataclass(frozen=True)
class Ended:
    """The job ended, by its own verdict.

    Attributes:
        complete: the pipeline is done; else it failed.
        cancelled: it was asked to end: what follows depends on who asked.
    """

    complete: bool
    reason: Reason
    message: str
    cancelled: bool = False

    @property
    def retried(self) -> str:
        """The entry of `spec.retryOn` that begins a new attempt after this end; "" where none."""
        return "StageFailed" if self.reason is Reason.STAGE_FAILED else ""


@dataclass(frozen=True)
class Lost:
    """The job went with the infrastructure under it."""

    what: str


def verdict_of(case: Case) -> Ended | Lost | None:
    """What became of the job; None while it may still run, or was not submitted yet."""
    if not case.submitted:
        return _loss_before_the_job(case)
    job = case.job
    if job.state == "SUCCEEDED":
        return _complete(case)
    if job.state == "STOPPED":
        return _cancelled(case, _stopped(job))
    if job.state == "FAILED":
        return _of_failed(case, job)
    if job.state in ALIVE:
        return None
    refused = submission_refused(case)
    if refused is not None:
        return Ended(
            False,
            Reason.SUBMISSION_REFUSED,
            f"Ray refuses the job: {clean(refused.message, _MESSAGE)}",
        )
    lost = _loss(case)
    # The driver may have said its last word before its head went.
    return _by_snapshot(case) or lost if lost is not None else None


def submission_refused(case: Case) -> Refusal | None:
    """The refusal of a job that Ray will never take."""
    for refusal in case.observed.refusals:
        if (
            refusal.action == "SubmitJob"
            and refusal.code in (400, 413, 422)
            and refusal.count >= MOST_SUBMISSION_REFUSALS
        ):
            return refusal
    return None


def head_is_lost(case: Case) -> str:
    """Why the head counts as lost with all that ran on it; "" while it does not."""
    silent_s = case.unreachable_s
    where = f"RayCluster {case.cluster_name}"
    if case.existing:
        # A cluster that is not ours may only be out of reach: what runs there would run twice.
        gone = case.cluster is None and silent_s >= case.settings.lost_after_s
        return f"{where} is gone" if gone else ""
    if silent_s >= HEAD_GONE_S and not case.head_lives:
        if case.cluster is None or case.cluster.deleting:
            return f"{where} was deleted"
        return f"the head pod of {where} is gone{_why(case)}"
    if silent_s >= case.settings.lost_after_s:
        return f"the head of {where} did not answer for {case.settings.lost_after_s:.0f} s"
    return ""


def _loss(case: Case) -> Lost | None:
    job = case.job
    if job.state == "absent":
        if case.on_another_head:
            return Lost(f"the Ray head of {case.cluster_name} restarted and with it went the job")
        if case.phase == "Running":
            return Lost(f"the Ray head of {case.cluster_name} knows the job no more")
        return None
    gone = head_is_lost(case)
    return Lost(gone) if gone else None


def _loss_before_the_job(case: Case) -> Lost | None:
    """A head that was ready once and went: KubeRay makes no other, as its annotation asks."""
    cluster = case.cluster
    if cluster is None or case.existing or cluster.deleting or cluster.suspended:
        return None
    true = {one.type for one in cluster.conditions if one.status == "True"}
    gone = any(
        one.type == "HeadPodReady" and one.reason == HEAD_POD_NOT_FOUND
        for one in cluster.conditions
    )
    if not gone or "RayClusterProvisioned" not in true or case.head_lives:
        return None
    return Lost(f"the head pod of RayCluster {cluster.name} went before its job was submitted")


def _why(case: Case) -> str:
    """What the head's pod says of its end, where it is still there."""
    head = case.head
    if head is None:
        return ""
    words = [head.reason, head.message]
    words += [one.terminated for one in head.containers if one.terminated not in ("", "Completed")]
    said = ": ".join(word for word in words if word)
    return f" ({clean(said, 200)})" if said else ""


def _of_failed(case: Case, job: JobSeen) -> Ended | Lost:
    code = job.exit_code
    if code == DONE:
        return _complete(case)
    if code == DEAD_LETTERS:
        return _complete(case, Reason.DEAD_LETTERS)
    if code == CANCELLED:
        return _cancelled(case, "the run was cancelled from outside")
    if code == REFUSED:
        return Ended(False, Reason.MANIFEST_REFUSED, _said(case, job, "the driver refused to run"))
    if code == STAGE_FAILED:
        return _stage_failed(case, job)
    said = _by_snapshot(case)
    if said is not None:
        return said
    if code is None and _RUNTIME_ENV in job.message:
        return Ended(False, Reason.RUNTIME_ENV_FAILED, clean(job.message, _MESSAGE))
    how = "without an exit code" if code is None else f"with exit code {code}"
    detail = f": {clean(job.message, 300)}" if job.message else ""
    return Lost(f"the driver ended {how}{_why(case)}{detail}")


def _cancelled(case: Case, message: str) -> Ended | Lost:
    """It was told to end: by somebody, or by the end of its pod (a drained node, an eviction)."""
    head = case.head
    if head is not None and (not case.head_lives or case.on_another_head):
        return Lost(f"the driver was ended with its head pod{_why(case)}")
    if case.cluster is None or case.cluster.deleting:
        return Lost(f"the driver was ended with RayCluster {case.cluster_name}")
    return Ended(False, Reason.CANCELLED, message, cancelled=True)


def _stage_failed(case: Case, job: JobSeen) -> Ended:
    snapshot = _final(case)
    if snapshot is not None and snapshot.state == "Failed":
        return Ended(False, Reason.STAGE_FAILED, _said(case, job, "a stage failed"))
    return Ended(False, Reason.DRIVER_FAILED, _said(case, job, "the driver failed"))


def _by_snapshot(case: Case) -> Ended | None:
    """The verdict of the driver's final snapshot, where it is all that is left of it."""
    snapshot = _final(case)
    if snapshot is None:
        return None
    if snapshot.state == "Succeeded":
        return _complete(case)
    if snapshot.state == "Failed":
        return Ended(False, Reason.STAGE_FAILED, _said(case, case.job, "a stage failed"))
    return None


def _final(case: Case) -> ProgressSnapshot | None:
    seen = case.snapshot
    if seen is None or seen.snapshot.state not in ("Succeeded", "Failed", "Cancelled"):
        return None
    return seen.snapshot


def _complete(case: Case, reason: Reason = Reason.SUCCEEDED) -> Ended:
    snapshot = case.snapshot.snapshot if case.snapshot is not None else None
    failed = {} if snapshot is None else {one.name: one.failed for one in snapshot.stages}
    dead = sum(failed.values())
    if reason is Reason.SUCCEEDED and not dead:
        done = f": {plural(snapshot.inputs_done, 'input')}" if snapshot is not None else ""
        return Ended(True, Reason.SUCCEEDED, f"the run is done{done}")
    stages = ", ".join(f"{name} {count:,}" for name, count in failed.items() if count)
    counted = f"{plural(dead, 'task')} given up on" if dead else "some tasks given up on"
    where = f" ({clean(stages, 300)})" if stages else ""
    return Ended(
        True, Reason.DEAD_LETTERS, f"the run is done, with {counted}{where}; see status.failures"
    )


def _said(case: Case, job: JobSeen, otherwise: str) -> str:
    """The best account of a failure: the final snapshot's, else Ray's with the driver's log."""
    snapshot = _final(case)
    if snapshot is not None:
        words = [snapshot.message] if snapshot.message else []
        if not words and snapshot.failures:
            last = snapshot.failures[-1]
            words = [f"stage {last.stage}: {last.error}: {last.message}"]
        if words:
            return clean(words[0], _MESSAGE)
    return clean(f"{otherwise}: {job.message}" if job.message else otherwise, _MESSAGE)


def _stopped(job: JobSeen) -> str:
    detail = f": {clean(job.message, 300)}" if job.message else ""
    return f"the Ray job was stopped from outside{detail}"
