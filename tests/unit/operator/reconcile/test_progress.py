"""Progress in the status: rounded, never going back, never wobbling, never too large."""

from __future__ import annotations

import json
from typing import Any

import pytest

from curator_api.progress import Bottleneck, FailureSummary, StageProgress, WorkerCounts
from curator_api.times import seconds
from curator_api.v1alpha1.status import PipelineStatus
from curator_operator.reconcile.fit import MOST_BYTES, size_bytes
from curator_operator.reconcile.times import stamp
from tests.unit.operator.reconcile.seen import (
    NOW,
    conditions,
    job,
    look,
    pipeline,
    running,
    said,
    snapshot,
    spec,
)


def follow(status: PipelineStatus, at: float = NOW, **fields: Any) -> PipelineStatus:
    """The status after one more poll."""
    return look(pipeline(status), now=at, job=job(), snapshot=snapshot(at, **fields)).status


def test_a_snapshot_becomes_what_a_person_reads() -> None:
    held = Bottleneck(stage="embed", reason="busy 98 %, 120 tasks queued")
    status = follow(running(), bottleneck=held)
    assert status.progress is not None
    assert status.progress.model_dump(by_alias=True, exclude={"summary"}) == {
        "inputsDone": 812,
        "inputsTotal": 2000,
        "percent": 40,
        "inputsPerSecond": "13.1",
        "estimatedCompletionTime": stamp(NOW + 90),
        "remaining": "1m30s",
        "bottleneck": {"stage": "embed", "reason": "busy 98 %, 120 tasks queued"},
    }
    assert status.stages[0].model_dump(by_alias=True) == {
        "name": "read",
        "workers": {"ready": 3, "starting": 1, "wanted": 4},
        "queued": 120,
        "running": 8,
        "done": 804,
        "failed": 0,
        "dropped": 0,
        "itemsPerSecond": "12.9",
        "secondsPerTask": "0.29",
        "busyPercent": 98,
        "gpus": None,
    }


def test_gpus_of_a_stage_are_what_its_ready_workers_hold() -> None:
    stages = [{"name": "read", "class": "x.Y", "resources": {"gpus": 0.25}}]
    group = {**spec()["cluster"]["workerGroups"][0], "accelerator": {"count": 1}}
    work = spec(stages=stages, cluster={"workerGroups": [group]})
    made = look(pipeline(running(work), work), job=job(), snapshot=snapshot())
    assert made.status.stages[0].gpus == "0.75"


def test_differences_that_nobody_sees_write_nothing() -> None:
    first = follow(running())
    stage = snapshot().snapshot.stages[0]
    almost = stage.model_copy(
        update={"items_per_second": 12.91, "busy_percent": 97.8, "queued_bytes": 5}
    )
    later = follow(
        first, NOW + 1, stages=[almost], inputs_per_second=13.09, eta_s=91.0, elapsed_s=31
    )
    assert later.model_copy(update={"progress": first.progress}) == first
    assert later.progress is not None
    assert first.progress is not None
    assert later.progress.estimated_completion_time == first.progress.estimated_completion_time


def test_inputs_and_percent_never_go_back_within_an_attempt() -> None:
    first = follow(running(), inputs_done=900, percent=45.0)
    later = follow(first, NOW + 6, inputs_done=850, percent=42.0)
    assert later.progress is not None
    assert (later.progress.inputs_done, later.progress.percent) == (900, 45)


def test_there_is_no_percent_until_the_total_is_known_and_no_hundred_before_the_end() -> None:
    early = follow(running(), inputs_total=None, percent=None).progress
    late = follow(running(), inputs_done=1999, percent=99.95).progress
    assert early is not None
    assert late is not None
    assert (early.percent, late.percent) == (None, 99)


def test_the_estimate_stays_while_the_drivers_own_wobbles() -> None:
    """Around 30 minutes, by up to 90 seconds either way, over ten minutes of polls."""
    status = running()
    shown = set()
    for poll in range(100):
        at = NOW + 6.0 * poll
        wobble = (-90, 40, 90, -30)[poll % 4]
        status = follow(status, at, eta_s=1800 + NOW - at + wobble)
        assert status.progress is not None
        shown.add(status.progress.estimated_completion_time)
    assert len(shown) <= 2


