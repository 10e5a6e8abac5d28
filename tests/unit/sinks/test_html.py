"""The page has the figures, escapes what is foreign and needs nothing from elsewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from curator_api.progress import (
    Bottleneck,
    DeadLetter,
    ProgressSnapshot,
    StageProgress,
    StageReport,
)
from curator_executor.runtime.settings import RunSettings
from curator_executor.sinks.charts import Span, chart, round_up, spans
from curator_executor.sinks.formatting import format_rate
from curator_executor.sinks.html import HtmlReportSink, render_report
from curator_executor.sinks.verdict import main_bottleneck
from tests.unit.sinks.runs import STAGES, report, snapshot

HOSTILE = "<script>alert(1)</script>\"'&"


class Page(HTMLParser):
    """Tags and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.words.append(" ".join(data.split()))

    @property
    def text(self) -> str:
        return " ".join(word for word in self.words if word)


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render_report(report(), RunSettings(), ["dedup sees everything first"]))


@pytest.mark.parametrize(
    "figure",
    [
        "Duration 3m12s",
        "Inputs done 2,000 of 2,000",
        "Throughput 10.4/s",
        "Outputs 1,950",
        "Documents kept 150k of 200k seen",
        "Documents dropped 50.0k 25% of those seen",
        "Failed tasks 3 1 tried again",
        "language_id : 98% busy with 1,200 tasks waiting",
        "language_id 100% of the time",
        "11m40s in process, 4.0s overhead, 20s idle",
        "5 started, 1 died",
        "in one worker with jsonl_reader",
        "kept 180k of 200k documents (90%)",
        "too few stop words 4,200 2%",
        "A long and sound paragraph about rivers.",
        "1 task (0_12_3), tried 2 times, last on node node-a",
        "bottleneck: 98% busy, 1,100 queued",
        "cpu_allocation_percentage 0.95",
        "dedup sees everything first",
        "peak 1,200",
        "2023-11-14 22:13:20 UTC to 2023-11-14 22:16:32 UTC",
    ],
)
def test_page_has_the_figure(page: Page, figure: str) -> None:
    assert figure in page.text


def test_every_stage_has_three_charts(page: Page) -> None:
    labels = [value or "" for name, value in page.attributes if name == "aria-label"]
    over_time = [label for label in labels if "over time, peak" in label]
    assert len(over_time) == 3 * len(STAGES) + 1


def test_page_needs_nothing_from_elsewhere() -> None:
    text = render_report(report(), RunSettings())
    assert re.findall(r"""(?:src|href|action)\s*=|url\(|@import|https?://""", text) == []
    assert "default-src 'none'" in text


def test_foreign_text_is_escaped_everywhere() -> None:
    stage = StageReport(
        progress=StageProgress(name=HOSTILE, fused_with=[HOSTILE]),
        dropped={HOSTILE: 2},
        kept_samples=[HOSTILE],
        dropped_samples=[(HOSTILE, HOSTILE)],
        metrics={HOSTILE: 1.0},
    )
    letter = DeadLetter(
        stage=HOSTILE,
        task_ids=[HOSTILE],
        error=HOSTILE,
        message=HOSTILE,
        traceback=HOSTILE,
        attempts=1,
        node=HOSTILE,
        time=0.0,
    )
    end = report(
        snapshot=snapshot(1.0, state="Failed", pipeline=HOSTILE, run_id=HOSTILE),
        stages=[stage],
        dead_letters=[letter],
        error=HOSTILE,
    )
    text = render_report(end, RunSettings(), [HOSTILE])
    page = Page(text)
    assert "script" not in page.tags
    assert "<script" not in text
    # Stage, reason, samples, dead letter and error all show it, as text.
    assert page.text.count("<script>alert(1)</script>") >= 12
    assert [name for name, _ in page.attributes if name.startswith("on")] == []


def test_failed_run_shows_what_ended_it() -> None:
    end = report(snapshot=snapshot(0.4, state="Failed"), error="stage heuristics failed: line 7")
    assert "What ended the run stage heuristics failed: line 7" in Page(render_report(end)).text


