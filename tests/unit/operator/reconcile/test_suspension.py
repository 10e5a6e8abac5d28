"""Suspend: drain, stop, delete the cluster. Resume: the next attempt."""

from __future__ import annotations

from typing import Any

import pytest

from curator_api.v1alpha1.status import PipelineStatus
from curator_operator.reconcile.times import stamp
from tests.unit.operator.reconcile.seen import (
    CLUSTER,
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
    snapshot,
    spec,
    starting,
    submitted,
    told,
    unreachable,
)

REST = spec(suspend=True)


def suspending(status: PipelineStatus | None = None) -> PipelineStatus:
    return look(pipeline(status or running(), REST), job=job()).status


def test_a_running_pipeline_first_becomes_suspending_then_drains() -> None:
    made = look(pipeline(running(), REST), job=job())
    assert (made.status.phase, done(made), made.poll) == ("Suspending", [], True)
    assert told(made) == ["Suspending"]
    assert conditions(made)["Progressing"] == ("False", "Suspending")
    assert done(look(pipeline(made.status, REST), job=job())) == ["DrainDriver"]


def test_a_drain_under_way_is_not_asked_for_again() -> None:
    seen = snapshot(state="Draining")
    made = look(pipeline(suspending(), REST), job=job(), snapshot=seen)
    assert (made.status.phase, done(made)) == ("Suspending", [])


def test_a_drained_job_lets_the_cluster_go_and_the_head_pod_ends_it() -> None:
    rested = job("FAILED", exit_code=130)
    made = look(pipeline(suspending(), REST), job=rested)
    assert (made.status.phase, done(made)) == ("Suspending", ["DeleteRayCluster"])
    waits = look(pipeline(made.status, REST), job=rested, clusters=(), pods=(head(deleting=True),))
    assert (waits.status.phase, done(waits)) == ("Suspending", [])
    assert f"{CLUSTER}-head" in (waits.status.message or "")
    gone = look(pipeline(waits.status, REST), job=rested, clusters=(), pods=())
    assert gone.status.phase == "Suspended"
    assert conditions(gone)["Suspended"] == ("True", "Suspended")
    assert told(gone) == ["Suspended"]


def test_a_suspended_pipeline_keeps_its_numbers_and_nothing_else() -> None:
    rested = job("FAILED", exit_code=130)
    status = look(pipeline(suspending(), REST), job=rested, clusters=(), pods=()).status
    assert (status.attempt, status.active_since, status.active_seconds) == (1, None, 60)
    assert (status.ray_cluster, status.submission_id, status.head_container_id) == (None,) * 3
    made = bare(pipeline(status, REST), now=NOW + 600)
    assert (made.status, made.actions, made.poll) == (status, (), False)


@pytest.mark.parametrize(
    ("after_s", "does"), [(79, ["DrainDriver"]), (81, ["StopJob"]), (101, ["DeleteRayCluster"])]
)
def test_a_job_that_does_not_drain_is_stopped_and_then_given_up(
    after_s: float, does: list[str]
) -> None:
    seen = job(at=NOW + after_s)
    assert done(look(pipeline(suspending(), REST), now=NOW + after_s, job=seen)) == does


def test_before_a_job_was_submitted_nothing_has_to_drain() -> None:
    first = look(pipeline(starting(), REST))
    assert first.status.phase == "Suspending"
    assert done(look(pipeline(first.status, REST))) == ["DeleteRayCluster"]


def test_a_pipeline_that_is_made_suspended_makes_nothing_and_begins_when_told() -> None:
    made = bare(pipeline(work=REST, finalizers=()))
    assert (made.status.phase, made.status.attempt, done(made)) == ("Suspended", None, [])
    begun = bare(pipeline(made.status, finalizers=()))
    assert (begun.status.phase, begun.status.attempt) == ("Starting", 1)


def test_a_job_that_may_just_have_been_posted_is_asked_for_once_more() -> None:
    """1. SubmitJob. 2. suspend. 3. the poll from before says that there is no job."""
    status = look(pipeline(submitted(), REST), job=job("absent", at=NOW - 3)).status
    early = look(pipeline(status, REST), now=NOW + 2, job=job("absent", at=NOW - 3))
    assert (done(early), early.poll) == ([], True)
    sure = look(pipeline(early.status, REST), now=NOW + 12, job=job("absent", at=NOW + 8))
    assert done(sure) == ["DeleteRayCluster"]