def test_an_estimate_that_is_really_another_is_shown_at_once() -> None:
    first = follow(running(), eta_s=1800.0)
    later = follow(first, NOW + 6, eta_s=3600.0)
    assert later.progress is not None
    at = seconds(later.progress.estimated_completion_time)
    assert at is not None
    assert abs(at - (NOW + 3606)) <= 60


def test_an_impossible_estimate_is_none() -> None:
    for eta_s in (float("inf"), float("nan"), -5.0, 1e15):
        progress = follow(running(), eta_s=eta_s).progress
        assert progress is not None
        assert progress.estimated_completion_time is None


def test_last_progress_is_when_a_task_finished_not_when_somebody_looked() -> None:
    first = follow(running())
    same = follow(first, NOW + 60, elapsed_s=90.0)
    moved = follow(same, NOW + 66, inputs_done=813)
    times = [one.last_progress_time for one in (first, same, moved)]
    assert times == [stamp(NOW), stamp(NOW), stamp(NOW + 66)]


def test_a_run_where_nothing_finishes_stalls_and_the_stage_is_named() -> None:
    held = Bottleneck(stage="read", reason="busy")
    first = follow(running(), bottleneck=held)
    later = look(
        pipeline(first),
        now=NOW + 601,
        job=job(),
        snapshot=snapshot(NOW + 600, bottleneck=held, elapsed_s=700.0),
    )
    assert conditions(later)["Stalled"] == ("True", "NoTaskFinished")
    assert "stage read holds 8 tasks and 3 workers" in said(later, "Stalled")
    moved = follow(later.status, NOW + 606, inputs_done=900)
    assert next(one for one in moved.conditions if one.type == "Stalled").status == "False"


def test_a_stall_is_looked_for_when_it_may_begin() -> None:
    first = follow(running())
    again = look(pipeline(first), job=job(), snapshot=snapshot(NOW, elapsed_s=700.0))
    assert again.look_again_s == 120, "the driver may fall silent before"
    later = snapshot(NOW + 590, elapsed_s=700.0)
    again = look(pipeline(first), now=NOW + 590, job=job(), snapshot=later)
    assert again.look_again_s == 10


def test_a_new_attempt_is_not_stalled_because_the_last_one_was() -> None:
    old = running(last_progress_time=stamp(NOW - 5000))
    made = look(
        pipeline(old), job=job(), snapshot=snapshot(inputs_done=0, stages=[], elapsed_s=20.0)
    )
    assert conditions(made)["Stalled"] == ("False", "TasksFinish")


def test_a_driver_that_says_nothing_is_neither_stalled_nor_fine() -> None:
    made = look(pipeline(running()), job=job())
    assert conditions(made)["Stalled"] == ("Unknown", "NoProgressReport")
    old = running(active_since=stamp(NOW - 500))
    made = look(pipeline(old), job=job(), snapshot=snapshot(NOW - 130))
    assert conditions(made)["Stalled"] == ("Unknown", "NoProgressReport")


def failure(number: int = 0, **fields: Any) -> FailureSummary:
    whole: dict[str, Any] = {
        "stage": "embed",
        "error": f"ValueError{number}",
        "message": "bad batch",
        "count": 3,
        "task_id": "0_ab12",
        "traceback": "Traceback: secret lines",
        **fields,
    }
    return FailureSummary(**whole)


def test_failures_are_shown_newest_first_without_tracebacks_and_at_most_ten() -> None:
    status = follow(running(), failures=[failure(number) for number in range(12)])
    assert [one.error for one in status.failures] == [f"ValueError{n}" for n in range(11, 1, -1)]
    assert "secret lines" not in status.model_dump_json()


def test_a_failure_that_does_not_recur_keeps_when_it_was_last_seen() -> None:
    first = follow(running(), failures=[failure()])
    same = follow(first, NOW + 60, failures=[failure()])
    more = follow(same, NOW + 66, failures=[failure(count=4)])
    seen = [one.failures[0].last_seen for one in (first, same, more)]
    assert seen == [stamp(NOW), stamp(NOW), stamp(NOW + 66)]


def test_failures_of_an_earlier_attempt_stay_behind_those_of_this_one() -> None:
    first = follow(running(), failures=[failure(1)])
    later = follow(first, NOW + 6, failures=[failure(2)])
    assert [one.error for one in later.failures] == ["ValueError2", "ValueError1"]


