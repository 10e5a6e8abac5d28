"""A resource as it is shown: `view_of(obj, now)`, its lines, and the exit code of its end. Pure.

Called by `watching`. The status becomes a `ProgressSnapshot`, so that the display of `curator run`
shows it; what only a pipeline on Kubernetes has (phase, attempt, what it waits for) stands beside.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from rich.console import Group, RenderableType
from rich.text import Text

from curator_api import parse_status
from curator_api.progress import (
    Bottleneck,
    FailureSummary,
    ProgressSnapshot,
    RunState,
    StageProgress,
    WorkerCounts,
)
from curator_api.times import seconds
from curator_api.v1alpha1.status import (
    ENDED,
    Condition,
    ConditionType,
    Phase,
    PipelineStatus,
    StageStatus,
)
from curator_executor.cli.kube.api import Object
from curator_executor.cli.outcome import DEAD_LETTERS, FAILED, OK, REFUSED
from curator_executor.sinks.formatting import format_duration, one_line
from curator_executor.sinks.live_view import live_view
from curator_executor.sinks.log_lines import progress_line

_STATES: dict[Phase | None, RunState] = {
    None: "Starting",
    "Pending": "Starting",
    "Queued": "Starting",
    "Starting": "Starting",
    "Running": "Running",
    "Suspending": "Draining",
    "Suspended": "Draining",
    "Stopping": "Draining",
    "Succeeded": "Succeeded",
    "Failed": "Failed",
}
_STYLES: dict[Phase | None, str] = {
    "Running": "bold green",
    "Suspending": "yellow",
    "Suspended": "yellow",
    "Stopping": "yellow",
    "Succeeded": "bold green",
    "Failed": "bold red",
}
# Phases without a run, in which the figures of the last one stand still in the status.
_AT_REST: frozenset[Phase | None] = frozenset({"Pending", "Queued", "Suspended", *ENDED})
# Reasons of a failure that say: it was never right, so nothing ran.
_NEVER_RIGHT = frozenset({"InvalidSpec", "ManifestRefused"})
_LONGEST_NOTE = 1200
_UNSEEN = (
    "waits for the operator; if this stays so, see whether curator-operator runs and watches this "
    "namespace"
)


@dataclass(frozen=True)
class PipelineView:
    """A pipeline as it is shown.

    Attributes:
        snapshot: its progress, as the display takes it; `message` is empty.
        phase: of its status; None before the operator has seen it.
        attempt: number of the attempt; 0 before the first.
        notes: what it waits for, what is wrong and how it ended, a sentence each.
        exit_code: what `watch` ends with; None while there is more to come.
    """

    snapshot: ProgressSnapshot
    phase: Phase | None
    attempt: int
    notes: tuple[str, ...]
    exit_code: int | None

    def same_as(self, other: PipelineView | None) -> bool:
        """Whether both look the same but for the clock."""
        return other is not None and _without_clock(self) == _without_clock(other)


def view_of(obj: Object, now: float) -> PipelineView:
    """What to show of a resource.

    Args:
        obj: as the API server gives it.
        now: seconds since 1970.
    """
    meta = obj["metadata"]
    status = parse_status(obj.get("status"))
    refused = _refused(status, int(meta.get("generation") or 0))
    return PipelineView(
        snapshot=snapshot_of(str(meta["name"]), status, now),
        phase=status.phase,
        attempt=status.attempt or 0,
        notes=notes_of(status, deleting=bool(meta.get("deletionTimestamp"))),
        exit_code=REFUSED if refused else exit_code_of(status),
    )


def snapshot_of(name: str, status: PipelineStatus, now: float) -> ProgressSnapshot:
    """The status in the shape that the displays take.

    What a status does not say stays at its default: which stages share workers, what waits in
    bytes. Durations are from the first attempt on.
    """
    began = seconds(status.start_time)
    ended = seconds(status.completion_time)
    progress = status.progress
    values: dict[str, object] = {}
    if progress is not None:
        due = seconds(progress.estimated_completion_time)
        held = progress.bottleneck
        values = {
            "inputs_done": progress.inputs_done,
            "inputs_total": progress.inputs_total,
            "percent": None if progress.percent is None else float(progress.percent),
            "inputs_per_second": number_of(progress.inputs_per_second),
            "eta_s": None if due is None else max(0.0, due - now),
            "bottleneck": None
            if held is None
            else Bottleneck(stage=held.stage, reason=held.reason),
        }
    return ProgressSnapshot(
        run_id=status.submission_id or "",
        pipeline=name,
        state=_STATES[status.phase],
        time=now,
        elapsed_s=0.0 if began is None else max(0.0, (now if ended is None else ended) - began),
        stages=[_stage(one, status.phase not in _AT_REST) for one in status.stages],
        # The display shows the last ones; the status has the newest first.
        failures=[
            FailureSummary(
                stage=one.stage,
                error=one.error,
                message=one.message,
                count=one.count,
                task_id=one.task,
            )
            for one in reversed(status.failures)
        ],
        **values,  # type: ignore[arg-type]
    )


def notes_of(status: PipelineStatus, deleting: bool = False) -> tuple[str, ...]:
    """What a person should know beside the figures.

    Args:
        status: of the pipeline.
        deleting: somebody has asked for it to be deleted.
    """
    notes = ["it is being deleted"] if deleting else []
    if status.phase is None:
        return (*notes, _UNSEEN)
    refused = _condition(status, "Accepted")
    if refused is not None and refused.status == "False":
        notes.append(_sentence("refused", refused))
    cluster = _condition(status, "ClusterReady")
    if cluster is not None and status.phase in ("Pending", "Queued", "Starting", "Running"):
        if cluster.status == "False" and cluster.reason != "NotStarted":
            notes.append(_sentence("waits", cluster))
        elif cluster.message and "cannot start" in cluster.message:
            notes.append(cluster.message)
    stalled = _condition(status, "Stalled")
    if stalled is not None and stalled.status != "False":
        notes.append(_sentence("stalled" if stalled.status == "True" else "unsure", stalled))
    said = status.message or ""
    if said and not any(said in note for note in notes):
        notes.append(said)
    return tuple(notes)


def exit_code_of(status: PipelineStatus) -> int | None:
    """What the end of the pipeline comes to; None before it."""
    if status.phase not in ENDED:
        return None
    if status.phase == "Succeeded":
        done = _condition(status, "Complete")
        return DEAD_LETTERS if done is not None and done.reason == "DeadLetters" else OK
    failed = _condition(status, "Failed")
    return REFUSED if failed is not None and failed.reason in _NEVER_RIGHT else FAILED


def display_of(view: PipelineView, width: int, height: int, since_s: float) -> RenderableType:
    """The display of `curator run` with phase, attempt and notes.

    Args:
        view: what to show.
        width: columns of the terminal.
        height: rows of the terminal.
        since_s: seconds since the view was made, so that the clock ticks in between.
    """
    since_s = 0.0 if view.phase in ENDED else since_s
    notes = [Text(one_line(note, _LONGEST_NOTE), style="dim") for note in view.notes]
    rows = sum(-(-note.cell_len // max(1, width)) for note in notes)
    title = Text().append(one_line(view.snapshot.pipeline, 60), style="bold")
    title.append(f"  {view.phase or 'New'}", style=_STYLES.get(view.phase, "cyan"))
    if view.snapshot.elapsed_s:
        title.append(f"  {format_duration(int(view.snapshot.elapsed_s + since_s))}")
    if view.attempt > 1:
        title.append(f"  attempt {view.attempt}", style="dim")
    shown = live_view(view.snapshot, width, max(1, height - rows), since_s, title)
    return Group(shown, *notes)


def line_of(view: PipelineView) -> str:
    """A view as one line of a log."""
    known = [f"phase={view.phase or 'New'}"]
    if view.attempt:
        known.append(f"attempt={view.attempt}")
    said = "; ".join(one_line(note, _LONGEST_NOTE) for note in view.notes)
    return progress_line(view.snapshot, *known) + (f" — {said}" if said else "")


def number_of(text: str | None) -> float:
    """A figure of the status; 0 where there is none."""
    try:
        return max(0.0, float(text or 0))
    except ValueError:
        return 0.0


def _stage(stage: StageStatus, at_work: bool) -> StageProgress:
    """A stage; without workers and rates where nothing runs."""
    done = StageProgress(
        name=stage.name, done=stage.done, filtered=stage.dropped, failed=stage.failed
    )
    if not at_work:
        return done
    counts = stage.workers
    workers = WorkerCounts(ready=counts.ready, starting=counts.starting, wanted=counts.wanted)
    return done.model_copy(
        update={
            "workers": workers,
            "queued": stage.queued,
            "running": stage.running,
            "items_per_second": number_of(stage.items_per_second),
            "busy_percent": float(stage.busy_percent or 0),
        }
    )


def _refused(status: PipelineStatus, generation: int) -> bool:
    """Whether the operator refuses the spec as it is now, so that nothing will come of it."""
    found = _condition(status, "Accepted")
    if found is None or found.status != "False" or status.phase not in ("Pending", "Suspended"):
        return False
    return found.reason == "InvalidSpec" and (found.observed_generation or 0) >= generation


def _condition(status: PipelineStatus, kind: ConditionType) -> Condition | None:
    return next((one for one in status.conditions if one.type == kind), None)


def _sentence(what: str, condition: Condition) -> str:
    return f"{what}: {condition.reason}" + (f": {condition.message}" if condition.message else "")


def _without_clock(view: PipelineView) -> PipelineView:
    still = view.snapshot.model_copy(update={"time": 0.0, "elapsed_s": 0.0, "eta_s": None})
    return replace(view, snapshot=still)
