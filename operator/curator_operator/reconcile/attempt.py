"""An attempt from its first word to its last: begin, make its cluster, submit its job, follow it.

Called by `plan` in the phases Pending, Queued, Starting and Running. The rule of the two steps:
whatever has an effect outside is planned only when the observed status already names the attempt
(for a cluster) or the submission (for a job), so that an operator that dies in between repeats
nothing.
"""

from __future__ import annotations

from curator_api.errors import ManifestError
from curator_api.v1alpha1.status import PipelineStatus
from curator_operator.desired import names
from curator_operator.desired.labels import FINALIZER
from curator_operator.desired.replicas import replica_patch
from curator_operator.reconcile import wanted
from curator_operator.reconcile.accept import cannot_be_made, in_one_line
from curator_operator.reconcile.actions import (
    Action,
    AddFinalizer,
    DeleteRayCluster,
    PatchRayCluster,
)
from curator_operator.reconcile.case import ALIVE, Case, Step
from curator_operator.reconcile.clock import left_s, start_clock, stop_clock
from curator_operator.reconcile.conditions import Says
from curator_operator.reconcile.ending import fail, finish, stop_for_deadline
from curator_operator.reconcile.reasons import Reason
from curator_operator.reconcile.say import say
from curator_operator.reconcile.status import with_progress
from curator_operator.reconcile.suspend import suspend
from curator_operator.reconcile.times import stamp
from curator_operator.reconcile.verdict import Ended, Lost, verdict_of
from curator_operator.reconcile.waiting import (
    Waiting,
    stuck_workers,
    why_no_workers,
    why_not_ready,
)

# What no watch tells: that a CustomResourceDefinition appears, that KubeRay does nothing, how an
# existing cluster is, that a head goes on not answering.
LOOK_FOR_KUBERAY_S = 15.0
UNTOLD = frozenset(
    {
        Reason.KUBERAY_MISSING,
        Reason.CLUSTER_STARTING,
        Reason.EXISTING_ABSENT,
        Reason.EXISTING_NOT_READY,
        Reason.HEAD_GONE,
        Reason.HEAD_UNREACHABLE,
        Reason.HEAD_UNAUTHORIZED,
    }
)
EDITED = "the spec was edited before its job ran"


def not_begun(case: Case) -> Step:
    """Pending: nothing is made. Begin, unless the spec or the cluster forbids it."""
    spec = case.judged.spec
    problems = case.judged.problems
    if spec is not None:
        problems = cannot_be_made(case.pipeline, spec, case.settings)
    status = case.status.model_copy(update={"phase": "Pending", "attempt": case.attempt or None})
    if problems:
        refused = in_one_line(problems)
        return Step(_pending(case, status, refused=refused), refused=refused)
    if case.judged.controls.suspend:
        return suspend(case)
    waiting = why_not_ready(case) if case.existing or not case.observed.kuberay else None
    if waiting is not None:
        return Step(_pending(case, status, waiting), look_again_s=LOOK_FOR_KUBERAY_S)
    return begin(case, case.last_known_attempt + 1)


def begin(case: Case, number: int, why: str = "", *, retries_used: int | None = None) -> Step:
    """Write down that attempt `number` begins; it is made on the next look.

    Args:
        case: this look; its spec is valid.
        number: of the attempt.
        why: what happened to the one before, for the message.
        retries_used: how many the backoff limit has counted by now.
    """
    before = case.status
    cluster = case.existing or names.cluster_name(case.pipeline.name, case.pipeline.uid, number)
    status = stop_clock(before, case.now).model_copy(
        update={
            "phase": "Starting",
            "attempt": number,
            "retries_used": before.retries_used if retries_used is None else retries_used,
            "ray_cluster": cluster,
            "submission_id": None,
            "head_container_id": None,
            "driver_address": None,
            "spec_hash": case.judged.work,
            "progress": None,
            "stages": [],
            "start_time": before.start_time or stamp(case.now),
            "completion_time": None,
        }
    )
    message = f"{why}; attempt {number} begins" if why else f"attempt {number} begins"
    says = (
        Says("ClusterReady", "False", Reason.CLUSTER_STARTING, f"RayCluster {cluster} comes next"),
        Says("Progressing", "True", Reason.STARTING, message),
        Says("Suspended", "False", Reason.NOT_SUSPENDED),
    )
    return Step(say(case, start_clock(status, case.now), message, *says), look_again_s=0.0)


def under_way(case: Case) -> Step:
    """Queued, Starting or Running: in order of weight, what ends it, rests it, carries it on."""
    verdict = verdict_of(case)
    controls = case.judged.controls
    taken_away = case.cluster is not None and case.cluster.suspended and not case.existing
    if isinstance(verdict, Ended) and verdict.retried in controls.retry_on:
        if case.status.retries_used >= controls.backoff_limit:
            return finish(case, verdict)
        verdict = Lost(verdict.message)
    if isinstance(verdict, Ended) and not (verdict.cancelled and taken_away):
        return finish(case, verdict)
    if left_s(case.status, controls.deadline_s, case.now) == 0:
        return stop_for_deadline(case)
    if controls.suspend:
        return suspend(case)
    if taken_away:
        return _queued(case)
    if isinstance(verdict, Lost):
        return _after_loss(case, verdict)
    return _follow(case) if case.submitted else _prepare(case)


