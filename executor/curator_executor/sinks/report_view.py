"""What the HTML report shows, worked out of a `RunReport`: figures, shares and chart geometry.

Called by `html`. Texts are plain here; the template escapes every one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from curator_api.progress import Bottleneck, ProgressSnapshot, RunReport, StageProgress, StageReport
from curator_executor.sinks.charts import Chart, Span, chart, round_up, spans
from curator_executor.sinks.end_tables import shares_workers
from curator_executor.sinks.formatting import (
    count_of,
    format_bytes,
    format_count,
    format_duration,
    format_percent,
    format_rate,
)
from curator_executor.sinks.verdict import main_bottleneck

# Colours in the style sheet; stages beyond them take turns.
STAGE_COLOURS = 8
SHOWN_DEAD_LETTERS = 100
SHOWN_TASK_IDS = 20


@dataclass(frozen=True)
class Card:
    """One headline figure; `tone` is "", "good" or "bad"."""

    title: str
    value: str
    note: str = ""
    tone: str = ""


@dataclass(frozen=True)
class StageRow:
    """A stage in the table and in the charts over time.

    Attributes:
        report: its figures.
        colour: number of its colour.
        is_bottleneck: named as such at the end.
        process, overhead, idle: widths of the time bar, 0 to 100 of the largest stage.
        time_said: the same in words.
        cells: (heading, text, tone) after the time bar.
        throughput, queue, workers: charts, or None without a history.
        shares_workers_with: the other stages in its workers.
    """

    report: StageReport
    colour: int
    is_bottleneck: bool
    process: float
    overhead: float
    idle: float
    time_said: str
    cells: list[tuple[str, str, str]]
    throughput: Chart | None
    queue: Chart | None
    workers: Chart | None
    shares_workers_with: str

    @property
    def name(self) -> str:
        """The stage's name."""
        return self.report.progress.name


@dataclass(frozen=True)
class DropGroup:
    """What one stage kept and dropped.

    Attributes:
        reasons: (reason, count, share of all, width of the bar 0 to 100).
    """

    stage: str
    seen: str
    kept: str
    kept_percent: float
    kept_share: str
    reasons: list[tuple[str, str, str, float]]
    kept_samples: list[str]
    dropped_samples: list[tuple[str, str]]


@dataclass(frozen=True)
class ReportView:
    """Everything the template needs."""

    report: RunReport
    bottleneck: Bottleneck | None
    began: str
    ended: str
    cards: list[Card]
    throughput: Chart | None
    hovers: list[tuple[float, float, str]]
    bottleneck_spans: list[tuple[Span, int]]
    bottleneck_shares: list[tuple[str, str, int]]
    stages: list[StageRow]
    drops: list[DropGroup]
    dead_letters_left_out: int
    settings: list[tuple[str, str]]
    notes: list[str] = field(default_factory=list)


def report_view(
    report: RunReport, settings: Sequence[tuple[str, str]] = (), notes: Sequence[str] = ()
) -> ReportView:
    """Work out what the page shows.

    Args:
        report: the run.
        settings: (name, value) of the run's settings.
        notes: what the compilation of the manifest had to say.
    """
    history = _history(report)
    times_s = [snapshot.elapsed_s for snapshot in history]
    colours = {
        stage.progress.name: position % STAGE_COLOURS
        for position, stage in enumerate(report.stages)
    }
    names = [s.bottleneck.stage if s.bottleneck else "" for s in history]
    rates = [snapshot.inputs_per_second for snapshot in history]
    began = report.snapshot.time - report.snapshot.elapsed_s
    has_curve = len(history) > 1
    return ReportView(
        report=report,
        bottleneck=main_bottleneck(report),
        began=_moment(began),
        ended=_moment(report.snapshot.time),
        cards=_cards(report),
        throughput=chart(times_s, rates, format_rate) if has_curve else None,
        hovers=_hovers(history) if has_curve else [],
        bottleneck_spans=[(s, colours.get(s.name, -1)) for s in spans(times_s, names)],
        bottleneck_shares=_bottleneck_shares(spans(times_s, names), colours),
        stages=_stage_rows(report, history, colours),
        drops=[group for stage in report.stages if (group := _drop_group(stage)) is not None],
        dead_letters_left_out=max(0, len(report.dead_letters) - SHOWN_DEAD_LETTERS),
        settings=list(settings),
        notes=list(notes),
    )


