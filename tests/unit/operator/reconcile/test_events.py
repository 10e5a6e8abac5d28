"""Events: what a person wants to be told, in the pass that says it first and in no other."""

from __future__ import annotations

import pytest

from curator_operator.reconcile.actions import EmitEvent, Plan
from curator_operator.reconcile.observed import JobSeen
from tests.unit.operator.reconcile.seen import (
    HEAD,
    NOW,
    bare,
    head,
    job,
    look,
    on_existing,
    pipeline,
    running,
    snapshot,
    spec,
    starting,
    stuck_head,
    submitted,
    told,
)

PULL = (stuck_head("ImagePullBackOff", waiting_message="no such image"),)
MADE: dict[str, tuple[Plan, str, str]] = {
    "begun": (bare(), "AttemptStarted", "Normal"),
    "refused": (bare(pipeline(work={"stages": []})), "InvalidSpec", "Warning"),
    "submitted": (look(pipeline(starting())), "JobSubmitted", "Normal"),
    "running": (look(pipeline(submitted()), job=job()), "Running", "Normal"),
    "image": (look(pipeline(starting()), pods=PULL), "ImagePullFailed", "Warning"),
    "kuberay": (bare(kuberay=False), "KubeRayMissing", "Warning"),
    "existing": (bare(pipeline(work=on_existing())), "ExistingAbsent", "Warning"),
    "suspend": (look(pipeline(running(), spec(suspend=True)), job=job()), "Suspending", "Normal"),
    "lost": (look(pipeline(running()), job=job("absent")), "AttemptLost", "Warning"),
    "done": (look(pipeline(running()), job=job("SUCCEEDED")), "Succeeded", "Normal"),
    "failed": (
        look(pipeline(running()), job=job("FAILED", exit_code=2)),
        "ManifestRefused",
        "Warning",
    ),
    "stalled": (
        look(
            pipeline(running(last_progress_time="2020-01-01T00:00:00Z")),
            job=job(),
            snapshot=snapshot(inputs_done=0, stages=[], elapsed_s=5000.0),
        ),
        "Stalled",
        "Warning",
    ),
}


@pytest.mark.parametrize("case", MADE)
def test_what_happened_is_told_when_the_status_says_it_first(case: str) -> None:
    made, event, kind = MADE[case]
    assert [(one.event, one.kind) for one in made.actions if isinstance(one, EmitEvent)] == [
        (event, kind)
    ]
    assert all(one.message for one in made.actions if isinstance(one, EmitEvent))


@pytest.mark.parametrize("pods", [PULL, (head(),)])
def test_nothing_is_told_twice(pods: tuple[object, ...]) -> None:
    first = look(pipeline(starting()), pods=pods)
    assert told(first)
    assert told(look(pipeline(first.status), pods=pods, now=NOW + 30)) == []


def test_a_job_that_goes_on_on_another_head_after_preemption_is_told_under_another_key() -> None:
    def key(container: str) -> str:
        made = look(pipeline(starting()), pods=(head(container),), job=JobSeen())
        return next(one.key for one in made.actions if isinstance(one, EmitEvent))

    assert key(HEAD) != key("containerd://head-2")
