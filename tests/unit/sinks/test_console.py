"""What a person sees on a terminal, as text."""

from __future__ import annotations

import io
import logging
import sys

import pytest
from rich.console import Console, RenderableType
from rich.text import Text

from curator_api.progress import Bottleneck, ProgressSnapshot, StageProgress, WorkerCounts
from curator_executor.sinks.console import LinesSink, LiveSink, console_sink
from curator_executor.sinks.end_tables import end_tables
from curator_executor.sinks.live_view import live_view
from curator_executor.sinks.log_lines import LogLinesSink
from tests.unit.sinks.runs import STAGES, report, snapshot


def text_of(renderable: RenderableType, width: int) -> str:
    console = Console(record=True, width=width, height=50, file=io.StringIO())
    console.print(renderable)
    return console.export_text()


def lines_of(shot: ProgressSnapshot, width: int = 80, height: int = 24) -> list[str]:
    return [line.rstrip() for line in text_of(live_view(shot, width, height), width).splitlines()]


def test_display_of_eighty_columns_looks_so() -> None:
    assert lines_of(snapshot(0.4)) == [
        "",
        "text-pipeline  Running  1m16s  9 workers  300 MiB held",
        "━━━━━━━━━━━━━━                       40%  800 of 2,000 inputs  10.4/s  ETA 1m56s",
        "Stage           Workers  Queued  Running    Done  Failed  Dropped  Items/s  Busy",
        "file_list             1       0        2     870       0        0     40.0   12%",
        "jsonl_reader          1       1        2     860       0        1     41.0   12%",
        "↳ fix_unicode         1       2        2     850       0        2     42.0   12%",
        "heuristics            1       3        2     840       3        3     43.0   12%",
        "language_id ◂         4   1,152        2     830       0        4     44.0   98%",
        "dedup                 1       5        2     820       0        5     45.0   12%",
        "writer                1       6        2     810       0        6     46.0   12%",
        "Bottleneck: language_id — 98% busy with 1,200 tasks waiting; the others wait fo…",
        "✗ heuristics: ValueError ×3: line 7 has no 'text' field (task 0_12_3)",
    ]


