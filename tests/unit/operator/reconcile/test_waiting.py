"""Waiting is explained: what is in the way, where, since when, and what to do."""

from __future__ import annotations

from typing import Any

import pytest

from curator_operator.reconcile.observed import ConditionSeen, ContainerSeen, PodSeen, Refusal
from curator_operator.reconcile.times import stamp
from tests.unit.operator.reconcile.seen import (
    CLUSTER,
    HEAD,
    NOW,
    bare,
    cluster,
    conditions,
    done,
    head,
    job,
    look,
    on_existing,
    pipeline,
    running,
    said,
    starting,
    stuck_head,
    submitted,
    told,
    unreachable,
    worker,
)

NO_NODE = ConditionSeen(
    "PodScheduled",
    "False",
    "Unschedulable",
    "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
    NOW - 40,
)
NO_CLAIM = ConditionSeen(
    "PodScheduled", "False", "Unschedulable", 'persistentvolumeclaim "data" not found', NOW - 40
)
GATED = ConditionSeen("PodScheduled", "False", "SchedulingGated", "gated", NOW - 40)
QUOTA = (
    'pods "clean-web-4f1c9-1-head-x7k2p" is forbidden: exceeded quota: team, requested: cpu=4, '
    "used: cpu=8, limited: cpu=10"
)


def unplaced(condition: ConditionSeen) -> PodSeen:
    return head(phase="Pending", ready=False, conditions=(condition,), containers=())


HEADS: dict[str, tuple[PodSeen, str, tuple[str, ...]]] = {
    "no node": (unplaced(NO_NODE), "Unschedulable", ("Insufficient nvidia.com/gpu", "add nodes")),
    "gated": (unplaced(GATED), "Unschedulable", ("scheduling gate",)),
    "no volume claim": (unplaced(NO_CLAIM), "ConfigMissing", ('"data" not found',)),
    "image": (
        stuck_head("ImagePullBackOff", waiting_message='Back-off pulling image "a/b:1"'),
        "ImagePullFailed",
        ("a/b:1", "spec.image", "imagePullSecrets"),
    ),
    "image name": (stuck_head("InvalidImageName"), "ImagePullFailed", ("InvalidImageName",)),
    "no secret": (
        stuck_head("CreateContainerConfigError", waiting_message='secret "keys" not found'),
        "ConfigMissing",
        ('secret "keys" not found', "make the Secret"),
    ),
    "cannot start": (
        stuck_head("RunContainerError", waiting_message="exec: no such file"),
        "ContainerFailed",
        ("exec: no such file",),
    ),
    "crashes": (
        stuck_head("CrashLoopBackOff", restarts=4, terminated="Error", exit_code=1),
        "HeadCrashing",
        ("ended 4 times", "exit code 1", "kubectl logs", "--previous"),
    ),
    "out of memory": (
        stuck_head("CrashLoopBackOff", restarts=2, terminated="OOMKilled", exit_code=137),
        "OutOfMemory",
        ("OOMKilled", "spec.cluster.head.resources.memory"),
    ),
    "evicted": (
        head(phase="Failed", ready=False, reason="Evicted", message="node low on memory"),
        "Evicted",
        ("node low on memory",),
    ),
    "volumes or image": (
        stuck_head("ContainerCreating"),
        "HeadStarting",
        ("kubectl describe pod", stamp(NOW - 44)),
    ),
}


@pytest.mark.parametrize("case", HEADS)
def test_a_head_that_does_not_start_is_explained(case: str) -> None:
    pod, reason, words = HEADS[case]
    made = look(pipeline(starting()), pods=(pod,))
    assert conditions(made)["ClusterReady"] == ("False", reason)
    message = said(made, "ClusterReady")
    assert pod.name in message
    assert made.status.message == message
    for word in words:
        assert word in message
    assert done(made) == []


@pytest.mark.parametrize("pod", [HEADS["no node"][0], HEADS["image"][0]])
def test_waiting_says_since_when(pod: PodSeen) -> None:
    message = said(look(pipeline(starting()), pods=(pod,)), "ClusterReady")
    assert "since 20" in message


def failing(message: str) -> dict[str, Any]:
    failure = ConditionSeen("ReplicaFailure", "True", "FailedCreateHeadPod", message, NOW - 20)
    return {"clusters": (cluster(conditions=(failure,)),), "pods": ()}


