"""A spec is taken or refused with the fields named; nothing is made of a bad one."""

from __future__ import annotations

from typing import Any

import pytest

from curator_api.v1alpha1.status import PipelineStatus
from tests.unit.operator.reconcile.seen import (
    NOW,
    bare,
    cluster,
    conditions,
    done,
    job,
    look,
    on_existing,
    pipeline,
    running,
    said,
    spec,
    starting,
    submitted,
    told,
)

ONE_GROUP = spec()["cluster"]["workerGroups"][0]


@pytest.mark.parametrize(
    ("work", "field"),
    [
        ({"stages": [], "cluster": spec()["cluster"]}, "spec.stages"),
        (spec(backoffLimit="5"), "spec.backoffLimit"),
        (spec(stages=[{"name": "a", "class": "x.Y", "batchSise": 3}]), "batchSise"),
        (spec(checkpoint={"uri": "file:///ckpt"}), "spec.checkpoint.uri"),
        (spec(cluster={"workerGroups": [{**ONE_GROUP, "minReplicas": 3}]}), "minReplicas"),
    ],
)
def test_an_invalid_spec_is_refused_with_its_field_and_nothing_is_made(
    work: dict[str, Any], field: str
) -> None:
    made = bare(pipeline(work=work, finalizers=()))
    assert made.status.phase == "Pending"
    assert conditions(made)["Accepted"] == ("False", "InvalidSpec")
    assert field in said(made, "Accepted")
    assert field in (made.status.message or "")
    assert done(made) == []
    assert made.status.attempt is None
    assert told(made) == ["InvalidSpec"]


def test_what_only_shows_when_children_are_made_is_refused_too_and_stays_refused() -> None:
    """The service account is judged by the operator's settings, which no model knows."""
    work = spec(cluster={"serviceAccountName": "admin"})
    first = bare(pipeline(work=work))
    assert conditions(first)["Accepted"] == ("False", "InvalidSpec")
    assert "serviceAccountName" in said(first, "Accepted")
    again = bare(pipeline(first.status, work))
    assert again.status == first.status
    assert again.actions == ()


def test_a_pipeline_without_a_cluster_is_refused_on_kubernetes() -> None:
    work = {"stages": spec()["stages"]}
    assert "spec.cluster" in said(bare(pipeline(work=work)), "Accepted")


def test_an_edit_mends_a_refused_spec() -> None:
    refused = bare(pipeline(work=spec(backoffLimit=-1))).status
    made = bare(pipeline(refused, spec(), generation=2), now=NOW + 60)
    assert made.status.phase == "Starting"
    assert conditions(made)["Accepted"] == ("True", "Valid")
    assert made.status.observed_generation == 2


def test_many_problems_are_named_as_far_as_there_is_room_and_then_counted() -> None:
    stages = [{"name": f"s{at}", "class": "x.Y", "oops": 1} for at in range(8)]
    message = said(bare(pipeline(work=spec(stages=stages))), "Accepted")
    assert "spec.stages[4]" in message
    assert message.endswith("and 3 more")


def test_a_spec_that_is_no_spec_at_all_harms_nobody() -> None:
    made = bare(pipeline(work={"stages": 3, "cluster": "x", "execution": None, "suspend": "yes"}))
    assert conditions(made)["Accepted"] == ("False", "InvalidSpec")


def test_a_spec_that_became_invalid_before_its_job_ran_waits_without_making_more() -> None:
    made = bare(pipeline(starting(), {"stages": []}))
    assert (made.status.phase, done(made)) == ("Starting", [])
    assert conditions(made)["Accepted"] == ("False", "InvalidSpec")


def test_a_spec_that_became_invalid_while_its_job_runs_leaves_the_job_alone() -> None:
    made = look(pipeline(running(), {"stages": []}), job=job())
    assert (made.status.phase, done(made)) == ("Running", [])
    assert conditions(made)["Accepted"] == ("False", "InvalidSpec")


def test_work_edited_while_it_runs_goes_on_as_submitted_and_is_said() -> None:
    edited = spec(stages=[{"name": "read", "class": "my_team.stages.Other"}])
    made = look(pipeline(running(), edited), job=job())
    assert (made.status.phase, done(made)) == ("Running", [])
    assert conditions(made)["Accepted"] == ("False", "WorkChanged")
    assert "spec.suspend" in said(made, "Accepted")


def test_work_put_back_is_accepted_again() -> None:
    edited = spec(stages=[{"name": "read", "class": "my_team.stages.Other"}])
    changed = look(pipeline(running(), edited), job=job()).status
    assert conditions(look(pipeline(changed), job=job()))["Accepted"] == ("True", "Valid")


@pytest.mark.parametrize("status", [starting(), submitted()])
def test_work_edited_before_the_job_ran_becomes_a_new_attempt_that_counts_as_no_retry(
    status: PipelineStatus,
) -> None:
    edited = spec(stages=[{"name": "read", "class": "my_team.stages.Other"}])
    made = look(pipeline(status, edited), job=job("absent"))
    assert (made.status.attempt, made.status.retries_used) == (2, 0)
    assert made.status.submission_id is None
    assert conditions(made)["Accepted"] == ("True", "Valid")


def test_settings_that_forbid_a_spec_after_it_began_stop_it_from_being_made() -> None:
    work = spec(cluster={"serviceAccountName": "admin"})
    made = bare(pipeline(starting(work), work))
    assert done(made) == []
    assert conditions(made)["Accepted"] == ("False", "InvalidSpec")


def test_an_existing_cluster_needs_nothing_made_but_the_finalizer() -> None:
    work = on_existing()
    shared = cluster("shared", owner_uid="", attempt=0)
    begun = bare(pipeline(work=work), existing=shared)
    assert (begun.status.phase, begun.status.ray_cluster) == ("Starting", "shared")
    made = bare(pipeline(begun.status, work, finalizers=()), existing=shared)
    assert done(made) == ["AddFinalizer"]