@pytest.mark.parametrize("width", [30, 40, 60, 80, 81, 120, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    assert max(map(len, lines_of(snapshot(0.4), width))) <= width
    assert max(map(len, text_of(end_tables(report(), width), width).splitlines())) <= width


def test_narrow_terminal_keeps_the_figures_that_matter_most() -> None:
    head = next(line for line in lines_of(snapshot(0.4), 40) if line.startswith("Stage"))
    assert head.split() == ["Stage", "Queued", "Done", "Failed"]


@pytest.mark.parametrize("width", range(40, 90, 5))
def test_no_heading_is_cut_beside_short_names(width: int) -> None:
    lines = lines_of(snapshot(0.4, stages=[StageProgress(name="read")]), width)
    (head,) = [line for line in lines if line.startswith("Stage ")]
    assert "…" not in head


def test_a_column_gives_way_before_a_name_is_cut() -> None:
    named = snapshot(0.4, stages=[StageProgress(name="a_name_of_some_length")])
    assert "Dropped" not in lines_of(named, 80)[3]
    assert lines_of(named, 80)[4].startswith("a_name_of_some_length ")
    assert "Dropped" in lines_of(named, 100)[3]


def test_before_there_are_stages_there_is_no_table() -> None:
    assert not any("Workers" in line for line in lines_of(snapshot(0.4, stages=[])))


def test_a_title_of_its_own_stands_in_place_of_the_state() -> None:
    view = live_view(snapshot(0.4), 80, 24, title=Text("clean-web  Queued"))
    assert text_of(view, 80).splitlines()[1].rstrip() == "clean-web  Queued"


def test_unknown_total_shows_no_percentage() -> None:
    shot = snapshot(0.4, inputs_total=None, percent=None, eta_s=None)
    assert "800 inputs done, total not known yet" in lines_of(shot)[2]


def test_short_terminal_drops_stages_and_says_so() -> None:
    lines = lines_of(snapshot(0.4), height=13)
    assert len(lines) <= 12
    assert any(line.startswith("language_id ◂") for line in lines)
    assert "… 4 more" in lines


def test_short_terminal_keeps_the_bottleneck() -> None:
    idle = Bottleneck(stage="file_list", reason="the disk is slow")
    lines = lines_of(snapshot(0.4, bottleneck=idle), height=12)
    assert any(line.startswith("file_list ◂") for line in lines)


def test_workers_that_are_still_wanted_show() -> None:
    stage = StageProgress(name="read", workers=WorkerCounts(ready=1, starting=2, wanted=3))
    row = next(line for line in lines_of(snapshot(0.4, stages=[stage])) if line.startswith("read"))
    assert row.split()[1] == "1/3"


def test_clock_goes_on_between_snapshots() -> None:
    text = text_of(live_view(snapshot(0.4), 80, 24, since_s=3.0), 80)
    assert "Running  1m19s" in text
    assert "ETA 1m53s" in text


def test_markup_in_a_name_is_shown_as_it_is() -> None:
    shot = snapshot(0.4, stages=[StageProgress(name="[red]read[/red]")])
    assert any(line.startswith("[red]read[/red]") for line in lines_of(shot))


def test_end_of_a_run_looks_so_at_eighty_columns() -> None:
    lines = [line.rstrip() for line in text_of(end_tables(report(), 80), 80).splitlines()]
    assert lines == [
        "",
        "text-pipeline Succeeded in 3m12s: 2,000 inputs done (10.4/s), 1,950 outputs, 3",
        "tasks failed",
        "",
        "Stage             In     Out  Process  Idle   Per s  Retried  Failed  Workers",
        "file_list      2,070   2,000      40s   75%    10.8        0       0        1",
        "jsonl_reader   2,060   2,000      41s   74%    10.7        0       0        1",
        "fix_unicode    2,050   2,000      42s   74%    10.7        0       0        1",
        "heuristics     2,043   2,000      43s   73%    10.6        1       3        1",
        "language_id    2,030   2,000   11m40s    3%    10.6        0       0        5",
        "dedup          2,020   2,000      45s   73%    10.5        0       0        1",
        "writer         2,010   2,000      46s   72%    10.5        0       0        1",
        "",
        "Dropped by  Reason              Documents  Share",
        "heuristics  too_short               15.0k     8%",
        "            too few stop words      4,200     2%",
        "            symbols                   800    <1%",
        "dedup       duplicate               30.0k    17%",
        "",
        "Bottleneck: language_id — 98% busy with 1,200 tasks waiting; the others wait for",
        "it",
        "Decisions: start worker ×2, fuse ×1",
        "",
        "✗ heuristics: ValueError ×3: line 7 has no 'text' field (task 0_12_3)",
    ]


def test_run_without_figures_has_an_end_too() -> None:
    bare = report(stages=[], decisions=[], dead_letters=[], history=[], outputs=0)
    assert "2,000 inputs done (10.4/s), 0 outputs" in text_of(end_tables(bare, 80), 80)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def terminal_here(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal as both streams; called in the test, since pytest sets them between its phases."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", screen)
    return screen


def live_sink(screen: Terminal) -> LiveSink:
    console = Console(file=screen, force_terminal=True, width=80, height=24, color_system=None)
    return LiveSink(console, now=lambda: 0.0, auto_refresh=False)


def test_what_a_stage_prints_stays_above_the_display(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_here(monkeypatch)
    sink = live_sink(terminal)
    sink.publish(snapshot(0.4))
    print("a stage says hello")
    written = terminal.getvalue()
    sink.stop()
    # The display is drawn again below the line.
    assert written.index("a stage says hello") < written.rindex("text-pipeline  Running")


def test_log_handler_of_the_terminal_writes_above_the_display(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = terminal_here(monkeypatch)
    handler = logging.StreamHandler(terminal)
    logger = logging.getLogger("test_log_handler_of_the_terminal")
    logger.addHandler(handler)
    sink = live_sink(terminal)
    sink.publish(snapshot(0.4))
    logger.warning("a library says hello")
    written = terminal.getvalue()
    sink.stop()
    logger.removeHandler(handler)
    assert written.index("a library says hello") < written.rindex("text-pipeline  Running")
    assert handler.stream is terminal


def test_standard_streams_come_back_after_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_here(monkeypatch)
    sink = live_sink(terminal)
    sink.publish(snapshot(0.4))
    assert sys.stdout is not terminal
    sink.close(report())
    assert sys.stdout is terminal
    assert sys.stderr is terminal
    assert "Succeeded in 3m12s" in terminal.getvalue()


def test_standard_error_in_a_file_stays_there(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_here(monkeypatch)
    elsewhere = io.StringIO()
    monkeypatch.setattr(sys, "stderr", elsewhere)
    sink = live_sink(terminal)
    sink.publish(snapshot(0.4))
    print("an error", file=sys.stderr)
    sink.stop()
    assert elsewhere.getvalue() == "an error\n"


def test_terminal_gets_the_display_and_a_pipe_gets_lines() -> None:
    there = Console(file=Terminal(), force_terminal=True, _environ={"TERM": "xterm"})
    dumb = Console(file=Terminal(), force_terminal=True, _environ={"TERM": "dumb"})
    assert isinstance(console_sink(there, 60), LiveSink)
    assert isinstance(console_sink(dumb, 60), LinesSink)
    assert isinstance(console_sink(Console(file=io.StringIO()), 60), LinesSink)


def test_one_line_is_logged_per_interval(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "curator_executor.progress")
    sink = LogLinesSink(60)
    for elapsed_s in (0.0, 30.0, 59.9, 60.0, 61.0, 120.0):
        sink.publish(snapshot(0.4, elapsed_s=elapsed_s))
    assert [record.message.split("elapsed=")[1].split()[0] for record in caplog.records] == [
        "0s",
        "1m00s",
        "2m00s",
    ]


def test_change_of_state_is_logged_at_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "curator_executor.progress")
    sink = LogLinesSink(60)
    sink.publish(snapshot(0.0, state="Starting", elapsed_s=0.0))
    sink.publish(snapshot(0.0, state="Running", elapsed_s=1.0))
    sink.publish(snapshot(0.5, state="Running", elapsed_s=2.0))
    sink.close(report())
    assert [record.message.split("state=")[1].split()[0] for record in caplog.records] == [
        "Starting",
        "Running",
        "Succeeded",
    ]


def test_end_that_was_logged_is_not_logged_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "curator_executor.progress")
    sink = LogLinesSink(60)
    sink.publish(report().snapshot)
    sink.close(report())
    assert len(caplog.records) == 1


def test_log_line_has_every_stage(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "curator_executor.progress")
    LogLinesSink(60).publish(snapshot(0.4))
    line = caplog.records[0].message
    assert line.startswith(
        "progress pipeline=text-pipeline state=Running elapsed=1m17s inputs=800/2000 percent=40% "
        "inputs_per_s=10.4 eta=1m55s failed=3 bottleneck=language_id stages=[file_list workers=1 "
    )
    assert all(f"{name} workers=" in line for name in STAGES)
    assert "heuristics workers=1 queued=3 running=2 done=840 failed=3 per_s=43.0 busy=12%" in line


def test_pipe_gets_plain_tables_at_the_end() -> None:
    out = io.StringIO()
    LinesSink(Console(file=out, width=80), 60).close(report())
    assert "\x1b" not in out.getvalue()
    assert "language_id    2,030" in out.getvalue()
