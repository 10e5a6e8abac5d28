"""What the terminal shows when a run has ended: `end_tables`, a pure function of the report."""

from __future__ import annotations

import re
from collections import Counter

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from curator_api.progress import RunReport, StageReport
from curator_executor.sinks.formatting import (
    count_of,
    format_count,
    format_duration,
    format_percent,
    format_rate,
    one_line,
)
from curator_executor.sinks.live_view import STATE_STYLES, failure_line
from curator_executor.sinks.verdict import main_bottleneck

_NARROW_NAME = 12
_WIDE_NAME = 40
# (heading, width, rank: in a narrow terminal the lowest go first)
_FIGURES = (
    ("In", 6, 9),
    ("Out", 6, 8),
    ("Process", 7, 7),
    ("Idle", 4, 4),
    ("Per s", 6, 6),
    ("Retried", 7, 3),
    ("Failed", 6, 5),
    ("Overhead", 8, 1),
    ("Workers", 7, 2),
    ("Died", 4, 0),
)
SHOWN_REASONS = 8


def end_tables(report: RunReport, width: int) -> RenderableType:
    """The summary line, a row per stage, what was dropped and why, and the failures.

    Args:
        report: the run.
        width: columns to fill.
    """
    parts: list[RenderableType] = [Text(""), _summary(report), Text(""), _stages(report, width)]
    dropped = _dropped(report, width)
    if dropped is not None:
        parts += [Text(""), dropped]
    bottleneck = main_bottleneck(report)
    if bottleneck is not None:
        line = Text().append("Bottleneck: ", style="dim")
        line.append(one_line(bottleneck.stage), style="bold")
        line.append(f" — {one_line(bottleneck.reason)}")
        parts += [Text(""), line]
    if report.decisions:
        # An action may end in a worker's number; here the kinds count.
        actions = Counter(re.sub(r"\W*\d+$", "", d.action) for d in report.decisions)
        said = ", ".join(f"{one_line(a, 40)} ×{format_count(n)}" for a, n in actions.most_common())
        parts.append(Text.assemble(("Decisions: ", "dim"), said))
    if report.snapshot.failures:
        parts.append(Text(""))
        parts += [failure_line(failure) for failure in report.snapshot.failures]
    return Group(*parts)


def _summary(report: RunReport) -> Text:
    snapshot = report.snapshot
    line = Text().append(one_line(snapshot.pipeline, 60), style="bold")
    line.append(f" {snapshot.state}", style=STATE_STYLES[snapshot.state])
    line.append(f" in {format_duration(snapshot.elapsed_s)}: ")
    line.append(f"{count_of(snapshot.inputs_done, 'input')} done")
    if snapshot.elapsed_s > 0 and snapshot.inputs_done:
        line.append(f" ({format_rate(snapshot.inputs_done / snapshot.elapsed_s)}/s)")
    line.append(f", {count_of(report.outputs, 'output')}")
    lost = sum(stage.progress.failed for stage in report.stages)
    if lost:
        line.append(f", {count_of(lost, 'task')} failed", style="bold red")
    return line


def idle_percent(stage: StageReport) -> float | None:
    """Share of its workers' time that a stage waited, or None if it had none."""
    spent = stage.process_s + stage.idle_s + stage.overhead_s
    return 100 * stage.idle_s / spent if spent > 0 else None


def shares_workers(stage: StageReport) -> bool:
    """Whether the stage ran in workers that count as another stage's."""
    return bool(stage.progress.fused_with) and stage.workers_started == 0


def _cells(stage: StageReport, elapsed_s: float) -> dict[str, Text]:
    progress = stage.progress
    idle = idle_percent(stage)
    return {
        "In": Text(format_count(progress.done + progress.failed)),
        "Out": Text(format_count(progress.emitted)),
        "Process": Text(format_duration(stage.process_s)),
        "Idle": Text("" if idle is None else format_percent(idle)),
        "Per s": Text(format_rate(progress.done / elapsed_s) if elapsed_s > 0 else ""),
        "Retried": Text(format_count(progress.retried), "yellow" if progress.retried else "dim"),
        "Failed": Text(format_count(progress.failed), "bold red" if progress.failed else "dim"),
        "Overhead": Text(format_duration(stage.overhead_s)),
        "Workers": Text("shared" if shares_workers(stage) else format_count(stage.workers_started)),
        "Died": Text(format_count(stage.workers_died), "red" if stage.workers_died else "dim"),
    }


def _stages(report: RunReport, width: int) -> Table:
    wanted = min(_WIDE_NAME, max([len("Stage"), *(len(s.progress.name) for s in report.stages)]))
    figures = list(_FIGURES)
    while figures and min(wanted, _NARROW_NAME) + sum(f[1] + 2 for f in figures) > width:
        figures.remove(min(figures, key=lambda figure: figure[2]))
    name_width = min(wanted, max(_NARROW_NAME, width - sum(f[1] + 2 for f in figures)))
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("Stage", width=name_width, no_wrap=True, overflow="ellipsis")
    for heading, cells, _ in figures:
        table.add_column(heading, width=cells, justify="right", no_wrap=True)
    for stage in report.stages:
        cells_by_heading = _cells(stage, report.snapshot.elapsed_s)
        name = Text(one_line(stage.progress.name, 80))
        table.add_row(name, *(cells_by_heading[heading] for heading, _, _ in figures))
    return table


def _dropped(report: RunReport, width: int) -> Table | None:
    """Documents dropped, by stage and reason, or None if no stage spoke of any."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("Dropped by", max_width=24, no_wrap=True, overflow="ellipsis")
    table.add_column("Reason", max_width=max(16, width - 50), no_wrap=True, overflow="ellipsis")
    table.add_column("Documents", justify="right", no_wrap=True)
    table.add_column("Share", justify="right", no_wrap=True)
    for stage in report.stages:
        total = stage.kept + sum(stage.dropped.values())
        reasons = sorted(stage.dropped.items(), key=lambda item: (-item[1], item[0]))
        name = one_line(stage.progress.name, 60)
        for position, (reason, count) in enumerate(reasons[:SHOWN_REASONS]):
            table.add_row(
                Text(name if position == 0 else ""),
                Text(one_line(reason, 80)),
                format_count(count),
                format_percent(100 * count / total),
            )
        rest = sum(count for _, count in reasons[SHOWN_REASONS:])
        if rest:
            more = f"{len(reasons) - SHOWN_REASONS} other reasons"
            table.add_row(
                "", Text(more, "dim"), format_count(rest), format_percent(100 * rest / total)
            )
    return table if table.row_count else None