def test_quota_is_read_from_the_raycluster_where_no_pod_could_be_made() -> None:
    made = look(pipeline(starting()), **failing(QUOTA))
    assert conditions(made)["ClusterReady"] == ("False", "QuotaExceeded")
    message = said(made, "ClusterReady")
    assert "limited: cpu=10" in message
    assert stamp(NOW - 20) in message
    assert told(made) == ["QuotaExceeded"]


def test_the_same_quota_with_another_made_up_pod_name_writes_nothing_new() -> None:
    first = look(pipeline(starting()), **failing(QUOTA))
    again = look(pipeline(first.status), **failing(QUOTA.replace("x7k2p", "qq9z1")))
    assert again.status == first.status


def test_pods_that_admission_refuses_are_explained() -> None:
    made = look(pipeline(starting()), **failing('pods "x" is forbidden: violates PodSecurity'))
    assert conditions(made)["ClusterReady"] == ("False", "PodsRefused")
    assert "violates PodSecurity" in said(made, "ClusterReady")


REFUSALS = [
    (Refusal("CreateRayCluster", 403, "Forbidden", QUOTA, NOW), "QuotaExceeded"),
    (Refusal("CreateConfigMap", 403, "Forbidden", "cannot create", NOW), "Forbidden"),
    (Refusal("CreateRayCluster", 404, "NotFound", "no such resource", NOW), "KubeRayMissing"),
    (Refusal("CreateRayCluster", 409, "AlreadyExists", "not ours", NOW), "NameTaken"),
    (Refusal("CreateRayCluster", 422, "Invalid", "spec.x: bad", NOW), "ObjectRefused"),
    (Refusal("CreateSecret", 500, "InternalError", "etcd", NOW), "ApiUnavailable"),
    (Refusal("CreateSecret", 429, "TooManyRequests", "slow down", NOW), "ApiUnavailable"),
    (Refusal("AddFinalizer", 403, "Forbidden", "cannot patch", NOW), "Forbidden"),
]


@pytest.mark.parametrize(("refusal", "reason"), REFUSALS)
def test_a_refusal_of_the_api_server_is_explained(refusal: Refusal, reason: str) -> None:
    made = bare(pipeline(starting(), finalizers=()), refusals=(refusal,))
    assert conditions(made)["ClusterReady"] == ("False", reason)
    assert refusal.message.split('"')[-1] in said(made, "ClusterReady")


def test_a_refused_action_waits_its_turn_and_what_builds_on_it_waits_too() -> None:
    refusal = Refusal("CreateSecret", 403, "Forbidden", "no", NOW - 1, count=2)
    made = bare(pipeline(starting(), finalizers=()), refusals=(refusal,))
    assert done(made) == ["AddFinalizer"]
    assert made.look_again_s == 9


def test_a_refused_action_is_tried_again_after_at_most_a_minute() -> None:
    refusal = Refusal("CreateSecret", 403, "Forbidden", "no", NOW - 61, count=50)
    made = bare(pipeline(starting()), refusals=(refusal,))
    assert done(made) == ["CreateSecret", "CreateConfigMap", "CreateRayCluster"]


def test_a_clock_set_back_holds_a_refused_action_no_longer_than_its_wait() -> None:
    refusal = Refusal("CreateSecret", 403, "Forbidden", "no", NOW + 5000)
    assert bare(pipeline(starting()), refusals=(refusal,)).look_again_s == 5


def test_a_queue_of_kueue_is_a_phase_of_its_own_and_stops_the_clock() -> None:
    made = look(pipeline(starting()), clusters=(cluster(suspended=True),), pods=())
    assert made.status.phase == "Queued"
    assert conditions(made)["ClusterReady"] == ("False", "Queued")
    assert conditions(made)["Progressing"] == ("False", "Queued")
    assert (made.status.active_since, made.status.active_seconds) == (None, 60)
    admitted = look(pipeline(made.status), pods=())
    assert (admitted.status.phase, admitted.status.active_since) == ("Starting", stamp(NOW))


def test_without_kuberay_nothing_is_begun_and_it_is_said() -> None:
    made = bare(kuberay=False)
    assert (made.status.phase, done(made)) == ("Pending", [])
    assert conditions(made)["ClusterReady"] == ("False", "KubeRayMissing")
    assert made.look_again_s == 15
    assert bare(pipeline(made.status)).status.phase == "Starting"


