"""What a scrape sees of a snapshot."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from curator_executor.sinks.prometheus import metrics_text
from tests.unit.sinks.runs import SLOW, snapshot

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "reference" / "metrics.md"


def samples(text: bytes) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Value by name and labels, without the pipeline's."""
    found = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            assert sample.labels["pipeline"] == "text-pipeline"
            rest = {k: v for k, v in sample.labels.items() if k != "pipeline"}
            found[(sample.name, frozenset(rest.items()))] = sample.value
    return found


def of(text: bytes, name: str, **labels: str) -> float | None:
    return samples(text).get((name, frozenset(labels.items())))


def test_stage_figures_are_there_by_stage() -> None:
    shot = snapshot(0.4)
    text = metrics_text(shot)
    stage = next(s for s in shot.stages if s.name == SLOW)
    assert of(text, "curator_stage_tasks_done_total", stage=SLOW) == stage.done
    assert of(text, "curator_stage_tasks_queued", stage=SLOW) == stage.queued
    assert of(text, "curator_stage_tasks_running", stage=SLOW) == 2
    assert of(text, "curator_stage_workers", stage=SLOW, state="ready") == 4
    assert of(text, "curator_stage_workers_wanted", stage=SLOW) == 4
    assert of(text, "curator_stage_busy_ratio", stage=SLOW) == 0.98
    assert of(text, "curator_stage_bottleneck", stage=SLOW) == 1
    assert of(text, "curator_stage_bottleneck", stage="writer") == 0
    assert of(text, "curator_stage_tasks_failed_total", stage="heuristics") == 3


def test_run_figures_are_there() -> None:
    text = metrics_text(snapshot(0.4, eta_s=90.0))
    assert of(text, "curator_run_info", run_id="r1") == 1
    assert of(text, "curator_run_state", state="Running") == 1
    assert of(text, "curator_run_state", state="Failed") == 0
    assert of(text, "curator_run_inputs_done_total") == 800
    assert of(text, "curator_run_inputs") == 2000
    assert of(text, "curator_run_completion_ratio") == 0.4
    assert of(text, "curator_run_eta_seconds") == 90.0
    assert of(text, "curator_run_failures_total", stage="heuristics", error="ValueError") == 3


def test_what_is_not_known_yet_is_absent() -> None:
    text = metrics_text(snapshot(0.0, inputs_total=None, percent=None, eta_s=None))
    for name in ("curator_run_inputs", "curator_run_completion_ratio", "curator_run_eta_seconds"):
        assert of(text, name) is None


def test_labels_take_any_text() -> None:
    stage = snapshot(0.4).stages[0].model_copy(update={"name": 'a"b\\c\nd\ud800'})
    text = metrics_text(snapshot(0.4, stages=[stage]))
    assert of(text, "curator_stage_tasks_done_total", stage='a"b\\c\nd?') == stage.done


def test_nothing_before_the_first_snapshot() -> None:
    assert metrics_text(None) == b""


def test_every_metric_is_documented() -> None:
    exposed = metrics_text(snapshot(0.4, eta_s=1.0)).decode()
    names = set(re.findall(r"^# TYPE (\S+)", exposed, re.MULTILINE))
    text = DOCUMENT.read_text()
    assert names
    assert {name for name in names if f"`{name}" not in text} == set()
