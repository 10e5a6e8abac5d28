"""Progress as log lines, for runs without a terminal: one per `logging_interval`."""

from __future__ import annotations

import logging

from curator_api.progress import ProgressSnapshot, RunReport, StageProgress
from curator_executor.sinks.formatting import (
    format_count,
    format_duration,
    format_percent,
    format_rate,
    one_line,
)

log = logging.getLogger("curator_executor.progress")


class LogLinesSink:
    """Logs a line at the first snapshot, whenever the state changes, and once per interval.

    Times itself by the snapshots' `elapsed_s`: it has no clock and no thread.

    Args:
        interval_s: seconds between lines.
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._last: ProgressSnapshot | None = None

    def publish(self, snapshot: ProgressSnapshot) -> None:
        """Log the snapshot if it is time to."""
        last = self._last
        if (
            last is None
            or snapshot.state != last.state
            or snapshot.elapsed_s - last.elapsed_s >= self._interval_s
        ):
            self._last = snapshot
            log.info("%s", progress_line(snapshot))

    def close(self, report: RunReport) -> None:
        """Log how it ended, unless the last line said so already."""
        last, end = self._last, report.snapshot
        if last is None or (last.state, last.inputs_done) != (end.state, end.inputs_done):
            log.info("%s", progress_line(end))


def progress_line(snapshot: ProgressSnapshot, *known: str) -> str:
    """A snapshot as one line of `name=value` fields, the stages last.

    Args:
        snapshot: what to say.
        known: fields to say in place of the snapshot's own `state`.
    """
    total = "?" if snapshot.inputs_total is None else str(snapshot.inputs_total)
    fields = [
        f"progress pipeline={snapshot.pipeline}",
        *(known or (f"state={snapshot.state}",)),
        f"elapsed={format_duration(snapshot.elapsed_s)}",
        f"inputs={snapshot.inputs_done}/{total}",
    ]
    if snapshot.percent is not None:
        fields.append(f"percent={format_percent(snapshot.percent)}")
    fields.append(f"inputs_per_s={format_rate(snapshot.inputs_per_second)}")
    if snapshot.eta_s is not None:
        fields.append(f"eta={format_duration(snapshot.eta_s)}")
    fields.append(f"failed={sum(stage.failed for stage in snapshot.stages)}")
    if snapshot.bottleneck is not None:
        fields.append(f"bottleneck={snapshot.bottleneck.stage}")
    if snapshot.stages:
        fields.append("stages=[" + "; ".join(_stage_field(s) for s in snapshot.stages) + "]")
    return one_line(" ".join(fields), limit=4_000)


def _stage_field(stage: StageProgress) -> str:
    counts = stage.workers
    workers = (
        f"{counts.ready}" if counts.ready == counts.wanted else f"{counts.ready}/{counts.wanted}"
    )
    text = (
        f"{stage.name} workers={workers} queued={format_count(stage.queued)} "
        f"running={format_count(stage.running)} done={format_count(stage.done)}"
    )
    if stage.failed:
        text += f" failed={format_count(stage.failed)}"
    return f"{text} per_s={format_rate(stage.items_per_second)} busy={stage.busy_percent:.0f}%"