def test_kuberay_that_goes_before_the_cluster_is_made_is_waited_for() -> None:
    made = bare(pipeline(starting()), kuberay=False)
    assert (made.status.phase, done(made)) == ("Starting", [])
    assert conditions(made)["ClusterReady"] == ("False", "KubeRayMissing")


def test_kuberay_that_does_nothing_for_half_a_minute_is_named() -> None:
    def seen(age_s: float) -> str:
        untouched = cluster(conditions=(), created_at=NOW - age_s)
        made = look(pipeline(starting()), clusters=(untouched,), pods=())
        return conditions(made)["ClusterReady"][1]

    assert [seen(10), seen(31)] == ["ClusterStarting", "KubeRaySilent"]


def test_what_kuberay_says_of_a_failed_cluster_is_passed_on() -> None:
    bad = cluster(conditions=(), state="failed", reason="rayStartParams: bad")
    made = look(pipeline(starting()), clusters=(bad,), pods=())
    assert "rayStartParams: bad" in said(made, "ClusterReady")


def test_no_worker_at_all_is_said_while_the_job_is_submitted_all_the_same() -> None:
    stuck = worker(phase="Pending", ready=False, conditions=(NO_NODE,))
    made = look(pipeline(submitted()), job=job(), pods=(head(), stuck))
    assert made.status.phase == "Running"
    assert conditions(made)["ClusterReady"] == ("False", "Unschedulable")
    assert "worker pod w1 (cpu)" in said(made, "ClusterReady")


def test_a_worker_that_finds_no_node_is_said_while_the_head_still_starts() -> None:
    """On a real cluster a head takes ten seconds or more, in which nothing was said of it.

    1. KubeRay makes head and worker pods at once.
    2. The scheduler finds a node for the head and none for the worker.
    3. The head runs and is not ready yet.
    """
    stuck = worker(phase="Pending", ready=False, conditions=(NO_NODE,))
    made = look(pipeline(starting()), pods=(head(ready=False), stuck))
    assert conditions(made)["ClusterReady"] == ("False", "Unschedulable")
    assert "Insufficient nvidia.com/gpu" in said(made, "ClusterReady")


def test_a_head_that_cannot_start_is_said_before_its_workers() -> None:
    stuck = worker(phase="Pending", ready=False, conditions=(NO_NODE,))
    made = look(pipeline(starting()), pods=(stuck_head("ImagePullBackOff"), stuck))
    assert conditions(made)["ClusterReady"] == ("False", "ImagePullFailed")


def test_some_workers_missing_leave_the_cluster_ready_with_a_word_about_it() -> None:
    stuck = worker("w2", phase="Pending", ready=False, conditions=(NO_NODE,))
    made = look(pipeline(running()), job=job(), pods=(head(), worker(), stuck))
    assert conditions(made)["ClusterReady"] == ("True", "HeadReady")
    assert "1 worker cannot start, of group cpu" in said(made, "ClusterReady")


def test_a_worker_that_is_killed_for_memory_names_its_group() -> None:
    dead = worker(ready=False, containers=(ContainerSeen("ray-worker", terminated="OOMKilled"),))
    made = look(pipeline(running()), job=job(), pods=(head(), dead))
    assert "worker group cpu" in said(made, "ClusterReady")


def test_somebody_elses_cluster_of_that_name_is_never_touched() -> None:
    theirs = cluster(owner_uid="somebody")
    made = bare(pipeline(starting()), clusters=(theirs,))
    assert conditions(made)["ClusterReady"] == ("False", "NameTaken")
    assert done(made) == []
    second = starting(attempt=2, ray_cluster=CLUSTER[:-1] + "2")
    assert "DeleteRayCluster" not in done(bare(pipeline(second), clusters=(theirs,)))


def test_the_cluster_of_an_earlier_attempt_goes_before_the_next_is_made() -> None:
    second = starting(attempt=2, ray_cluster=CLUSTER[:-1] + "2")
    made = look(pipeline(second))
    assert done(made) == ["DeleteRayCluster"]
    gone = look(pipeline(second), clusters=(), pods=(head(deleting=True),))
    assert done(gone) == []
    assert conditions(gone)["ClusterReady"] == ("False", "PreviousHeadPresent")
    made = look(pipeline(second), clusters=(), pods=())
    assert done(made) == ["CreateSecret", "CreateConfigMap", "CreateRayCluster"]


