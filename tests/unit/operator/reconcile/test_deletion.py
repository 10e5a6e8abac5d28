"""Deletion: the job is stopped shortly; the finalizer never stays."""

from __future__ import annotations

from typing import Any

import pytest

from curator_api.v1alpha1.status import PipelineStatus
from tests.unit.operator.reconcile.seen import (
    NOW,
    bare,
    conditions,
    done,
    job,
    look,
    pipeline,
    running,
    snapshot,
    spec,
    starting,
    told,
    unreachable,
)


def stopping() -> PipelineStatus:
    return look(pipeline(running(), deleting=True), job=job()).status


def test_a_running_job_is_drained_before_the_pipeline_goes() -> None:
    first = look(pipeline(running(), deleting=True), job=job())
    assert (first.status.phase, done(first), told(first)) == ("Stopping", [], ["Stopping"])
    assert conditions(first)["Progressing"] == ("False", "Deleting")
    assert done(look(pipeline(first.status, deleting=True), job=job())) == ["DrainDriver"]


@pytest.mark.parametrize(
    "seen",
    [
        {"job": job("FAILED", exit_code=130)},
        {"job": job("SUCCEEDED")},
        {"job": unreachable(16), "pods": ()},
        {"job": unreachable(16), "clusters": (), "pods": ()},
        {"job": unreachable(1), "clusters": (), "pods": (), "kuberay": False},
        {"job": unreachable(121)},
    ],
)
def test_the_finalizer_goes_once_nothing_runs_or_can_be_reached(seen: dict[str, Any]) -> None:
    made = look(pipeline(stopping(), deleting=True), **seen)
    assert done(made) == ["RemoveFinalizer"]


@pytest.mark.parametrize(
    ("after_s", "does"), [(49, ["DrainDriver"]), (51, ["StopJob"]), (71, ["RemoveFinalizer"])]
)
def test_a_deletion_waits_no_longer_than_a_short_drain(after_s: float, does: list[str]) -> None:
    """Although the spec would let batches end for ten minutes."""
    work = spec(execution={"drainSeconds": 600})
    seen = pipeline(stopping(), work, deleting=True)
    assert done(look(seen, now=NOW + after_s, job=unreachable(1))) == does


@pytest.mark.parametrize(
    "status",
    [
        PipelineStatus(),
        PipelineStatus(phase="Pending"),
        starting(),
        running(phase="Succeeded"),
        running(phase="Failed"),
        PipelineStatus(phase="Suspended", attempt=1),
    ],
)
def test_where_nothing_runs_the_finalizer_goes_at_once(status: PipelineStatus) -> None:
    made = look(pipeline(status, deleting=True))
    assert (done(made), made.status) == (["RemoveFinalizer"], status)


def test_an_invalid_spec_does_not_hold_a_deletion() -> None:
    made = look(pipeline(running(), {"stages": 1}, deleting=True), job=job())
    assert made.status.phase == "Stopping"
    assert done(look(pipeline(made.status, {"stages": 1}, deleting=True), job=job())) == [
        "DrainDriver"
    ]


def test_a_pipeline_without_our_finalizer_is_left_alone() -> None:
    made = bare(pipeline(deleting=True, finalizers=("someone.else/hold",)))
    assert (done(made), made.status) == ([], PipelineStatus())


def test_a_deletion_makes_nothing() -> None:
    made = bare(pipeline(starting(), deleting=True, finalizers=()))
    assert done(made) == []


def test_a_drain_that_was_heard_is_not_asked_for_again() -> None:
    seen = pipeline(stopping(), deleting=True)
    assert done(look(seen, job=job(), snapshot=snapshot(state="Draining"))) == []