def _history(report: RunReport) -> list[ProgressSnapshot]:
    """The history in order of time, the last snapshot included once."""
    seen = {snapshot.elapsed_s: snapshot for snapshot in [*report.history, report.snapshot]}
    return [seen[at_s] for at_s in sorted(seen)]


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _cards(report: RunReport) -> list[Card]:
    snapshot = report.snapshot
    known = snapshot.inputs_total
    mean = snapshot.inputs_done / snapshot.elapsed_s if snapshot.elapsed_s > 0 else 0.0
    cards = [
        Card("Duration", format_duration(snapshot.elapsed_s)),
        Card(
            "Inputs done",
            format_count(snapshot.inputs_done),
            f"of {format_count(known)}" if known is not None else "total not known",
        ),
        Card("Throughput", f"{format_rate(mean)}/s", "inputs, on average"),
        Card("Outputs", format_count(report.outputs), "tasks of the last stage"),
    ]
    speaking = [stage for stage in report.stages if stage.kept or stage.dropped]
    if speaking:
        seen = max(stage.kept + sum(stage.dropped.values()) for stage in speaking)
        dropped = sum(sum(stage.dropped.values()) for stage in speaking)
        share = format_percent(100 * dropped / seen) if seen else "0%"
        kept = format_count(speaking[-1].kept)
        cards.append(Card("Documents kept", kept, f"of {format_count(seen)} seen"))
        cards.append(Card("Documents dropped", format_count(dropped), f"{share} of those seen"))
    failed = sum(stage.progress.failed for stage in report.stages)
    retried = sum(stage.progress.retried for stage in report.stages)
    cards.append(
        Card(
            "Failed tasks",
            format_count(failed),
            f"{format_count(retried)} tried again",
            "bad" if failed else "good",
        )
    )
    return cards


def _hovers(history: Sequence[ProgressSnapshot]) -> list[tuple[float, float, str]]:
    """(left, width, text) of invisible columns whose tooltips give the figures."""
    end_s = history[-1].elapsed_s or 1.0
    columns = []
    begin_s = 0.0
    for snapshot in history:
        text = (
            f"{format_duration(snapshot.elapsed_s)}: {format_rate(snapshot.inputs_per_second)} "
            f"inputs/s, {count_of(snapshot.inputs_done, 'input')} done"
        )
        if snapshot.bottleneck is not None:
            text += f", bottleneck {snapshot.bottleneck.stage}"
        width = 100 * (snapshot.elapsed_s - begin_s) / end_s
        columns.append((100 * begin_s / end_s, width, text))
        begin_s = snapshot.elapsed_s
    return columns


def _bottleneck_shares(
    stretches: Sequence[Span], colours: dict[str, int]
) -> list[tuple[str, str, int]]:
    widths: dict[str, float] = {}
    for stretch in stretches:
        if stretch.name:
            widths[stretch.name] = widths.get(stretch.name, 0.0) + stretch.width
    ranked = sorted(widths.items(), key=lambda item: -item[1])
    return [(name, format_percent(width), colours.get(name, -1)) for name, width in ranked]