def _after_loss(case: Case, lost: Lost) -> Step:
    used, limit = case.status.retries_used, case.judged.controls.backoff_limit
    if used >= limit:
        return fail(
            case,
            Reason.BACKOFF_LIMIT_EXCEEDED,
            f"attempt {case.attempt}: {lost.what}; spec.backoffLimit allows {limit} more "
            "after the first, and they are used up",
        )
    if case.judged.spec is None:
        return fail(
            case,
            Reason.INVALID_SPEC,
            f"attempt {case.attempt}: {lost.what}; the next one cannot be made: "
            f"{case.judged.complaint}",
        )
    number = case.last_known_attempt + 1
    return begin(case, number, f"attempt {case.attempt}: {lost.what}", retries_used=used + 1)


def _queued(case: Case) -> Step:
    waiting = why_not_ready(case)
    message = waiting.message if waiting is not None else "RayCluster is suspended"
    status = stop_clock(case.status, case.now)
    update: dict[str, object] = {"phase": "Queued"}
    if case.submitted:
        # Its pods go at once, whatever ran there; it uses up no attempt. A head that is spared
        # still has the job, and is content when it is submitted again.
        update |= {
            "submission_id": None,
            "head_container_id": None,
            "driver_address": None,
            "progress": None,
            "stages": [],
        }
        message = f"pre-empted by Kueue; it goes on from the checkpoint. {message}"
    return Step(
        say(
            case,
            status.model_copy(update=update),
            message,
            Says("ClusterReady", "False", Reason.QUEUED, message),
            Says("Progressing", "False", Reason.QUEUED, message),
        )
    )


def _prepare(case: Case) -> Step:
    """Starting, before the job is submitted: make what is missing, wait for the head."""
    status = start_clock(case.status, case.now).model_copy(
        update={
            "phase": "Starting",
            "ray_cluster": case.cluster_name,
            "submission_id": None,
        }
    )
    spec = case.judged.spec
    if spec is not None and case.status.spec_hash != case.judged.work:
        # Only past a server that validates nothing. Nothing was submitted: take what is wanted now.
        return begin(case, case.last_known_attempt + 1, EDITED)
    if spec is None:
        message = f"nothing more is made until the spec is valid: {case.judged.complaint}"
        return Step(_starting(case, status, None, message))
    try:
        actions = _making(case)
    except ManifestError as error:
        return _cannot_be_made(case, status, error)
    waiting = why_not_ready(case)
    if waiting is not None or actions or not case.head_ready:
        return Step(_starting(case, status, waiting), actions, _deadline(case, waiting))
    status = status.model_copy(
        update={
            "submission_id": case.submission_id,
            "head_container_id": case.head_container or None,
        }
    )
    return Step(
        _starting(case, status, None, "the head is ready; the job is submitted next"),
        look_again_s=0.0,
        poll=True,
    )


def _cannot_be_made(case: Case, status: PipelineStatus, error: ManifestError) -> Step:
    """What an attempt is made of became forbidden since it began, by other settings."""
    refused = in_one_line(tuple(str(problem) for problem in error.problems))
    message = f"nothing more is made until the spec is allowed: {refused}"
    return Step(_starting(case, status, None, message), refused=refused)


def _making(case: Case) -> tuple[Action, ...]:
    """What the attempt lacks, in the order in which it is made."""
    spec, pipeline, number = case.judged.spec, case.pipeline, case.attempt
    actions: list[Action] = []
    if FINALIZER not in pipeline.finalizers:
        actions.append(AddFinalizer("the job has to be stopped before the pipeline goes"))
    actions += delete_leftovers(case, present=False)
    if case.existing or spec is None or case.name_taken or not case.observed.kuberay:
        return tuple(actions)
    if case.cluster is not None and case.cluster.deleting:
        return tuple(actions)
    if case.leftovers(present=False) or case.heads_left(present=False):
        return tuple(actions)
    reason = f"attempt {number} needs it"
    if wanted.secret_key(pipeline, number) not in case.observed.children:
        actions.append(wanted.make_secret(pipeline, number, reason))
    has_manifest = wanted.config_map_key(pipeline, number) in case.observed.children
    if has_manifest and case.cluster is not None:
        return tuple(actions)
    made = wanted.children(pipeline, spec, number, case.settings)
    if not has_manifest and made.config_map is not None:
        actions.append(wanted.make_config_map(made.config_map, reason))
    if case.cluster is None and made.cluster is not None:
        actions.append(wanted.make_cluster(made.cluster, reason))
    return tuple(actions)


def delete_leftovers(case: Case, *, present: bool) -> list[Action]:
    """Delete the clusters of attempts that are over; `present`: the present attempt is over too."""
    return [
        DeleteRayCluster(one.name, one.uid, f"attempt {one.attempt} is over")
        for one in case.leftovers(present=present)
    ]


