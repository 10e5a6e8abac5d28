"""Why a pipeline waits: what is in the way, where, since when, and what to do about it.

`why_not_ready` is asked while the present attempt's cluster cannot take a job, `why_no_workers`
while no worker is there. Both read what Kubernetes says itself: the pods' conditions and
containers, and, where no pod could be made, the RayCluster's conditions and the API server's
refusals. `None` means that nothing is in the way.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from curator_operator.reconcile.case import Case
from curator_operator.reconcile.observed import ClusterSeen, ConditionSeen, PodSeen, Refusal
from curator_operator.reconcile.pod_trouble import placed_at, trouble_of
from curator_operator.reconcile.reasons import Reason
from curator_operator.reconcile.refusals import refusal_of
from curator_operator.reconcile.text import clean, plural
from curator_operator.reconcile.times import stamp

# KubeRay makes the head pod within a second or two; by then it is not running or has no rights.
KUBERAY_SILENT_S = 30.0
_CREATING = ("CreateRayCluster", "CreateSecret", "CreateConfigMap", "AddFinalizer")
_LONGEST = 500
_MADE_UP = re.compile(r'pods? "[^"]*"')


@dataclass(frozen=True)
class Waiting:
    """What is in the way.

    Attributes:
        message: what, where, since when, and what to do.
        warns: somebody has to act; else it will pass by itself.
    """

    reason: Reason
    message: str
    warns: bool = False


def why_not_ready(case: Case) -> Waiting | None:
    """Why the present attempt's head cannot take a job yet, or no longer."""
    cluster = case.cluster
    if not case.observed.kuberay:
        return Waiting(
            Reason.KUBERAY_MISSING,
            "the API server knows no RayClusters (no CustomResourceDefinition "
            "rayclusters.ray.io): install KubeRay 1.6 or newer",
            warns=True,
        )
    if case.existing:
        return _existing(case, cluster)
    if case.name_taken:
        return Waiting(
            Reason.NAME_TAKEN,
            f"RayCluster {case.cluster_name} exists and is not this pipeline's; it is left alone: "
            "delete it, or make the pipeline again",
            warns=True,
        )
    refused = refusal_of(case.observed.refusals, *_CREATING)
    if refused is not None and (cluster is None or refused.action != "CreateRayCluster"):
        return _refused(case, refused)
    if cluster is None:
        return _absent(case)
    return _own(case, cluster)


def why_no_workers(case: Case) -> Waiting | None:
    """What keeps the worker pods from coming; None while any is ready, or none is wanted."""
    workers = [
        pod
        for pod in case.observed.pods
        if pod.cluster == case.cluster_name and not pod.is_head and not pod.deleting
    ]
    if any(pod.ready for pod in workers):
        return None
    if not workers and case.cluster is not None:
        return _replica_failure(case.cluster)
    return next((_of_pod(pod) for pod in workers if trouble_of(pod) is not None), None)


def stuck_workers(case: Case) -> str:
    """One line on the workers that are stuck while others work; "" if there are none."""
    stuck = [
        (pod, trouble)
        for pod in case.observed.pods
        if pod.cluster == case.cluster_name
        and not (pod.is_head or pod.ready or pod.deleting)
        and (trouble := trouble_of(pod)) is not None
    ]
    if not stuck:
        return ""
    pod, trouble = stuck[0]
    return f"{plural(len(stuck), 'worker')} cannot start, of group {pod.group}: {trouble.message}"


def _existing(case: Case, cluster: ClusterSeen | None) -> Waiting | None:
    name = case.existing
    if cluster is None:
        return Waiting(
            Reason.EXISTING_ABSENT,
            f"spec.cluster.existing.name: there is no RayCluster {name} in namespace "
            f"{case.pipeline.namespace}: make it, or name another one",
            warns=True,
        )
    if case.head_ready:
        return _silent(case)
    if cluster.deleting or cluster.suspended:
        state = "is being deleted" if cluster.deleting else "is suspended"
        return Waiting(Reason.EXISTING_NOT_READY, f"RayCluster {name} {state}", warns=True)
    if case.head is not None and trouble_of(case.head) is not None:
        return _of_pod(case.head)
    return Waiting(Reason.EXISTING_NOT_READY, f"the head of RayCluster {name} is not ready")


