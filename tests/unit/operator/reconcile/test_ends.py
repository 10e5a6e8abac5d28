"""Ends: by the driver's own verdict, by the deadline; and afterwards."""

from __future__ import annotations

from typing import Any

import pytest

from curator_api.progress import FailureSummary, StageProgress
from curator_api.v1alpha1.status import PipelineStatus
from curator_operator.reconcile.actions import Plan
from curator_operator.reconcile.observed import Refusal
from curator_operator.reconcile.times import stamp
from tests.unit.operator.reconcile.seen import (
    CLUSTER,
    NOW,
    actions,
    bare,
    conditions,
    done,
    job,
    look,
    pipeline,
    running,
    said,
    snapshot,
    spec,
    starting,
    submitted,
    told,
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
    assert "3 tasks given up on (embed 3)" in said(made, "Complete")
    assert [one.kind for one in made.actions if hasattr(one, "kind")] == ["Warning"]


def test_stages_of_a_pipeline_that_has_ended_have_no_workers_and_keep_their_counts() -> None:
    last = snapshot(state="Succeeded")
    during = look(pipeline(running()), job=job(), snapshot=last).status.stages[0]
    assert (during.workers.ready, during.busy_percent) == (3, 98)

    (stage,) = ended_with(0, snapshot=last).status.stages

    assert (stage.done, stage.workers.ready, stage.workers.wanted, stage.running) == (804, 0, 0, 0)
    assert (stage.items_per_second, stage.busy_percent) == (None, None)


def test_dead_letters_nobody_counted_are_said_too() -> None:
    assert "some tasks given up on" in said(ended_with(3), "Complete")


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
