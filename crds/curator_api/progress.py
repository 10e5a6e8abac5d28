"""Progress of a run as it travels: `ProgressSnapshot` while it goes on, `RunReport` at its end.

Published by the executor's sinks (terminal, JSON lines, HTTP), read by the operator and by
`curator watch`. Durations are seconds, sizes are bytes, rates are per second.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from curator_api.base import WireModel

RunState = Literal["Starting", "Running", "Draining", "Succeeded", "Failed", "Cancelled"]


class WorkerCounts(WireModel):
    """Workers of a stage.

    Attributes:
        ready: set up and able to take calls.
        starting: process or set-up under way.
        wanted: what the last scaling decision asked for.
    """

    ready: int = 0
    starting: int = 0
    wanted: int = 0


class StageProgress(WireModel):
    """One stage, now. Counts are tasks since the run began.

    Attributes:
        name: the stage.
        workers: its workers.
        queued: input tasks waiting.
        running: input tasks inside workers.
        done: input tasks finished, those that were filtered out included.
        emitted: output tasks.
        filtered: input tasks that gave no output.
        failed: input tasks given up on (dead letters).
        retried: input tasks tried again after an exception or a worker's death.
        items_per_second: input tasks finished a second, recent window.
        seconds_per_task: mean time in `process` per input task; None before the first.
        busy_percent: share of the ready workers' time spent in `process`, recent window.
        queued_bytes: bytes of the waiting tasks.
        fused_with: the other stages in the same workers, in order.
    """

    name: str
    workers: WorkerCounts = WorkerCounts()
    queued: int = 0
    running: int = 0
    done: int = 0
    emitted: int = 0
    filtered: int = 0
    failed: int = 0
    retried: int = 0
    items_per_second: float = 0.0
    seconds_per_task: float | None = None
    busy_percent: float = 0.0
    queued_bytes: int = 0
    fused_with: list[str] = Field(default_factory=list)


class Bottleneck(WireModel):
    """The stage that holds the others up, and why it is thought to."""

    stage: str
    reason: str


class FailureSummary(WireModel):
    """Failures of one kind: same stage, same exception type."""

    stage: str
    error: str
    message: str
    count: int
    task_id: str = Field(description="one of the tasks")
    traceback: str = ""


class ProgressSnapshot(WireModel):
    """A run, now.

    Attributes:
        run_id: unique for each run.
        pipeline: name of the pipeline.
        state: what the run is doing.
        time: seconds since 1970.
        elapsed_s: seconds since the run began.
        inputs_done: inputs whose descendants are all finished.
        inputs_total: inputs known; what the source stage emitted once it is done, else None.
        percent: 0 to 100, or None until the total is known.
        inputs_per_second: recent rate.
        eta_s: seconds until done, or None while unknown.
        bottleneck: the stage that holds the others up, or None.
        store_bytes: bytes of task payloads held for the run.
        stages: in pipeline order.
        failures: the last ten kinds.
        message: what the run waits for or has decided, in one line.
    """

    run_id: str
    pipeline: str
    state: RunState
    time: float
    elapsed_s: float
    inputs_done: int = 0
    inputs_total: int | None = None
    percent: float | None = None
    inputs_per_second: float = 0.0
    eta_s: float | None = None
    bottleneck: Bottleneck | None = None
    store_bytes: int = 0
    stages: list[StageProgress] = Field(default_factory=list)
    failures: list[FailureSummary] = Field(default_factory=list)
    message: str = ""


class StageReport(WireModel):
    """One stage over the whole run.

    Attributes:
        progress: its last progress.
        process_s: seconds inside `process` over all workers.
        idle_s: seconds its ready workers waited.
        overhead_s: seconds in workers spent on (de)serialising and bookkeeping.
        setup_s: seconds in `setup`, over all workers.
        workers_started: workers ever started.
        workers_died: of these, how many died.
        calls: calls to workers.
        batches: batches processed.
        input_bytes: serialised bytes taken in.
        output_bytes: serialised bytes given out.
        kept: documents that the stage said it kept.
        dropped: documents that the stage said it dropped, by reason.
        kept_samples: a few kept texts.
        dropped_samples: a few dropped ones, (reason, text).
        metrics: sums of the stage's custom metrics.
    """

    progress: StageProgress
    process_s: float = 0.0
    idle_s: float = 0.0
    overhead_s: float = 0.0
    setup_s: float = 0.0
    workers_started: int = 0
    workers_died: int = 0
    calls: int = 0
    batches: int = 0
    input_bytes: int = 0
    output_bytes: int = 0
    kept: int = 0
    dropped: dict[str, int] = Field(default_factory=dict)
    kept_samples: list[str] = Field(default_factory=list)
    dropped_samples: list[tuple[str, str]] = Field(default_factory=list)
    metrics: dict[str, float] = Field(default_factory=dict)


class DeadLetter(WireModel):
    """A batch that was given up on.

    Attributes:
        stage: where.
        task_ids: which tasks.
        error: type of the exception.
        message: its message.
        traceback: where it was raised, in the worker.
        attempts: how often it was tried.
        node: node of the last attempt.
        time: seconds since 1970.
        emitted: outputs that had already been passed on.
    """

    stage: str
    task_ids: list[str]
    error: str
    message: str
    traceback: str
    attempts: int
    node: str
    time: float
    emitted: int = 0


class Decision(WireModel):
    """One decision of the executor: scaling, fusion, re-assignment.

    Attributes:
        at_s: seconds since the run began.
        stage: the stage concerned.
        action: what was done, e.g. `start worker`, `fuse`, `stop worker`.
        reason: why.
    """

    at_s: float
    stage: str
    action: str
    reason: str


class RunReport(WireModel):
    """A run, finished.

    Attributes:
        snapshot: the last snapshot.
        stages: per stage, in pipeline order.
        decisions: the first 1,000 decisions.
        dead_letters: what was given up on.
        history: snapshots over time, thinned to at most 240.
        error: what ended the run, or "".
        outputs: tasks returned by the last stage.
    """

    snapshot: ProgressSnapshot
    stages: list[StageReport]
    decisions: list[Decision] = Field(default_factory=list)
    dead_letters: list[DeadLetter] = Field(default_factory=list)
    history: list[ProgressSnapshot] = Field(default_factory=list)
    error: str = ""
    outputs: int = 0