def _absent(case: Case) -> Waiting:
    if case.submitted:
        return Waiting(
            Reason.HEAD_GONE, f"RayCluster {case.cluster_name} is gone; nobody here deleted it"
        )
    left = case.heads_left(present=False)
    if left:
        return Waiting(
            Reason.PREVIOUS_HEAD_PRESENT,
            f"head pod {left[0].name} of an earlier attempt has to go first, so that no two "
            "attempts write at once",
        )
    return Waiting(Reason.CLUSTER_STARTING, f"RayCluster {case.cluster_name} is being made")


def _own(case: Case, cluster: ClusterSeen) -> Waiting | None:
    if cluster.deleting:
        return Waiting(
            Reason.CLUSTER_DELETING, f"RayCluster {cluster.name} is being deleted by somebody"
        )
    if cluster.suspended:
        return Waiting(
            Reason.QUEUED,
            f"RayCluster {cluster.name} is suspended: Kueue has not admitted it yet; "
            f"kubectl describe workload -n {case.pipeline.namespace} says what it waits for",
        )
    if case.head_ready:
        return _silent(case)
    head = case.head
    if head is not None and trouble_of(head) is not None:
        return _of_pod(head)
    if head is not None and not case.submitted:
        # A head takes ten seconds to start, or longer; what is wrong with its workers is told now.
        return why_no_workers(case) or _of_pod(head)
    if case.submitted:
        name = f"head pod {head.name}" if head is not None else "the head pod"
        state = "is not ready" if case.head_lives else "is gone"
        return Waiting(
            Reason.HEAD_GONE, f"{name} of RayCluster {cluster.name} {state}; the job ran there"
        )
    return _replica_failure(cluster) or _kuberay_silent(case, cluster)


def _silent(case: Case) -> Waiting | None:
    refused = refusal_of(case.observed.refusals, "SubmitJob")
    said = refused.message if refused is not None and refused.code in (401, 403) else ""
    if said or case.unauthorized:
        todo = (
            "see that spec.cluster.existing.authSecretRef names the cluster's token"
            if case.existing
            else "see that the operator's key is the one it had when the cluster was made"
        )
        return Waiting(
            Reason.HEAD_UNAUTHORIZED,
            f"the Ray head of {case.cluster_name} refuses the operator's token: "
            f"{clean(said or case.job.message, _LONGEST)}; {todo}",
            warns=True,
        )
    since = case.job.unreachable_since
    if case.job.state != "unreachable" or since is None:
        return None
    detail = f" ({clean(case.job.message, 200)})" if case.job.message else ""
    return Waiting(
        Reason.HEAD_UNREACHABLE,
        f"the Ray head of {case.cluster_name} has not answered the operator since "
        f"{stamp(since)}{detail}: see its pod, and whether a NetworkPolicy is in the way",
        warns=True,
    )


def _replica_failure(cluster: ClusterSeen) -> Waiting | None:
    failure = _condition(cluster, "ReplicaFailure")
    if failure is None or failure.status != "True":
        return None
    # A pod that cannot be made has another made-up name each time.
    said = _MADE_UP.sub("pod", clean(failure.message or failure.reason, _LONGEST))
    since = f" since {stamp(failure.since)}" if failure.since is not None else ""
    if "exceeded quota" in failure.message:
        return Waiting(
            Reason.QUOTA_EXCEEDED,
            f"no pods for RayCluster {cluster.name}{since}: {said}; raise the ResourceQuota, "
            "free some of it, or ask for less",
            warns=True,
        )
    return Waiting(
        Reason.PODS_REFUSED, f"no pods for RayCluster {cluster.name}{since}: {said}", warns=True
    )


