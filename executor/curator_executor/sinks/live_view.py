"""What the live display shows of one snapshot: `live_view`, a pure function of its arguments.

Called by `LiveSink` at every refresh. The overall bar comes first and the stages after it, so
that a terminal with too few rows loses stages, never the summary.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from curator_api.progress import FailureSummary, ProgressSnapshot, StageProgress
from curator_executor.sinks.formatting import (
    count_of,
    format_bytes,
    format_count,
    format_duration,
    format_percent,
    format_rate,
    one_line,
)

STATE_STYLES = {
    "Starting": "cyan",
    "Running": "bold green",
    "Draining": "yellow",
    "Succeeded": "bold green",
    "Failed": "bold red",
    "Cancelled": "yellow",
}
SHOWN_FAILURES = 3
# Title, bar, table head, bottleneck, message, failures and one blank line between display and log.
_ROWS_BESIDE_STAGES = 6 + SHOWN_FAILURES
_MIN_BAR_WIDTH = 16
_MIN_NAME_WIDTH = 12
_MAX_NAME_WIDTH = 40
# Rank of a column that is left out before a name is cut.
_WITH_ROOM = 0


@dataclass(frozen=True)
class _Column:
    """A column of figures.

    Attributes:
        title: its heading.
        width: cells.
        keep: rank; in a narrow terminal the lowest go first.
        value: the figure and its style.
    """

    title: str
    width: int
    keep: int
    value: Callable[[StageProgress], tuple[str, str]]


def _workers(stage: StageProgress) -> tuple[str, str]:
    counts = stage.workers
    if counts.ready == counts.wanted:
        return format_count(counts.ready), ""
    return f"{format_count(counts.ready)}/{format_count(counts.wanted)}", "cyan"


def _failed(stage: StageProgress) -> tuple[str, str]:
    return (format_count(stage.failed), "bold red") if stage.failed else ("0", "dim")


def _plain(count: float, text: str) -> tuple[str, str]:
    return text, "" if count else "dim"


_COLUMNS = (
    _Column("Workers", 7, 5, _workers),
    _Column("Queued", 6, 7, lambda s: _plain(s.queued, format_count(s.queued))),
    _Column("Running", 7, 3, lambda s: _plain(s.running, format_count(s.running))),
    _Column("Done", 6, 8, lambda s: _plain(s.done, format_count(s.done))),
    _Column("Failed", 6, 6, _failed),
    _Column("Dropped", 7, _WITH_ROOM, lambda s: _plain(s.filtered, format_count(s.filtered))),
    _Column("Items/s", 7, 4, lambda s: _plain(s.items_per_second, format_rate(s.items_per_second))),
    _Column("Busy", 4, 2, lambda s: _plain(s.busy_percent, format_percent(s.busy_percent))),
)


def live_view(
    snapshot: ProgressSnapshot,
    width: int,
    height: int,
    since_s: float = 0.0,
    title: Text | None = None,
) -> RenderableType:
    """The display for one snapshot.

    Args:
        snapshot: what to show.
        width: columns of the terminal.
        height: rows of the terminal.
        since_s: seconds since the snapshot was taken, so that the clock ticks in between.
        title: the first line, where something else than the snapshot knows better.
    """
    parts: list[RenderableType] = [
        Text(""),
        _title(snapshot, since_s) if title is None else cut_line(title),
        _overall(snapshot, width, since_s),
    ]
    if snapshot.stages:
        parts.append(_stage_table(snapshot, width, max(1, height - _ROWS_BESIDE_STAGES)))
    if snapshot.bottleneck is not None:
        line = Text().append("Bottleneck: ", style="yellow")
        line.append(one_line(snapshot.bottleneck.stage), style="bold yellow")
        line.append(f" — {one_line(snapshot.bottleneck.reason)}", style="yellow")
        parts.append(cut_line(line))
    if snapshot.message:
        parts.append(cut_line(Text(one_line(snapshot.message), style="dim")))
    parts += [failure_line(failure) for failure in snapshot.failures[-SHOWN_FAILURES:]]
    return Group(*parts)


def failure_line(failure: FailureSummary) -> Text:
    """One kind of failure on one line."""
    line = Text().append("✗ ", style="bold red")
    line.append(one_line(failure.stage, 40), style="bold")
    times = f" ×{format_count(failure.count)}" if failure.count > 1 else ""
    line.append(f": {one_line(failure.error, 60)}{times}: ", style="red")
    line.append(one_line(failure.message, 300))
    if failure.task_id:
        line.append(f" (task {one_line(failure.task_id, 60)})", style="dim")
    return cut_line(line)


def _title(snapshot: ProgressSnapshot, since_s: float) -> Text:
    line = Text().append(one_line(snapshot.pipeline, 60), style="bold")
    line.append(f"  {snapshot.state}", style=STATE_STYLES[snapshot.state])
    # Whole seconds: the clock ticks once a second and should not flicker.
    line.append(f"  {format_duration(int(snapshot.elapsed_s + since_s))}")
    workers = sum(s.workers.ready for s in snapshot.stages if not _rides_along(snapshot, s))
    line.append(f"  {count_of(workers, 'worker')}", style="dim")
    if snapshot.store_bytes:
        line.append(f"  {format_bytes(snapshot.store_bytes)} held", style="dim")
    return cut_line(line)


def _overall(snapshot: ProgressSnapshot, width: int, since_s: float) -> RenderableType:
    total = snapshot.inputs_total
    text = Text()
    if total is None:
        text.append(f"{count_of(snapshot.inputs_done, 'input')} done, total not known yet")
    else:
        if snapshot.percent is not None:
            text.append(f"{format_percent(snapshot.percent)}  ", style="bold")
        text.append(f"{format_count(snapshot.inputs_done)} of {format_count(total)} inputs")
    if snapshot.inputs_per_second > 0:
        text.append(f"  {format_rate(snapshot.inputs_per_second)}/s")
    if snapshot.eta_s is not None:
        left = max(0.0, snapshot.eta_s - since_s)
        text.append(f"  ETA {format_duration(math.ceil(left))}", style="cyan")
    beside = width - text.cell_len - 2
    bar_width = min(60, beside if beside >= _MIN_BAR_WIDTH else width)
    bar = ProgressBar(
        total=100 if snapshot.percent is not None else None,
        completed=snapshot.percent or 0,
        width=bar_width,
        pulse=snapshot.percent is None,
        animation_time=snapshot.elapsed_s + since_s,
    )
    if beside < _MIN_BAR_WIDTH:
        return Group(bar, cut_line(text))
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=bar_width)
    grid.add_column(no_wrap=True, overflow="ellipsis")
    grid.add_row(bar, text)
    return grid


def _stage_table(snapshot: ProgressSnapshot, width: int, rows: int) -> Table:
    stages = snapshot.stages
    wanted = max([len("Stage"), *(len(s.name) + 2 for s in stages)])
    wanted = min(_MAX_NAME_WIDTH, wanted)
    columns = _fitting_columns(width, wanted)
    figures = sum(column.width + 2 for column in columns)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    name_width = max(_MIN_NAME_WIDTH, min(wanted, width - figures))
    table.add_column("Stage", width=name_width, no_wrap=True, overflow="ellipsis")
    for column in columns:
        table.add_column(column.title, width=column.width, justify="right", no_wrap=True)
    shown = _shown_stages(stages, snapshot.bottleneck.stage if snapshot.bottleneck else "", rows)
    for stage in shown:
        table.add_row(_name(snapshot, stage), *(Text(*column.value(stage)) for column in columns))
    if len(shown) < len(stages):
        table.add_row(Text(f"… {len(stages) - len(shown)} more", style="dim"))
    return table


def _fitting_columns(width: int, wanted: int) -> list[_Column]:
    """The columns that a terminal has room for beside names of the wanted width."""
    columns = list(_COLUMNS)
    if max(wanted, _MIN_NAME_WIDTH) + sum(column.width + 2 for column in columns) > width:
        columns = [column for column in columns if column.keep > _WITH_ROOM]
    while columns and _MIN_NAME_WIDTH + sum(column.width + 2 for column in columns) > width:
        columns.remove(min(columns, key=lambda column: column.keep))
    return columns


def _shown_stages(stages: list[StageProgress], bottleneck: str, rows: int) -> list[StageProgress]:
    """All stages, or those with the most to tell, in pipeline order."""
    if len(stages) <= rows:
        return stages

    def weight(stage: StageProgress) -> tuple[bool, int, int]:
        return stage.name == bottleneck, stage.running, stage.queued

    kept = sorted(stages, key=weight, reverse=True)[: max(1, rows - 1)]
    names = {stage.name for stage in kept}
    return [stage for stage in stages if stage.name in names]


def _rides_along(snapshot: ProgressSnapshot, stage: StageProgress) -> bool:
    """Whether the stage shares the workers of the one before it."""
    names = [s.name for s in snapshot.stages]
    position = names.index(stage.name)
    return position > 0 and names[position - 1] in stage.fused_with


def _name(snapshot: ProgressSnapshot, stage: StageProgress) -> Text:
    is_bottleneck = snapshot.bottleneck is not None and snapshot.bottleneck.stage == stage.name
    prefix = "↳ " if _rides_along(snapshot, stage) else ""
    text = Text().append(prefix, style="dim")
    text.append(one_line(stage.name, 60), style="bold yellow" if is_bottleneck else "")
    if is_bottleneck:
        text.append(" ◂", style="bold yellow")
    return text


def cut_line(line: Text) -> Text:
    """The line, which will be cut where the terminal ends."""
    line.no_wrap = True
    line.overflow = "ellipsis"
    return line
