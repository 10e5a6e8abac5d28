"""Ends: by the driver's own verdict, by lost infrastructure, by the deadline; and afterwards."""

from __future__ import annotations

from typing import Any

import pytest

from curator_api.progress import FailureSummary, StageProgress
from curator_api.v1alpha1.status import PipelineStatus
from curator_operator.reconcile.actions import Plan
from curator_operator.reconcile.observed import ConditionSeen, ContainerSeen, Refusal
from curator_operator.reconcile.times import stamp
from tests.unit.operator.reconcile.seen import (
    CLUSTER,
    NOW,
    actions,
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
    worker,
)


def ended_with(code: int | None, message: str = "", **fields: Any) -> Plan:
    seen = job("FAILED", exit_code=code, message=message)
    return look(pipeline(running()), job=seen, **fields)


def test_a_failing_stage_ends_the_pipeline_at_once_with_the_drivers_words() -> None:
    last = snapshot(state="Failed", message="stage embed failed: CUDA error")
    made = ended_with(1, snapshot=last)
    assert made.status.phase == "Failed"
    assert conditions(made)["Failed"] == conditions(made)["Finished"] == ("True", "StageFailed")
    assert "Complete" not in conditions(made)
    assert said(made, "Failed") == "stage embed failed: CUDA error"
    assert made.status.retries_used == 0


def test_a_failing_stage_without_a_message_is_told_by_its_last_failure() -> None:
    failure = FailureSummary(stage="embed", error="OSError", message="disk", count=1, task_id="t")
    made = ended_with(1, snapshot=snapshot(state="Failed", failures=[failure]))
    assert said(made, "Failed") == "stage embed: OSError: disk"


def test_a_driver_that_failed_without_a_word_is_told_by_ray() -> None:
    made = ended_with(1, "ModuleNotFoundError: my_team")
    assert conditions(made)["Failed"] == ("True", "DriverFailed")
    assert "my_team" in said(made, "Failed")


def test_a_manifest_that_the_driver_refuses_ends_at_once() -> None:
    made = ended_with(2, snapshot=snapshot(state="Failed", message="spec.stages[0]: no such class"))
    assert conditions(made)["Failed"] == ("True", "ManifestRefused")
    assert "no such class" in said(made, "Failed")


def test_dead_letters_are_a_success_that_says_so() -> None:
    stages = [StageProgress(name="embed", failed=3), StageProgress(name="read")]
    made = ended_with(3, snapshot=snapshot(state="Succeeded", stages=stages))
    assert made.status.phase == "Succeeded"
    assert conditions(made)["Complete"] == ("True", "DeadLetters")
    assert "3 tasks became dead letters (embed 3)" in said(made, "Complete")
    assert [one.kind for one in made.actions if hasattr(one, "kind")] == ["Warning"]


def test_dead_letters_nobody_counted_are_said_too() -> None:
    assert "some dead letters" in said(ended_with(3), "Complete")


@pytest.mark.parametrize(
    "seen", [job("FAILED", exit_code=130), job("STOPPED", message="stopped by user")]
)
def test_a_run_that_somebody_cancelled_is_not_tried_again(seen: Any) -> None:
    made = look(pipeline(running()), job=seen)
    assert conditions(made)["Failed"] == ("True", "Cancelled")


def test_a_runtime_environment_that_cannot_be_made_is_not_tried_again() -> None:
    made = ended_with(None, "runtime_env setup failed: pip install nope")
    assert conditions(made)["Failed"] == ("True", "RuntimeEnvFailed")


def test_a_job_that_ray_will_never_take_ends_the_pipeline() -> None:
    def refused(count: int) -> PipelineStatus:
        refusal = Refusal("SubmitJob", 400, "BadRequest", "unknown field", NOW - 90, count)
        return look(pipeline(submitted()), job=job("absent"), refusals=(refusal,)).status

    assert [refused(2).phase, refused(3).phase] == ["Starting", "Failed"]
    assert "unknown field" in (refused(3).message or "")


# -- lost infrastructure ------------------------------------------------------------------------

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


# -- deadline -----------------------------------------------------------------------------------

SHORT = spec(activeDeadlineSeconds=100)


def timed(seconds: float, **fields: Any) -> PipelineStatus:
    return running(SHORT, active_since=stamp(NOW - seconds), **fields)


def test_the_deadline_drains_first_and_fails_when_the_job_rests() -> None:
    over = look(pipeline(timed(101), SHORT), job=job())
    assert (over.status.phase, done(over), over.look_again_s) == ("Stopping", [], 0)
    assert told(over) == ["DeadlineExceeded"]
    drains = look(pipeline(over.status, SHORT), job=job())
    assert done(drains) == ["DrainDriver"]
    draining = look(pipeline(drains.status, SHORT), job=job(), snapshot=snapshot(state="Draining"))
    assert done(draining) == []
    rested = look(pipeline(draining.status, SHORT), job=job("FAILED", exit_code=130))
    assert conditions(rested)["Failed"] == ("True", "DeadlineExceeded")
    assert "activeDeadlineSeconds (100)" in said(rested, "Failed")


