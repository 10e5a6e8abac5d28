"""Statuses of an older operator, or edited by hand: mended, never believed against the evidence."""

from __future__ import annotations

import pytest

from curator_api.v1alpha1.status import PipelineStatus
from curator_operator.reconcile.conditions import Says, condition_of, with_conditions
from curator_operator.reconcile.reasons import Reason
from curator_operator.reconcile.times import stamp
from tests.unit.operator.reconcile.seen import (
    CLUSTER,
    NOW,
    bare,
    cluster,
    conditions,
    done,
    job,
    look,
    pipeline,
    running,
    spec,
    starting,
    submitted,
)


@pytest.mark.parametrize("phase", ["Queued", "Starting", "Running", "Suspending", "Stopping"])
def test_a_phase_under_way_without_an_attempt_begins_anew(phase: str) -> None:
    made = bare(pipeline(PipelineStatus(phase=phase)))  # type: ignore[arg-type]
    assert (made.status.phase, made.status.attempt) == ("Starting", 1)


def test_a_wiped_status_takes_a_new_attempt_and_the_old_cluster_goes() -> None:
    made = look(pipeline(PipelineStatus()))
    assert (made.status.phase, made.status.attempt) == ("Starting", 2)
    assert done(look(pipeline(made.status))) == ["DeleteRayCluster"]


def test_an_attempt_without_a_phase_goes_on() -> None:
    made = look(pipeline(submitted(phase=None)), job=job())
    assert (made.status.phase, made.status.attempt) == ("Running", 1)


def test_a_status_without_times_and_names_gets_them_back() -> None:
    status = running(active_since=None, start_time=None, ray_cluster=None)
    made = look(pipeline(status), job=job())
    assert (made.status.ray_cluster, made.status.active_since) == (CLUSTER, stamp(NOW))


def test_a_submission_of_another_name_is_not_taken_for_ours() -> None:
    made = look(pipeline(running(submission_id="deadbeef-9")), job=job())
    assert made.status.submission_id == "4f1c9a20-1"
    assert done(made) == []


def test_an_end_without_conditions_and_time_gets_them_back() -> None:
    for phase, kind in (("Succeeded", "Complete"), ("Failed", "Failed")):
        made = bare(pipeline(PipelineStatus(phase=phase), finalizers=()))  # type: ignore[arg-type]
        assert conditions(made)["Finished"][0] == conditions(made)[kind][0] == "True"
        assert made.status.completion_time == stamp(NOW)


def test_times_that_cannot_be_read_count_as_none() -> None:
    status = running(active_since="yesterday", last_progress_time="soon")
    assert look(pipeline(status), job=job()).status.active_since == stamp(NOW)


def test_a_cluster_whose_label_was_taken_is_still_found_by_its_name() -> None:
    made = look(pipeline(running()), clusters=(cluster(attempt=0),), job=job())
    assert (made.status.phase, done(made)) == ("Running", [])


def test_a_condition_keeps_its_time_until_its_status_changes() -> None:
    def said(status: PipelineStatus, value: str, reason: Reason, at: float) -> PipelineStatus:
        return with_conditions(
            status,
            [Says("ClusterReady", value, reason, "x")],  # type: ignore[arg-type]
            at,
            7,
        )

    first = said(starting(), "False", Reason.UNSCHEDULABLE, NOW)
    other = said(first, "False", Reason.IMAGE_PULL_FAILED, NOW + 60)
    ready = said(other, "True", Reason.HEAD_READY, NOW + 90)
    times = []
    for status in (first, other, ready):
        condition = condition_of(status, "ClusterReady")
        assert condition is not None
        assert condition.observed_generation == 7
        times.append(condition.last_transition_time)
    assert times == [stamp(NOW), stamp(NOW), stamp(NOW + 90)]


def test_a_condition_time_that_lies_ahead_is_brought_back() -> None:
    ahead = with_conditions(
        starting(), [Says("Progressing", "False", Reason.SUSPENDING)], NOW + 9000, 1
    )
    back = with_conditions(ahead, [Says("Progressing", "False", Reason.SUSPENDING)], NOW, 1)
    condition = condition_of(back, "Progressing")
    assert condition is not None
    assert condition.last_transition_time == stamp(NOW)


def test_conditions_keep_their_order() -> None:
    made = look(pipeline(running()), job=job("SUCCEEDED"))
    assert [one.type for one in made.status.conditions] == [
        "Accepted",
        "ClusterReady",
        "Progressing",
        "Stalled",
        "Suspended",
        "Finished",
        "Complete",
    ]


def test_every_condition_and_the_status_name_the_generation() -> None:
    made = look(pipeline(running(), generation=9), job=job())
    assert made.status.observed_generation == 9
    assert {one.observed_generation for one in made.status.conditions} == {9}


def test_a_wiped_attempt_does_not_strand_its_cluster_when_it_is_suspended() -> None:
    work = spec(suspend=True)
    first = look(pipeline(PipelineStatus(), work))
    assert (first.status.phase, first.status.attempt) == ("Suspending", 1)
    assert done(look(pipeline(first.status, work))) == ["DeleteRayCluster"]
