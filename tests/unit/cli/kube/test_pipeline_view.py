"""What is shown of a status, and what its end comes to."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from curator_api.progress import Bottleneck, StageProgress, WorkerCounts
from curator_executor.cli.kube.pipeline_view import display_of, line_of, view_of
from tests.unit.cli.kube.resources import NOW, condition, ended, resource, running


def shown(obj: Any, width: int = 80, height: int = 24, since_s: float = 0.0) -> list[str]:
    console = Console(record=True, width=width, height=height, file=io.StringIO())
    console.print(display_of(view_of(obj, NOW), width, height, since_s))
    return [line.rstrip() for line in console.export_text().splitlines()]


def test_a_pipeline_that_runs_looks_like_a_run_on_this_machine() -> None:
    assert shown(resource(running(attempt=2))) == [
        "",
        "clean-web  Running  1m00s  attempt 2",
        "━━━━━╸                               16%  165 of 1,000 inputs  2.50/s  ETA 5m30s",
        "Stage         Workers  Queued  Running    Done  Failed  Dropped  Items/s  Busy",
        "read              2/3       4        1     165       0        7     2.50   90%",
        "embed ◂           2/3       4        1      82       0        7     2.50   90%",
        "Bottleneck: embed — busy 98 %",
        "attempt 1 runs",
    ]


def test_the_clock_goes_on_between_two_changes_and_stops_at_the_end() -> None:
    assert "1m07s" in shown(resource(running()), since_s=7.0)[1]
    assert "ETA 5m23s" in shown(resource(running()), since_s=7.0)[2]
    over = resource(ended("Succeeded", "Complete", "Succeeded"))
    assert shown(over, since_s=7.0)[1] == "clean-web  Succeeded  45s"


def test_the_status_becomes_the_figures_of_the_display() -> None:
    snapshot = view_of(resource(running()), NOW).snapshot
    assert (snapshot.state, snapshot.elapsed_s, snapshot.eta_s) == ("Running", 60.0, 330.0)
    assert (snapshot.inputs_done, snapshot.inputs_total, snapshot.percent) == (165, 1000, 16.0)
    assert snapshot.bottleneck == Bottleneck(stage="embed", reason="busy 98 %")
    assert snapshot.stages[0] == StageProgress(
        name="read",
        workers=WorkerCounts(ready=2, starting=0, wanted=3),
        queued=4,
        running=1,
        done=165,
        filtered=7,
        items_per_second=2.5,
        busy_percent=90.0,
    )


@pytest.mark.parametrize("phase", ["Pending", "Queued", "Suspended", "Succeeded", "Failed"])
def test_where_nothing_runs_a_stage_has_what_is_done_and_no_workers(phase: str) -> None:
    snapshot = view_of(resource(running(phase=phase)), NOW).snapshot
    assert snapshot.stages[0] == StageProgress(name="read", done=165, filtered=7)


def test_failures_are_shown_with_the_newest_last_as_the_display_shows_the_last_ones() -> None:
    kinds = [{"stage": "read", "error": f"E{number}", "message": "m"} for number in range(5)]
    snapshot = view_of(resource(running(failures=kinds)), NOW).snapshot
    assert [one.error for one in snapshot.failures] == ["E4", "E3", "E2", "E1", "E0"]


def test_what_it_waits_for_is_said_once_with_reason_and_message() -> None:
    said = "head pod x: no node takes it: 0/3 nodes are available"
    status = {
        "phase": "Starting",
        "attempt": 1,
        "message": said,
        "conditions": [condition("ClusterReady", "False", "Unschedulable", said)],
    }
    view = view_of(resource(status), NOW)
    assert view.notes == (f"waits: Unschedulable: {said}",)
    assert view.exit_code is None


def test_a_long_reason_is_shown_whole_also_on_a_narrow_terminal() -> None:
    said = "no node takes it: " + "insufficient nvidia.com/gpu " * 8 + "END"
    status = {
        "phase": "Starting",
        "conditions": [condition("ClusterReady", "False", "Unschedulable", said)],
    }
    assert "END" in " ".join(shown(resource(status), width=60))


def test_a_pipeline_that_stalls_says_so_beside_its_figures() -> None:
    stalled = condition("Stalled", "True", "NoTaskFinished", "embed holds 3 tasks")
    notes = view_of(resource(running(conditions=[stalled])), NOW).notes
    assert notes == ("stalled: NoTaskFinished: embed holds 3 tasks", "attempt 1 runs")


def test_workers_that_cannot_start_are_told_while_the_head_is_ready() -> None:
    said = "2 workers cannot start, of group h100: no node takes it"
    ready = condition("ClusterReady", "True", "HeadReady", said)
    assert said in view_of(resource(running(conditions=[ready])), NOW).notes


def test_without_a_status_it_waits_for_the_operator() -> None:
    view = view_of(resource(), NOW)
    assert view.notes[0].startswith("waits for the operator; if this stays so, see whether")
    assert shown(resource())[1] == "clean-web  New"


def test_a_pipeline_that_is_being_deleted_says_so() -> None:
    obj = resource(running(phase="Stopping"), deletionTimestamp="2023-11-14T22:13:00Z")
    assert view_of(obj, NOW).notes[0] == "it is being deleted"


@pytest.mark.parametrize(
    ("phase", "kind", "reason", "code"),
    [
        ("Succeeded", "Complete", "Succeeded", 0),
        ("Succeeded", "Complete", "DeadLetters", 3),
        ("Failed", "Failed", "StageFailed", 1),
        ("Failed", "Failed", "BackoffLimitExceeded", 1),
        ("Failed", "Failed", "DeadlineExceeded", 1),
        ("Failed", "Failed", "Cancelled", 1),
        ("Failed", "Failed", "ManifestRefused", 2),
        ("Failed", "Failed", "InvalidSpec", 2),
    ],
)
def test_exit_code_of_each_end(phase: str, kind: str, reason: str, code: int) -> None:
    assert view_of(resource(ended(phase, kind, reason)), NOW).exit_code == code


@pytest.mark.parametrize(
    "phase",
    ["Pending", "Queued", "Starting", "Running", "Suspending", "Suspended", "Stopping"],
)
def test_no_other_phase_is_an_end(phase: str) -> None:
    assert view_of(resource({"phase": phase}), NOW).exit_code is None


def test_a_spec_that_is_refused_is_an_end_as_nothing_comes_of_it() -> None:
    refused = condition("Accepted", "False", "InvalidSpec", "spec.cluster.rayVersion: old")
    view = view_of(resource({"phase": "Pending", "conditions": [refused]}), NOW)
    assert view.exit_code == 2
    assert view.notes == ("refused: InvalidSpec: spec.cluster.rayVersion: old",)


def test_a_refusal_of_the_spec_before_it_was_edited_is_no_end() -> None:
    refused = condition("Accepted", "False", "InvalidSpec", "old", generation=1)
    obj = resource({"phase": "Pending", "conditions": [refused]}, generation=2)
    assert view_of(obj, NOW).exit_code is None


def test_a_line_has_phase_attempt_figures_and_what_is_to_say() -> None:
    assert line_of(view_of(resource(running()), NOW)) == (
        "progress pipeline=clean-web phase=Running attempt=1 elapsed=1m00s inputs=165/1000 "
        "percent=16% inputs_per_s=2.50 eta=5m30s failed=0 bottleneck=embed "
        "stages=[read workers=2/3 queued=4 running=1 done=165 per_s=2.50 busy=90%; "
        "embed workers=2/3 queued=4 running=1 done=82 per_s=2.50 busy=90%] — attempt 1 runs"
    )


def test_views_that_differ_by_the_clock_alone_look_the_same() -> None:
    obj = resource(running())
    view = view_of(obj, NOW)
    assert view_of(obj, NOW + 60).same_as(view)
    assert not view_of(resource(running(166)), NOW).same_as(view)
    assert not view.same_as(None)


def test_a_status_of_nonsense_is_shown_all_the_same() -> None:
    odd = {"phase": "Dancing", "startTime": "soon", "progress": {"inputsPerSecond": "fast"}}
    assert shown(resource(odd))[1] == "clean-web  New"


def test_control_characters_of_a_message_do_not_reach_the_terminal() -> None:
    obj = resource(running(message="\x1b[2J gone"))
    assert not any("\x1b" in line for line in [*shown(obj), line_of(view_of(obj, NOW))])
