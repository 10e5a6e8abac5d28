"""Edits that apply while a pipeline runs."""

from __future__ import annotations

from curator_operator.reconcile.actions import PatchRayCluster
from tests.unit.operator.reconcile.seen import (
    CLUSTER,
    actions,
    cluster,
    done,
    job,
    look,
    on_existing,
    pipeline,
    running,
    spec,
    submitted,
)

GROUP = spec()["cluster"]["workerGroups"][0]
MADE = cluster(
    spec={
        "enableInTreeAutoscaling": True,
        "workerGroupSpecs": [
            {"groupName": "cpu", "minReplicas": 1, "maxReplicas": 1, "replicas": 1}
        ],
    }
)
WIDER = spec(cluster={"workerGroups": [{**GROUP, "maxReplicas": 5}]})


def test_another_range_of_replicas_is_patched_into_the_cluster() -> None:
    made = look(pipeline(running(), WIDER), job=job(), clusters=(MADE,))
    (action,) = actions(made)
    assert isinstance(action, PatchRayCluster)
    assert action.name == CLUSTER
    assert [one for one in action.patch if one["op"] != "test"] == [
        {"op": "add", "path": "/spec/workerGroupSpecs/0/maxReplicas", "value": 5}
    ]
    assert made.status.phase == "Running"


def test_the_same_range_patches_nothing() -> None:
    assert done(look(pipeline(running()), job=job(), clusters=(MADE,))) == []


def test_replicas_apply_before_the_job_runs_too() -> None:
    made = look(pipeline(submitted(), WIDER), job=job("PENDING"), clusters=(MADE,))
    assert done(made) == ["PatchRayCluster"]


def test_an_existing_cluster_is_never_patched() -> None:
    work = on_existing()
    shared = cluster("shared", owner_uid="", spec=MADE.spec)
    made = look(pipeline(running(work), work), existing=shared, job=job(), clusters=())
    assert "PatchRayCluster" not in done(made)
