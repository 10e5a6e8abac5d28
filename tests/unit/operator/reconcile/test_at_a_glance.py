"""What `kubectl get` shows of a pipeline: what holds it up, and nothing that is over."""

from __future__ import annotations

from typing import Any

import pytest

from curator_api.progress import Bottleneck
from curator_api.v1alpha1.status import StatusProgress
from curator_operator.reconcile.observed import ConditionSeen, JobSeen
from tests.unit.operator.reconcile.seen import (
    head,
    job,
    look,
    pipeline,
    running,
    snapshot,
    spec,
    starting,
)


def test_what_holds_a_pipeline_up_is_one_word_for_kubectl_get() -> None:
    slow = snapshot(bottleneck=Bottleneck(stage="embed", reason="busy 98 %"))
    runs = look(pipeline(running()), job=job(), snapshot=slow)
    assert runs.status.held_up_by == "embed"
    no_node = head(
        phase="Pending",
        ready=False,
        containers=(),
        conditions=(ConditionSeen("PodScheduled", "False", "Unschedulable", "0/3 nodes"),),
    )
    waits = look(pipeline(starting()), pods=(no_node,))
    assert waits.status.held_up_by == "Unschedulable"
    refused = look(pipeline(work={"stages": []}))
    assert refused.status.held_up_by == "InvalidSpec"


@pytest.mark.parametrize(
    ("spec_fields", "seen"),
    [({}, job("SUCCEEDED", exit_code=0)), ({"suspend": True}, job())],
    ids=["ended", "suspending"],
)
def test_a_rate_and_a_time_of_completion_are_only_shown_while_it_runs(
    spec_fields: dict[str, Any], seen: JobSeen
) -> None:
    before = StatusProgress(
        inputs_done=5, inputs_per_second="2.5", remaining="4m", estimated_completion_time="x"
    )
    work = spec(**spec_fields)
    made = look(pipeline(running(work, progress=before, held_up_by="embed"), work), job=seen)
    progress = made.status.progress
    assert progress is not None
    assert progress.inputs_done == 5
    assert (progress.inputs_per_second, progress.remaining) == (None, None)
    assert (progress.estimated_completion_time, made.status.held_up_by) == (None, None)
