"""Lost infrastructure: what counts as lost, what is waited for, and what may be tried again."""

from __future__ import annotations

from typing import Any

import pytest

from curator_operator.reconcile.observed import ConditionSeen, ContainerSeen
from tests.unit.operator.reconcile.seen import (
    CLUSTER,
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
    snapshot,
    spec,
    starting,
    told,
    unreachable,
    worker,
)

GONE: dict[str, tuple[dict[str, Any], str]] = {
    "head pod gone": ({"job": unreachable(16), "pods": (worker(),)}, "head pod"),
    "head pod going": ({"job": unreachable(16), "pods": (head(deleting=True),)}, "head pod"),
    "head pod evicted": (
        {
            "job": unreachable(16),
            "pods": (head(phase="Failed", ready=False, reason="Evicted", message="disk"),),
        },
        "Evicted: disk",
    ),
    "cluster deleted by hand": ({"job": unreachable(16), "clusters": (), "pods": ()}, "deleted"),
    "head silent": ({"job": unreachable(121)}, "did not answer for 120 s"),
    "another container": (
        {
            "job": job("absent", head_container_id="containerd://head-2"),
            "pods": (head("containerd://head-2"),),
        },
        "restarted",
    ),
    "job forgotten": ({"job": job("absent")}, "knows the job no more"),
    "driver killed": ({"job": job("FAILED", exit_code=137)}, "exit code 137"),
    "driver killed by a signal": ({"job": job("FAILED", exit_code=-9)}, "exit code -9"),
    "driver without a code": (
        {"job": job("FAILED", message="Job supervisor actor died")},
        "supervisor actor died",
    ),
    "driver ended with its pod": (
        {"job": job("FAILED", exit_code=130), "pods": (head(deleting=True),)},
        "with its head pod",
    ),
    "job stopped with its cluster": (
        {"job": job("STOPPED"), "clusters": (cluster(deleting=True),)},
        "with RayCluster",
    ),
}


@pytest.mark.parametrize("case", GONE)
def test_lost_infrastructure_begins_the_next_attempt(case: str) -> None:
    fields, words = GONE[case]
    made = look(pipeline(running()), **fields)
    status = made.status
    assert (status.phase, status.attempt, status.retries_used) == ("Starting", 2, 1)
    assert status.ray_cluster == CLUSTER[:-1] + "2"
    assert (status.submission_id, status.head_container_id) == (None, None)
    assert words in (status.message or "")
    assert told(made) == ["AttemptLost"]
    assert done(made) == []


ONCE_READY = (
    ConditionSeen("RayClusterProvisioned", "True"),
    ConditionSeen("HeadPodReady", "False", "HeadPodNotFound"),
)


def test_a_head_that_goes_before_its_job_was_submitted_loses_the_attempt() -> None:
    """KubeRay makes no second head once the cluster was ready: nobody would ever submit."""
    made = look(pipeline(starting()), clusters=(cluster(conditions=ONCE_READY),), pods=())
    assert (made.status.attempt, made.status.retries_used) == (2, 1)
    assert "went before its job was submitted" in (made.status.message or "")


@pytest.mark.parametrize(
    "fields",
    [
        {"clusters": (cluster(conditions=ONCE_READY[1:]),), "pods": ()},
        {"clusters": (cluster(conditions=ONCE_READY),), "pods": (head(ready=False),)},
        {"clusters": (cluster(conditions=ONCE_READY, suspended=True),), "pods": ()},
        {"clusters": (cluster(conditions=ONCE_READY, deleting=True),), "pods": ()},
    ],
    ids=["never ready yet", "a head comes", "suspended by Kueue", "cluster going"],
)
def test_a_head_that_may_still_come_is_waited_for(fields: dict[str, Any]) -> None:
    assert look(pipeline(starting()), **fields).status.attempt == 1


def test_a_failing_stage_begins_the_next_attempt_where_retry_on_asks_for_it() -> None:
    work = spec(retryOn=["StageFailed"], backoffLimit=1)
    last = snapshot(state="Failed", message="stage embed failed: disk")
    failed = job("FAILED", exit_code=1)
    made = look(pipeline(running(work), work), job=failed, snapshot=last)
    assert (made.status.phase, made.status.attempt, made.status.retries_used) == ("Starting", 2, 1)
    assert "stage embed failed: disk" in (made.status.message or "")

    again = look(pipeline(running(work, retries_used=1), work), job=failed, snapshot=last)
    assert conditions(again)["Failed"] == ("True", "StageFailed")


