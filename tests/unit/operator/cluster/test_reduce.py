"""Objects reduced to what is decided by."""

from __future__ import annotations

import pytest

from curator_api.v1alpha1.status import PipelineStatus
from curator_operator.cluster.reduce import (
    cluster_seen,
    head_container_id,
    pipeline_seen,
    pod_seen,
    seconds,
)
from curator_operator.desired.labels import FINALIZER
from curator_operator.reconcile.observed import (
    ClusterSeen,
    ConditionSeen,
    ContainerSeen,
    PipelineSeen,
    PodSeen,
)
from tests.unit.operator.cluster.fakes import CLUSTER, RUNNING, UID, head_pod, pipeline, ray_cluster


def test_a_pipeline() -> None:
    obj = pipeline(
        status=RUNNING,
        deletionTimestamp="2027-01-15T09:00:00Z",
        labels={"team": "a"},
        annotations={"kubectl.kubernetes.io/last-applied-configuration": "{}", "note": "x"},
    )
    assert pipeline_seen(obj) == PipelineSeen(
        namespace="team-a",
        name="clean",
        uid=UID,
        generation=1,
        resource_version="10",
        created_at=1_800_000_000.0,
        spec=obj["spec"],
        status=PipelineStatus.model_validate(RUNNING),
        labels={"team": "a"},
        annotations={"note": "x"},
        finalizers=(FINALIZER,),
        deleting=True,
    )


def test_a_pipeline_that_was_just_made_has_an_empty_status() -> None:
    assert pipeline_seen(pipeline()).status == PipelineStatus()


def test_a_ray_cluster() -> None:
    obj = ray_cluster(deletionTimestamp="2027-01-15T09:00:00Z")
    obj["spec"]["suspend"] = True
    obj["status"] = {
        "state": "failed",
        "reason": "quota",
        "conditions": [
            {
                "type": "ReplicaFailure",
                "status": "True",
                "reason": "FailedCreate",
                "message": "exceeded quota",
                "lastTransitionTime": "2027-01-15T08:00:00Z",
            }
        ],
    }
    assert cluster_seen(obj) == ClusterSeen(
        name=CLUSTER,
        uid="cluster-uid",
        resource_version="20",
        owner_uid=UID,
        attempt=1,
        spec={"suspend": True},
        suspended=True,
        deleting=True,
        state="failed",
        reason="quota",
        conditions=(
            ConditionSeen("ReplicaFailure", "True", "FailedCreate", "exceeded quota", 1.8e9),
        ),
    )


def test_only_the_controller_owns_a_cluster() -> None:
    obj = ray_cluster(ownerReferences=[{"uid": "other", "controller": False}])
    assert cluster_seen(obj).owner_uid == ""


@pytest.mark.parametrize("label", ["", "x", "-1"])
def test_an_odd_attempt_label_is_no_attempt(label: str) -> None:
    assert cluster_seen(ray_cluster(labels={"curator.dev/attempt": label})).attempt == 0


def test_a_head_pod() -> None:
    assert pod_seen(head_pod()) == PodSeen(
        name=f"{CLUSTER}-head",
        uid="pod-uid",
        cluster=CLUSTER,
        is_head=True,
        group="headgroup",
        phase="Running",
        ready=True,
        conditions=(ConditionSeen("Ready", "True"),),
        containers=(
            ContainerSeen("autoscaler", "containerd://auto"),
            ContainerSeen("ray-head", "containerd://one"),
        ),
    )


def test_a_container_that_waits_and_ended_before() -> None:
    obj = head_pod()
    obj["status"]["containerStatuses"] = [
        {
            "name": "ray-head",
            "containerID": "containerd://dead",
            "restartCount": 3,
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
            "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}},
        }
    ]
    assert pod_seen(obj).containers == (
        ContainerSeen(
            "ray-head",
            id="",
            restarts=3,
            waiting="CrashLoopBackOff",
            waiting_message="back-off 40s",
            terminated="OOMKilled",
            exit_code=137,
        ),
    )


def test_the_heads_container_is_not_the_autoscalers() -> None:
    assert head_container_id([pod_seen(head_pod())], CLUSTER) == "containerd://one"
    assert head_container_id([pod_seen(head_pod())], "another") == ""


def test_while_ray_does_not_run_the_container_beside_it_is_not_taken_for_it() -> None:
    obj = head_pod()
    beside, ray = obj["status"]["containerStatuses"]
    beside["name"] = "driver-log"
    ray["state"] = {"waiting": {"reason": "CrashLoopBackOff"}}
    assert head_container_id([pod_seen(obj)], CLUSTER) == ""


def test_an_existing_clusters_head_container_may_have_any_name() -> None:
    obj = head_pod()
    obj["status"]["containerStatuses"][1]["name"] = "ray"
    assert head_container_id([pod_seen(obj)], CLUSTER) == "containerd://one"


@pytest.mark.parametrize("text", [None, "", "yesterday", 5])
def test_what_is_no_time_is_none(text: object) -> None:
    assert seconds(text) == 0.0
