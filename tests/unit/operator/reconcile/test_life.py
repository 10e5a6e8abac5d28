"""The plain life: accepted, made, submitted, followed, ended, gone."""

from __future__ import annotations

from curator_operator.desired import names
from curator_operator.reconcile.actions import DeleteRayCluster, SubmitJob
from tests.unit.operator.reconcile.seen import (
    CLUSTER,
    HEAD,
    JOB,
    NAME,
    UID,
    actions,
    bare,
    conditions,
    done,
    job,
    look,
    pipeline,
    running,
    snapshot,
    starting,
    submitted,
    told,
)


def test_a_valid_pipeline_first_gets_a_status_that_names_its_attempt_and_nothing_else() -> None:
    made = bare(pipeline(finalizers=()))
    assert (made.status.phase, made.status.attempt) == ("Starting", 1)
    assert made.status.ray_cluster == CLUSTER
    assert made.status.submission_id is None
    assert made.status.spec_hash
    assert done(made) == []
    assert made.look_again_s == 0


def test_the_children_are_made_once_the_observed_status_names_the_attempt() -> None:
    made = bare(pipeline(starting(), finalizers=()))
    assert done(made) == ["AddFinalizer", "CreateSecret", "CreateConfigMap", "CreateRayCluster"]
    assert [one.name for one in actions(made)[1:]] == [  # type: ignore[union-attr]
        names.token_secret_name(NAME, UID, 1),
        names.config_map_name(NAME, UID, 1),
        CLUSTER,
    ]


def test_a_ready_head_first_gets_its_submission_written_down() -> None:
    made = look(pipeline(starting()))
    assert (made.status.submission_id, made.status.head_container_id) == (JOB, HEAD)
    assert done(made) == []
    assert made.poll


def test_the_job_is_submitted_once_the_observed_status_names_it() -> None:
    made = look(pipeline(submitted()), job=job("absent"))
    (action,) = actions(made)
    assert isinstance(action, SubmitJob)
    assert (action.cluster, action.submission_id) == (CLUSTER, JOB)
    assert action.body["entrypoint"].startswith("python -m curator_executor run ")


def test_a_job_that_runs_makes_the_pipeline_running() -> None:
    made = look(pipeline(submitted()), job=job("RUNNING"))
    assert made.status.phase == "Running"
    assert done(made) == []
    assert told(made) == ["Running"]
    assert made.poll


def test_a_job_that_succeeded_ends_the_pipeline_before_anything_is_cleaned_up() -> None:
    made = look(pipeline(running()), job=job("SUCCEEDED"), snapshot=snapshot())
    assert made.status.phase == "Succeeded"
    assert made.status.completion_time
    found = conditions(made)
    assert found["Finished"] == found["Complete"] == ("True", "Succeeded")
    assert "Failed" not in found
    assert done(made) == []


def test_after_the_end_the_finalizer_the_cluster_and_the_manifest_go() -> None:
    ended = look(pipeline(running()), job=job("SUCCEEDED")).status
    made = look(pipeline(ended), job=job("SUCCEEDED"))
    assert done(made) == ["RemoveFinalizer", "DeleteRayCluster", "DeleteConfigMap"]
    deleted = actions(made)[1]
    assert isinstance(deleted, DeleteRayCluster)
    assert deleted.uid == f"uid-of-{CLUSTER}"
    assert made.status == ended
    assert not made.poll


def test_looking_again_at_a_running_pipeline_says_nothing_new() -> None:
    first = look(pipeline(submitted()), job=job("RUNNING"), snapshot=snapshot())
    again = look(pipeline(first.status), job=job("RUNNING"), snapshot=snapshot())
    assert again.status == first.status
    assert again.actions == ()