def _stage_rows(
    report: RunReport, history: Sequence[ProgressSnapshot], colours: dict[str, int]
) -> list[StageRow]:
    spent = [s.process_s + s.overhead_s + s.idle_s for s in report.stages]
    largest = max(spent, default=0.0) or 1.0
    curves = _curves(report, history)
    bottleneck = main_bottleneck(report)
    rows = []
    for stage in report.stages:
        name = stage.progress.name
        throughput, queue, workers = curves.get(name, (None, None, None))
        rows.append(
            StageRow(
                report=stage,
                colour=colours[name],
                is_bottleneck=bottleneck is not None and bottleneck.stage == name,
                process=100 * stage.process_s / largest,
                overhead=100 * stage.overhead_s / largest,
                idle=100 * stage.idle_s / largest,
                time_said=(
                    f"{format_duration(stage.process_s)} in process, "
                    f"{format_duration(stage.overhead_s)} overhead, "
                    f"{format_duration(stage.idle_s)} idle"
                ),
                cells=_cells(stage, report.snapshot.elapsed_s),
                throughput=throughput,
                queue=queue,
                workers=workers,
                shares_workers_with=", ".join(stage.progress.fused_with),
            )
        )
    return rows


def _curves(
    report: RunReport, history: Sequence[ProgressSnapshot]
) -> dict[str, tuple[Chart, Chart, Chart]]:
    """(throughput, queue, workers) by stage; nothing where there is no history.

    Queues and workers have one scale for all stages: a pile shows as one.
    """
    if len(history) < 2:
        return {}
    times_s = [snapshot.elapsed_s for snapshot in history]
    seen = [{stage.name: stage for stage in snapshot.stages} for snapshot in history]
    absent = StageProgress(name="")
    over_time = {
        stage.progress.name: [at.get(stage.progress.name, absent) for at in seen]
        for stage in report.stages
    }
    everywhere = [progress for line in over_time.values() for progress in line]
    most_queued = round_up(max((p.queued for p in everywhere), default=0))
    most_workers = round_up(max((p.workers.ready for p in everywhere), default=0))
    curves = {}
    for name, line in over_time.items():
        workers = [float(p.workers.ready) for p in line]
        curves[name] = (
            chart(times_s, [p.items_per_second for p in line], format_rate),
            chart(times_s, [float(p.queued) for p in line], format_count, most_queued),
            chart(times_s, workers, format_count, most_workers, is_step=True),
        )
    return curves


def _cells(stage: StageReport, elapsed_s: float) -> list[tuple[str, str, str]]:
    progress = stage.progress
    each = progress.seconds_per_task
    died = f", {format_count(stage.workers_died)} died" if stage.workers_died else ""
    started = f"{format_count(stage.workers_started)} started{died}"
    return [
        ("In", format_count(progress.done + progress.failed), ""),
        ("Out", format_count(progress.emitted), ""),
        ("Tasks/s", format_rate(progress.done / elapsed_s) if elapsed_s > 0 else "", ""),
        ("A task", format_duration(each) if each is not None else "", ""),
        ("Bytes in", format_bytes(stage.input_bytes), ""),
        ("Bytes out", format_bytes(stage.output_bytes), ""),
        (
            "Workers",
            "shared" if shares_workers(stage) else started,
            "bad" if stage.workers_died else "",
        ),
        ("Set-up", format_duration(stage.setup_s), ""),
        ("Retried", format_count(progress.retried), "warn" if progress.retried else "quiet"),
        ("Failed", format_count(progress.failed), "bad" if progress.failed else "quiet"),
    ]


def _drop_group(stage: StageReport) -> DropGroup | None:
    total = stage.kept + sum(stage.dropped.values())
    if not stage.dropped and not stage.kept_samples:
        return None
    return DropGroup(
        stage=stage.progress.name,
        seen=format_count(total),
        kept=format_count(stage.kept),
        kept_percent=100 * stage.kept / total,
        kept_share=format_percent(100 * stage.kept / total),
        reasons=[
            (reason, format_count(count), format_percent(100 * count / total), 100 * count / total)
            for reason, count in sorted(stage.dropped.items(), key=lambda i: (-i[1], i[0]))
        ],
        kept_samples=list(stage.kept_samples),
        dropped_samples=list(stage.dropped_samples),
    )