def test_the_deadline_counts_all_attempts() -> None:
    assert look(pipeline(timed(50, active_seconds=40), SHORT), job=job()).status.phase == "Running"
    assert look(pipeline(timed(61, active_seconds=40), SHORT), job=job()).status.phase == "Stopping"


def test_the_deadline_is_looked_at_when_it_comes() -> None:
    assert look(pipeline(timed(90), SHORT), job=job()).look_again_s == 10


def test_a_drain_that_takes_too_long_becomes_a_stop_and_then_the_end() -> None:
    stopping = look(pipeline(timed(101), SHORT), job=job()).status

    def after(seconds: float) -> tuple[str | None, list[str]]:
        made = look(pipeline(stopping, SHORT), now=NOW + seconds, job=job(at=NOW + seconds))
        return made.status.phase, done(made)

    assert after(79) == ("Stopping", ["DrainDriver"])
    assert after(81) == ("Stopping", ["StopJob"])
    assert after(101) == ("Failed", [])


def test_a_run_that_ends_by_itself_while_it_drains_has_succeeded() -> None:
    stopping = look(pipeline(timed(101), SHORT), job=job()).status
    assert look(pipeline(stopping, SHORT), job=job("SUCCEEDED")).status.phase == "Succeeded"


def test_a_deadline_that_was_raised_in_time_counts() -> None:
    raised = spec(activeDeadlineSeconds=1000)
    assert look(pipeline(timed(101), raised), job=job()).status.phase == "Running"


def test_a_deadline_ends_waiting_too() -> None:
    status = starting(SHORT, active_since=stamp(NOW - 101))
    stopping = look(pipeline(status, SHORT), pods=())
    assert stopping.status.phase == "Stopping"
    ended = look(pipeline(stopping.status, SHORT), pods=())
    assert conditions(ended)["Failed"] == ("True", "DeadlineExceeded")


def test_a_clock_set_back_begins_the_deadlines_count_again() -> None:
    made = look(pipeline(timed(-5000), SHORT), job=job())
    assert made.status.active_since == stamp(NOW)
    assert made.status.phase == "Running"


# -- after the end --------------------------------------------------------------------------------


def ended(**fields: Any) -> PipelineStatus:
    whole = {"completion_time": stamp(NOW - 10), "phase": "Succeeded", **fields}
    return look(pipeline(running(**whole))).status


def test_a_cluster_that_is_to_be_kept_is_kept() -> None:
    work = spec(cluster={"keepAfterFinish": True})
    made = look(pipeline(ended(work=work), work))
    assert done(made) == ["RemoveFinalizer"]


def test_the_pipeline_is_deleted_when_its_time_to_live_is_over() -> None:
    work = spec(ttlSecondsAfterFinished=60)
    early = bare(pipeline(ended(work=work), work, finalizers=()))
    assert (done(early), early.look_again_s) == ([], 50)
    late = bare(pipeline(ended(work=work), work, finalizers=()), now=NOW + 50)
    assert done(late) == ["DeletePipeline"]


def test_a_time_to_live_of_nought_deletes_at_once_and_without_one_never() -> None:
    work = spec(ttlSecondsAfterFinished=0)
    assert done(bare(pipeline(ended(work=work), work, finalizers=()))) == ["DeletePipeline"]
    forever = bare(pipeline(ended(), finalizers=()), now=NOW + 1e8)
    assert (done(forever), forever.look_again_s) == ([], None)


def test_an_end_stays_an_end_whatever_is_seen_or_edited_afterwards() -> None:
    status = ended()
    for fields in ({"job": job("RUNNING")}, {"snapshot": snapshot()}, {"kuberay": False}):
        made = bare(pipeline(status, spec(suspend=True), finalizers=()), **fields)
        assert (made.status.phase, done(made)) == ("Succeeded", [])


def test_a_refused_deletion_of_the_cluster_is_tried_later() -> None:
    refusal = Refusal("DeleteRayCluster", 500, "InternalError", "etcd", NOW - 1)
    made = look(pipeline(ended(), finalizers=()), refusals=(refusal,))
    assert (done(made), made.look_again_s) == ([], 4)


def test_the_deletion_names_the_uid_that_was_seen() -> None:
    first, *_ = actions(look(pipeline(ended(), finalizers=())))
    assert first.uid == f"uid-of-{CLUSTER}"  # type: ignore[union-attr]