def test_a_head_that_is_gone_needs_no_drain() -> None:
    made = look(pipeline(suspending(), REST), job=unreachable(16), pods=())
    assert done(made) == ["DeleteRayCluster"]


def test_a_head_that_does_not_answer_is_asked_until_the_time_is_up() -> None:
    made = look(pipeline(suspending(), REST), job=unreachable(20))
    assert done(made) == ["DrainDriver"]


def test_a_run_that_succeeds_while_it_suspends_has_succeeded() -> None:
    assert look(pipeline(suspending(), REST), job=job("SUCCEEDED")).status.phase == "Succeeded"


def test_a_lost_head_while_it_suspends_uses_up_no_retry() -> None:
    made = look(pipeline(suspending(), REST), job=unreachable(16), clusters=(), pods=())
    assert (made.status.phase, made.status.retries_used) == ("Suspended", 0)


def test_a_suspension_taken_back_is_carried_through_and_then_resumed() -> None:
    rested = job("FAILED", exit_code=130)
    made = look(pipeline(suspending()), job=rested, clusters=(), pods=())
    assert made.status.phase == "Suspended"
    resumed = bare(pipeline(made.status))
    assert (resumed.status.phase, resumed.status.attempt) == ("Starting", 2)


def suspended(**fields: Any) -> PipelineStatus:
    rested = job("FAILED", exit_code=130)
    seen = suspending(running(**fields))
    return look(pipeline(seen, REST), job=rested, clusters=(), pods=()).status


def test_resuming_first_writes_the_next_attempt_and_the_hash_of_its_work() -> None:
    edited = spec(stages=[{"name": "read", "class": "my_team.stages.Better"}])
    made = bare(pipeline(suspended(), edited))
    assert done(made) == []
    assert (made.status.phase, made.status.attempt, made.status.retries_used) == ("Starting", 2, 0)
    assert made.status.spec_hash != suspended().spec_hash
    assert conditions(made)["Suspended"] == ("False", "NotSuspended")
    assert (made.status.active_since, made.status.active_seconds) == (stamp(NOW), 60)
    assert told(made) == ["Resumed"]


def test_an_invalid_spec_keeps_it_suspended_and_says_why() -> None:
    made = bare(pipeline(suspended(), spec(backoffLimit=-1)))
    assert (made.status.phase, done(made)) == ("Suspended", [])
    assert conditions(made)["Accepted"] == ("False", "InvalidSpec")


def test_what_cannot_be_made_keeps_it_suspended_without_a_write_each_time() -> None:
    work = spec(cluster={"serviceAccountName": "admin"})
    first = bare(pipeline(suspended(), work))
    assert first.status.phase == "Suspended"
    assert "serviceAccountName" in said(first, "Accepted")
    again = bare(pipeline(first.status, work))
    assert (again.status, again.actions) == (first.status, ())


def test_without_kuberay_it_stays_suspended() -> None:
    made = bare(pipeline(suspended()), kuberay=False)
    assert made.status.phase == "Suspended"
    assert "KubeRay" in (made.status.message or "")


def test_a_cluster_that_turns_up_while_suspended_is_deleted() -> None:
    assert done(look(pipeline(suspended(), REST), pods=())) == [
        "DeleteRayCluster",
        "DeleteConfigMap",
    ]


def test_on_an_existing_cluster_the_job_is_stopped_and_the_cluster_stays() -> None:
    work = on_existing(suspend=True)
    work = {**work, "suspend": True}
    shared = cluster("shared", owner_uid="", attempt=0)
    status = running(on_existing(), phase="Suspending")
    asked = bare(pipeline(status, work), existing=shared, job=job(head_container_id=""))
    assert done(asked) == ["DrainDriver"]
    rested = job("STOPPED", head_container_id="")
    made = bare(pipeline(asked.status, work), existing=shared, job=rested)
    assert (made.status.phase, done(made)) == ("Suspended", [])
