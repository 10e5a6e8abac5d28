"""A submission takes effect once on a head, whatever was seen late or lost."""

from __future__ import annotations

import pytest

from curator_operator.reconcile.observed import JobSeen
from tests.unit.operator.reconcile.seen import (
    CLUSTER,
    HEAD,
    NOW,
    done,
    head,
    job,
    look,
    pipeline,
    running,
    snapshot,
    starting,
    submitted,
    unreachable,
)


@pytest.mark.parametrize("state", ["unknown", "absent"])
def test_a_named_job_that_the_same_head_does_not_have_is_posted_again(state: str) -> None:
    made = look(pipeline(submitted()), job=job(state))
    assert done(made) == ["SubmitJob"]


@pytest.mark.parametrize("state", ["PENDING", "RUNNING"])
def test_a_job_that_is_there_is_not_posted(state: str) -> None:
    assert done(look(pipeline(submitted()), job=job(state))) == []


def test_nothing_is_posted_while_the_head_is_not_ready() -> None:
    made = look(pipeline(submitted()), job=job("absent"), pods=(head(ready=False),))
    assert done(made) == []


def test_nothing_is_posted_while_the_head_does_not_answer() -> None:
    assert done(look(pipeline(submitted()), job=unreachable(5))) == []


def test_a_job_that_another_container_runs_is_taken_as_ours() -> None:
    """The container restarted between the status and the POST."""
    other = "containerd://head-2"
    made = look(
        pipeline(submitted()), pods=(head(other),), job=job("RUNNING", head_container_id=other)
    )
    assert (made.status.phase, made.status.head_container_id) == ("Running", other)
    assert made.status.attempt == 1


def test_what_an_earlier_container_said_of_a_live_job_is_not_believed() -> None:
    """1. job runs on head-1. 2. head-1 restarts as head-2. 3. the poll is still head-1's."""
    made = look(pipeline(submitted()), pods=(head("containerd://head-2"),), job=job("RUNNING"))
    assert (made.status.phase, made.status.attempt) == ("Starting", 1)
    assert done(made) == []


def test_what_an_earlier_container_said_of_an_ended_job_stays_true() -> None:
    made = look(pipeline(running()), pods=(head("containerd://head-2"),), job=job("SUCCEEDED"))
    assert made.status.phase == "Succeeded"


def test_the_job_of_another_attempt_is_ignored() -> None:
    stale = JobSeen("4f1c9a20-7", "FAILED", NOW, head_container_id=HEAD, exit_code=1)
    assert look(pipeline(running()), job=stale).status.phase == "Running"


def test_the_snapshot_of_another_attempt_is_ignored() -> None:
    made = look(pipeline(running()), job=job(), snapshot=snapshot(submission_id="4f1c9a20-7"))
    assert made.status.progress is None


def test_a_snapshot_older_than_the_attempt_is_ignored() -> None:
    """A run that was pre-empted had the same submission id."""
    made = look(pipeline(running()), job=job(), snapshot=snapshot(at=NOW - 100))
    assert made.status.progress is None


def test_the_pipeline_is_polled_from_the_submission_to_the_end() -> None:
    assert not look(pipeline(starting()), pods=()).poll
    assert look(pipeline(submitted())).poll
    assert look(pipeline(running()), job=unreachable(5)).poll
    assert not look(pipeline(running()), job=job("SUCCEEDED")).poll


def test_a_missing_finalizer_or_child_comes_before_the_submission() -> None:
    made = look(pipeline(starting(), finalizers=()), children=frozenset())
    assert done(made) == ["AddFinalizer", "CreateSecret", "CreateConfigMap"]
    assert made.status.submission_id is None


def test_after_the_submission_only_the_secret_is_made_again() -> None:
    """Workers that come later read it; the manifest was read when the head began."""
    made = look(pipeline(running()), job=job(), children=frozenset())
    assert done(made) == ["CreateSecret"]


def test_a_status_that_names_another_cluster_is_put_right() -> None:
    made = look(pipeline(running(ray_cluster="someone-elses")), job=job())
    assert made.status.ray_cluster == CLUSTER


def test_what_the_head_before_preemption_said_does_not_count_against_the_next() -> None:
    """1. killed on head-1 by pre-emption. 2. submitted to head-2. 3. the poll is still head-1's."""
    second = "containerd://head-2"
    made = look(
        pipeline(submitted(head_container_id=second)),
        pods=(head(second),),
        job=job("FAILED", exit_code=137),
    )
    assert (made.status.phase, made.status.attempt) == ("Starting", 1)