def _follow(case: Case) -> Step:
    """The job was submitted, or is to be now: watch over it."""
    job, spec = case.job, case.judged.spec
    actions: list[Action] = []
    if FINALIZER not in case.pipeline.finalizers:
        actions.append(AddFinalizer("the job has to be stopped before the pipeline goes"))
    actions += delete_leftovers(case, present=False)
    key = wanted.secret_key(case.pipeline, case.attempt)
    if not case.existing and case.cluster is not None and key not in case.observed.children:
        reason = "worker pods that come later read the token from it"
        actions.append(wanted.make_secret(case.pipeline, case.attempt, reason))
    actions += _live_edits(case)
    update: dict[str, object] = {"phase": "Starting", "ray_cluster": case.cluster_name}
    if job.state == "RUNNING" or case.status.phase == "Running":
        update["phase"] = "Running"
    elif job.state == "absent" and spec is not None and not _same_work(case):
        # Named but never taken: it may as well be the work that is wanted now.
        return begin(case, case.last_known_attempt + 1, EDITED)
    elif job.state in ("unknown", "absent") and spec is not None and _may_submit(case):
        try:
            body = wanted.job(case.pipeline, spec, case.attempt)
        except ManifestError as error:
            return _cannot_be_made(case, case.status, error)
        reason = "the head is ready and does not have the job yet"
        actions.append(wanted.submit(case.cluster_name, body, reason))
    if job.state in ALIVE and case.head_container:
        update["head_container_id"] = case.head_container
    if job.driver_address:
        update["driver_address"] = job.driver_address
    status = with_progress(case, start_clock(case.status, case.now).model_copy(update=update))
    waiting = why_not_ready(case)
    if update["phase"] == "Starting":
        message = "Ray starts the job" if job.state == "PENDING" else "the job is submitted"
        status = _starting(case, status, waiting, message)
    else:
        status = _running(case, status, waiting)
    return Step(status, tuple(actions), _deadline(case, waiting), poll=True)


def _may_submit(case: Case) -> bool:
    """Whether the head that runs now is ready and the one that the status names for the job."""
    took = case.status.head_container_id or ""
    return case.head_ready and _same_work(case) and case.head_container == took


def _same_work(case: Case) -> bool:
    return case.status.spec_hash in (None, case.judged.work)


def _live_edits(case: Case) -> list[Action]:
    """Changes of what may change while it runs: the ranges of replicas."""
    spec, cluster = case.judged.spec, case.cluster
    if spec is None or cluster is None or case.existing or cluster.deleting:
        return []
    if not _same_work(case):
        return []
    patch = replica_patch(cluster.spec, spec)
    if not patch:
        return []
    return [PatchRayCluster(cluster.name, tuple(patch), "the ranges of replicas were edited")]


def _pending(
    case: Case, status: PipelineStatus, waiting: Waiting | None = None, refused: str = ""
) -> PipelineStatus:
    message = refused or (waiting.message if waiting is not None else "nothing is made yet")
    reason = waiting.reason if waiting is not None else Reason.NOT_STARTED
    says = (
        Says("ClusterReady", "False", reason, message if waiting is not None else ""),
        Says("Progressing", "False", Reason.PENDING, message),
    )
    return say(case, status, message, *says)


def _starting(
    case: Case, status: PipelineStatus, waiting: Waiting | None, message: str = ""
) -> PipelineStatus:
    said = waiting.message if waiting is not None else message
    return say(
        case,
        status,
        said,
        _cluster_says(case, waiting),
        Says("Progressing", "True", Reason.STARTING, said),
    )


def _running(case: Case, status: PipelineStatus, waiting: Waiting | None) -> PipelineStatus:
    seen = case.snapshot
    said = seen.snapshot.message if seen is not None else ""
    if waiting is not None:
        said = waiting.message
    elif (no_workers := why_no_workers(case)) is not None:
        said = no_workers.message
    return say(
        case,
        status,
        said or f"attempt {case.attempt} runs",
        _cluster_says(case, waiting),
        Says("Progressing", "True", Reason.RUNNING, f"attempt {case.attempt} runs"),
    )


def _cluster_says(case: Case, waiting: Waiting | None) -> Says:
    waiting = waiting or why_no_workers(case)
    if waiting is not None:
        return Says("ClusterReady", "False", waiting.reason, waiting.message)
    if not case.head_ready:
        return Says("ClusterReady", "False", Reason.HEAD_STARTING, "the head is on its way")
    return Says(
        "ClusterReady", "True", Reason.HEAD_READY, stuck_workers(case) or "the head is ready"
    )


def _deadline(case: Case, waiting: Waiting | None) -> float | None:
    """Seconds until time alone changes something."""
    soon = [LOOK_FOR_KUBERAY_S] if waiting is not None and waiting.reason in UNTOLD else []
    left = left_s(case.status, case.judged.controls.deadline_s, case.now)
    return min([*soon, *([left] if left is not None else [])], default=None)