def _kuberay_silent(case: Case, cluster: ClusterSeen) -> Waiting:
    untouched = not cluster.conditions and not cluster.state
    if untouched and case.now - cluster.created_at >= KUBERAY_SILENT_S and cluster.created_at > 0:
        return Waiting(
            Reason.KUBERAY_SILENT,
            f"KubeRay has done nothing about RayCluster {cluster.name} since it was made at "
            f"{stamp(cluster.created_at)}: see whether its operator runs and watches namespace "
            f"{case.pipeline.namespace}",
            warns=True,
        )
    if cluster.state == "failed" and cluster.reason:
        return Waiting(
            Reason.PODS_REFUSED,
            f"KubeRay about RayCluster {cluster.name}: {clean(cluster.reason, _LONGEST)}",
            warns=True,
        )
    return Waiting(Reason.CLUSTER_STARTING, f"RayCluster {cluster.name} has no head pod yet")


def _of_pod(pod: PodSeen) -> Waiting:
    where = f"head pod {pod.name}" if pod.is_head else f"worker pod {pod.name} ({pod.group})"
    trouble = trouble_of(pod)
    if trouble is None:
        return Waiting(Reason.HEAD_STARTING, f"{where} {_doing(pod)}")
    since = f" since {stamp(trouble.since)}" if trouble.since is not None else ""
    todo = f"; {trouble.todo}" if trouble.todo else ""
    return Waiting(trouble.reason, f"{where}{since}: {trouble.message}{todo}", warns=True)


def _doing(pod: PodSeen) -> str:
    placed = placed_at(pod)
    if pod.phase == "Running":
        return "runs and is not ready yet"
    if placed is None:
        return "waits for a node"
    if any(one.waiting == "ContainerCreating" for one in pod.containers):
        # A missing ConfigMap or Secret that is mounted looks the same: only events tell.
        return (
            f"has had a node since {stamp(placed)}; its image is being pulled or its volumes are "
            f"being mounted: kubectl describe pod {pod.name} shows which"
        )
    return f"has had a node since {stamp(placed)}"


def _refused(case: Case, refusal: Refusal) -> Waiting:
    said = clean(refusal.message or refusal.reason, _LONGEST)
    what = {
        "CreateRayCluster": f"RayCluster {case.cluster_name}",
        "CreateSecret": "the Secret with its token",
        "CreateConfigMap": "the ConfigMap with its manifest",
    }.get(refusal.action, "the pipeline's finalizer")
    if refusal.code == 409:
        return Waiting(
            Reason.NAME_TAKEN, f"{what} exists and is not this pipeline's: {said}", warns=True
        )
    if refusal.code == 403 and "exceeded quota" in refusal.message:
        todo = "raise the ResourceQuota or free some of it"
        return Waiting(Reason.QUOTA_EXCEEDED, f"{what} was refused: {said}; {todo}", warns=True)
    if refusal.code in (401, 403):
        todo = "the operator's role in this namespace lacks it, or an admission policy forbids it"
        return Waiting(Reason.FORBIDDEN, f"{what} was refused: {said}; {todo}", warns=True)
    if refusal.code == 404 and refusal.action == "CreateRayCluster":
        todo = "install KubeRay, or see whether the namespace is being deleted"
        return Waiting(Reason.KUBERAY_MISSING, f"{what} was refused: {said}; {todo}", warns=True)
    if 400 <= refusal.code < 500 and refusal.code != 429:
        return Waiting(Reason.OBJECT_REFUSED, f"{what} was refused: {said}", warns=True)
    return Waiting(
        Reason.API_UNAVAILABLE, f"{what} could not be made, it is tried again: {said}", warns=True
    )


def _condition(cluster: ClusterSeen, kind: str) -> ConditionSeen | None:
    return next((one for one in cluster.conditions if one.type == kind), None)