def test_a_refused_manifest_is_not_tried_again_whatever_retry_on_says() -> None:
    work = spec(retryOn=["StageFailed"])
    made = look(pipeline(running(work), work), job=job("FAILED", exit_code=2))
    assert conditions(made)["Failed"] == ("True", "ManifestRefused")


NOT_GONE: dict[str, dict[str, Any]] = {
    "head pod gone for a moment": {"job": unreachable(5), "pods": (worker(),)},
    "head pod out of sight and answering": {"job": job(), "pods": (worker(),)},
    "cluster out of sight and answering": {"job": job(), "clusters": ()},
    "head silent for a while": {"job": unreachable(100)},
    "not asked yet": {},
    "head not ready": {"job": job(), "pods": (head(ready=False),)},
}


@pytest.mark.parametrize("case", NOT_GONE)
def test_what_may_be_a_late_watch_or_a_hiccup_loses_nothing(case: str) -> None:
    made = look(pipeline(running()), **NOT_GONE[case])
    assert (made.status.phase, made.status.attempt) == ("Running", 1)
    assert done(made) == []


def test_lost_attempts_beyond_the_backoff_limit_fail_the_pipeline() -> None:
    made = look(pipeline(running(retries_used=2)), job=job("FAILED", exit_code=137))
    assert conditions(made)["Failed"] == ("True", "BackoffLimitExceeded")
    assert "exit code 137" in said(made, "Failed")


def test_a_backoff_limit_of_nought_allows_no_second_attempt() -> None:
    work = spec(backoffLimit=0)
    made = look(pipeline(running(work), work), job=job("FAILED", exit_code=137))
    assert made.status.phase == "Failed"


def test_a_driver_that_said_its_last_word_before_its_head_went_is_believed() -> None:
    for state, phase in (("Succeeded", "Succeeded"), ("Failed", "Failed")):
        made = look(
            pipeline(running()), job=unreachable(16), pods=(), snapshot=snapshot(state=state)
        )
        assert (made.status.phase, made.status.attempt) == (phase, 1)


def test_memory_that_ran_out_is_named_when_the_head_is_lost() -> None:
    killed = ContainerSeen("ray-head", id="containerd://head-2", terminated="OOMKilled")
    made = look(
        pipeline(running()),
        pods=(head(containers=(killed,), phase="Failed", ready=False),),
        job=unreachable(16),
    )
    assert "OOMKilled" in (made.status.message or "")


def test_a_lost_attempt_whose_spec_is_invalid_now_fails() -> None:
    made = look(pipeline(running(), {"stages": []}), job=job("FAILED", exit_code=137))
    assert conditions(made)["Failed"] == ("True", "InvalidSpec")


def test_the_next_attempt_takes_a_number_that_no_cluster_has() -> None:
    later = cluster(CLUSTER[:-1] + "4", attempt=4)
    made = look(pipeline(running()), clusters=(cluster(), later), job=job("FAILED", exit_code=137))
    assert made.status.attempt == 5


def test_a_cluster_of_a_later_attempt_than_the_status_knows_is_left_alone() -> None:
    """The status is the older of the two."""
    later = cluster(CLUSTER[:-1] + "2", attempt=2)
    assert done(look(pipeline(running()), clusters=(cluster(), later), job=job())) == []


def test_an_existing_cluster_that_is_out_of_reach_loses_nothing() -> None:
    work = on_existing()
    shared = cluster("shared", owner_uid="", attempt=0)
    made = bare(pipeline(running(work), work), existing=shared, job=unreachable(5000))
    assert (made.status.phase, made.status.attempt) == ("Running", 1)


def test_an_existing_cluster_that_forgot_the_job_begins_the_next_attempt() -> None:
    work = on_existing()
    shared = cluster("shared", owner_uid="", attempt=0)
    seen = job("absent", head_container_id="")
    made = bare(pipeline(running(work), work), existing=shared, job=seen)
    assert (made.status.attempt, made.status.ray_cluster) == (2, "shared")


def test_preemption_by_kueue_uses_up_no_attempt_and_keeps_the_cluster() -> None:
    suspended = cluster(suspended=True)
    made = look(pipeline(running()), clusters=(suspended,), pods=(), job=unreachable(60))
    status = made.status
    assert (status.phase, status.attempt, status.retries_used) == ("Queued", 1, 0)
    assert status.submission_id is None
    assert done(made) == []
    killed = job("FAILED", exit_code=130)
    assert look(pipeline(running()), clusters=(suspended,), job=killed).status.phase == "Queued"
    admitted = look(pipeline(status), pods=(head("containerd://head-2"),)).status
    assert (admitted.attempt, admitted.head_container_id) == (1, "containerd://head-2")