def test_bottleneck_is_what_held_the_run_up_longest() -> None:
    def at(elapsed_s: float, stage: str, reason: str) -> ProgressSnapshot:
        return snapshot(0.5, elapsed_s=elapsed_s, bottleneck=Bottleneck(stage=stage, reason=reason))

    history = [
        at(1, "writer", "a"),
        at(9, "dedup", "b"),
        at(10, "dedup", "c"),
        at(11, "writer", "d"),
    ]
    end = snapshot(1.0, elapsed_s=12.0, bottleneck=None)
    assert main_bottleneck(report(history=history, snapshot=end)) == Bottleneck(
        stage="dedup", reason="c"
    )
    assert "dedup : c" in Page(render_report(report(history=history, snapshot=end))).text
    assert main_bottleneck(report(history=[], snapshot=end)) is None


def test_run_that_ended_before_it_began_has_a_page() -> None:
    start = snapshot(0.0, state="Failed", stages=[], bottleneck=None, failures=[], elapsed_s=0.0)
    end = report(snapshot=start, stages=[], decisions=[], dead_letters=[], history=[])
    page = Page(render_report(end))
    assert "Duration 0s" in page.text
    assert "svg" not in page.tags


def test_page_is_written_whole_and_alone(tmp_path: Path) -> None:
    sink = HtmlReportSink(tmp_path / "report.html")
    sink.publish(snapshot(0.1))
    assert list(tmp_path.iterdir()) == []
    sink.close(report(error="a lone surrogate: \ud800"))
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert "a lone surrogate: ?" in (tmp_path / "report.html").read_text()


def test_place_that_cannot_be_written_is_named_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as refused:
        HtmlReportSink(tmp_path / "missing" / "report.html")
    assert refused.value.filename == str(tmp_path / "missing" / "report.html")
    with pytest.raises(IsADirectoryError):
        HtmlReportSink(tmp_path)


def test_chart_fills_its_box() -> None:
    drawn = chart([0.0, 5.0, 10.0], [0.0, 40.0, 20.0], format_rate)
    assert drawn.line == "0.00,100.00 50.00,0.00 100.00,50.00"
    assert drawn.area == "0.00,100 0.00,100.00 50.00,0.00 100.00,50.00 100.00,100"
    assert drawn.y_ticks == ["40.0", "20.0", "0"]
    assert drawn.x_ticks == ["0s", "2.5s", "5.0s", "7.5s", "10s"]


def test_workers_are_drawn_as_steps() -> None:
    drawn = chart([0.0, 10.0], [0.0, 1.0], format_rate, top=1.0, is_step=True)
    assert drawn.line == "0.00,100.00 100.00,100.00 100.00,0.00"


@pytest.mark.parametrize(
    ("value", "edge"), [(0, 1), (0.7, 0.8), (1, 1), (43, 50), (1_152, 1_500), (9_001, 10_000)]
)
def test_upper_edge_is_a_round_number(value: float, edge: float) -> None:
    assert round_up(value) == pytest.approx(edge)


def test_bottlenecks_are_joined_while_they_last() -> None:
    assert spans([0.0, 2.0, 4.0, 10.0], ["", "a", "a", "b"]) == [
        Span("a", 0.0, 40.0, "a: 0s to 4.0s"),
        Span("b", 40.0, 60.0, "b: 4.0s to 10s"),
    ]


def test_documents_seen_are_those_of_the_stage_that_saw_the_most() -> None:
    """A stage that says only what it drops has not seen only what it dropped."""
    stages = [
        stage.model_copy(update={"kept": kept, "dropped": dropped})
        for stage, (kept, dropped) in zip(
            report().stages, [(0, {"empty": 3}), (60, {"short": 40}), (0, {})], strict=False
        )
    ]
    text = Page(render_report(report(stages=stages), RunSettings(), [])).text
    assert "Documents kept 60 of 100 seen" in text
    assert "Documents dropped 43 43% of those seen" in text