@pytest.mark.parametrize(
    "message",
    [
        "cannot open s3://me:hunter2@bucket/x",
        "HTTP 401 for Authorization: Bearer hunter2",
        "env HF_TOKEN=hunter2 is wrong",
        '{"api_key": "hunter2"}',
        "password: hunter2, user: me",
    ],
)
def test_secrets_in_messages_are_hidden(message: str) -> None:
    status = follow(running(), failures=[failure(message=message)])
    assert "hunter2" not in status.model_dump_json()
    assert "hidden" in status.failures[0].message


def worst(stages: int, text: str) -> dict[str, Any]:
    return {
        "stages": [
            StageProgress(
                name=(f"{at:03d}" + text * 128)[:128],
                workers=WorkerCounts(ready=10**6, starting=10**6, wanted=10**6),
                queued=10**12 + at,
                running=10**9,
                done=10**12,
                filtered=10**12,
                failed=10**9 if at == 7 else 0,
                items_per_second=123456.7,
                seconds_per_task=0.123,
                busy_percent=99.9,
            )
            for at in range(stages)
        ],
        "failures": [
            failure(at, message=text * 3000, stage=text * 200, task_id=text * 500)
            for at in range(10)
        ],
        "bottleneck": Bottleneck(stage=("050" + text * 128)[:128], reason=text * 1000),
        "message": text * 3000,
    }


@pytest.mark.parametrize("text", ["a", "é", "<", "\x07", '"', "\U0001d518"])
def test_a_status_fits_with_a_hundred_stages_and_the_worst_of_texts(text: str) -> None:
    status = follow(running(), **worst(100, text))
    assert size_bytes(status) <= MOST_BYTES
    written = json.dumps(status.model_dump(mode="json", by_alias=True, exclude_none=True))
    for one in "<>&":  # as Go's encoder does
        written = written.replace(one, f"\\u{ord(one):04x}")
    assert len(written) <= 32 * 1024
    assert "status is full" in (status.message or "")
    assert status.submission_id
    assert status.head_container_id
    assert len(status.conditions) == 5
    names = [one.name[:3] for one in status.stages]
    assert {"007", "050"} <= set(names), "what fails and what holds others up stays"
    assert names == sorted(names)


def test_a_hundred_stages_with_usual_names_are_all_shown() -> None:
    stages = [
        StageProgress(
            name=f"stage-number-{at}",
            workers=WorkerCounts(ready=4, wanted=4),
            queued=120,
            running=8,
            done=80400,
            items_per_second=13.1,
            seconds_per_task=0.287,
            busy_percent=98.0,
        )
        for at in range(100)
    ]
    status = follow(running(), stages=stages)
    assert len(status.stages) == 100
    assert size_bytes(status) <= MOST_BYTES


def test_what_was_cut_is_said() -> None:
    message = follow(running(), **worst(100, "é")).message or ""
    assert "of 100 stages" in message
    assert "kinds of failures" in message


def test_a_cut_status_is_not_written_again_for_nothing() -> None:
    first = follow(running(), **worst(100, "é"))
    assert follow(first, NOW, **worst(100, "é")) == first


def test_a_stage_that_there_was_no_room_for_does_not_count_as_progress() -> None:
    first = follow(running(), **worst(100, "é"))
    later = follow(first, NOW + 60, elapsed_s=90.0, **worst(100, "é"))
    assert later.last_progress_time == stamp(NOW)


def test_a_running_pipeline_is_written_at_most_ten_times_a_minute() -> None:
    """Polled every six seconds, looked at every second."""
    status, written = running(), 0
    for second in range(60):
        at = NOW + second
        polled = NOW + second // 6 * 6
        seen = snapshot(polled, inputs_done=812 + second // 6, elapsed_s=30.0 + polled - NOW)
        made = look(pipeline(status), now=at, job=job(), snapshot=seen)
        written += made.status != status
        status = made.status
    assert written <= 10


def test_numbers_below_nothing_and_beyond_hundred_are_brought_into_range() -> None:
    odd = StageProgress(name="read", queued=-3, done=-1, busy_percent=250.0, items_per_second=-1.0)
    status = follow(running(), stages=[odd], inputs_done=-5, percent=-3.0)
    assert status.stages[0].busy_percent == 100
    assert status.stages[0].queued == 0