def test_a_cluster_that_somebody_deletes_before_the_job_ran_is_made_again() -> None:
    going = look(pipeline(starting()), clusters=(cluster(deleting=True),))
    assert (conditions(going)["ClusterReady"], done(going)) == (("False", "ClusterDeleting"), [])
    gone = look(pipeline(starting()), clusters=(), pods=())
    assert done(gone) == ["CreateRayCluster"]


def test_a_head_that_does_not_answer_is_said_with_since() -> None:
    made = look(pipeline(running()), job=unreachable(20))
    assert conditions(made)["ClusterReady"] == ("False", "HeadUnreachable")
    assert stamp(NOW - 20) in said(made, "ClusterReady")
    assert made.status.phase == "Running"


def test_a_head_that_refuses_the_token_is_said() -> None:
    refusal = Refusal("SubmitJob", 401, "Unauthorized", "bad token", NOW)
    made = look(pipeline(submitted()), refusals=(refusal,))
    assert conditions(made)["ClusterReady"] == ("False", "HeadUnauthorized")


def test_a_head_that_refuses_the_token_is_never_taken_for_lost() -> None:
    seen = unreachable(5000, message="Unauthorized: 401")
    made = look(pipeline(running()), job=seen)
    assert (made.status.phase, made.status.attempt) == ("Running", 1)
    assert conditions(made)["ClusterReady"] == ("False", "HeadUnauthorized")
    gone = look(pipeline(running()), job=seen, pods=(worker(),))
    assert gone.status.attempt == 2


def test_a_head_that_went_is_said_at_once_and_lost_only_later() -> None:
    made = look(pipeline(running()), job=unreachable(3), pods=(worker(),))
    assert conditions(made)["ClusterReady"] == ("False", "HeadGone")
    assert (made.status.phase, made.status.attempt) == ("Running", 1)


EXISTING = cluster("shared", owner_uid="", attempt=0)


@pytest.mark.parametrize(
    ("existing", "reason"),
    [
        (None, "ExistingAbsent"),
        (cluster("shared", attempt=0, conditions=()), "ExistingNotReady"),
        (cluster("shared", attempt=0, suspended=True), "ExistingNotReady"),
        (cluster("shared", attempt=0, deleting=True), "ExistingNotReady"),
    ],
)
def test_an_existing_cluster_that_is_not_ready_is_waited_for(existing: Any, reason: str) -> None:
    made = bare(pipeline(work=on_existing()), existing=existing)
    assert (made.status.phase, done(made)) == ("Pending", [])
    assert conditions(made)["ClusterReady"] == ("False", reason)
    assert "shared" in said(made, "ClusterReady")


def test_an_existing_cluster_is_submitted_to_and_never_made_changed_or_deleted() -> None:
    work = on_existing()
    begun = bare(pipeline(starting(work), work), existing=EXISTING)
    assert begun.status.submission_id
    made = bare(
        pipeline(begun.status, work), existing=EXISTING, job=job("absent", head_container_id="")
    )
    assert done(made) == ["SubmitJob"]
    ran = bare(
        pipeline(begun.status, work), existing=EXISTING, job=job("SUCCEEDED", head_container_id="")
    )
    assert ran.status.phase == "Succeeded"
    assert done(bare(pipeline(ran.status, work), existing=EXISTING)) == ["RemoveFinalizer"]


def test_the_drivers_address_on_an_existing_cluster_is_kept_in_the_status() -> None:
    work = on_existing()
    seen = job(head_container_id="", driver_address="10.0.0.7:21001")
    made = bare(
        pipeline(submitted(work, head_container_id=None), work), existing=EXISTING, job=seen
    )
    assert made.status.driver_address == "10.0.0.7:21001"


def test_a_container_of_another_name_still_tells_the_head_by_its_id() -> None:
    other = head(containers=(ContainerSeen("ray", id=HEAD, ready=True),))
    assert look(pipeline(starting()), pods=(other,)).status.head_container_id == HEAD


def test_what_no_watch_tells_is_looked_for_and_what_one_tells_is_not() -> None:
    waits = [
        look(pipeline(starting()), pods=()),
        look(pipeline(running()), job=unreachable(3)),
        look(pipeline(starting()), pods=(HEADS["no node"][0],)),
        look(pipeline(starting()), pods=(HEADS["image"][0],)),
    ]
    assert [one.look_again_s for one in waits] == [15, 15, None, None]
