"""Snapshots and reports of made-up runs, for the tests of the sinks."""

from __future__ import annotations

from typing import Any

from curator_api.progress import (
    Bottleneck,
    DeadLetter,
    Decision,
    FailureSummary,
    ProgressSnapshot,
    RunReport,
    StageProgress,
    StageReport,
    WorkerCounts,
)

STAGES = (
    "file_list",
    "jsonl_reader",
    "fix_unicode",
    "heuristics",
    "language_id",
    "dedup",
    "writer",
)
SLOW = "language_id"
FUSED = {"jsonl_reader": ["fix_unicode"], "fix_unicode": ["jsonl_reader"]}
DROPPED = {
    "heuristics": {"too_short": 15_000, "too few stop words": 4_200, "symbols": 800},
    "dedup": {"duplicate": 30_000},
}
TRACEBACK = "Traceback (most recent call last):\n  raise ValueError\nValueError: line 7"


def progress_of(name: str, part: float) -> StageProgress:
    """A stage when `part` of the run is over."""
    position = STAGES.index(name)
    done = int(2000 * part)
    workers = 4 if name == SLOW else 1
    return StageProgress(
        name=name,
        workers=WorkerCounts(ready=workers, wanted=workers),
        queued=int(4800 * part * (1 - part)) if name == SLOW else position,
        running=2 if part < 1 else 0,
        done=done + 10 * (len(STAGES) - position),
        emitted=done,
        filtered=position,
        failed=3 if name == "heuristics" else 0,
        retried=1 if name == "heuristics" else 0,
        items_per_second=40.0 + position if part < 1 else 0.0,
        seconds_per_task=0.02,
        busy_percent=98.0 if name == SLOW else 12.0,
        queued_bytes=1 << 20,
        fused_with=FUSED.get(name, []),
    )


def snapshot(part: float = 0.4, **changes: Any) -> ProgressSnapshot:
    """A run of 2,000 inputs of which `part` is done; `language_id` holds it up."""
    reason = "98% busy with 1,200 tasks waiting; the others wait for it"
    failure = FailureSummary(
        stage="heuristics",
        error="ValueError",
        message="line 7 has no 'text' field",
        count=3,
        task_id="0_12_3",
        traceback=TRACEBACK,
    )
    values: dict[str, Any] = {
        "run_id": "r1",
        "pipeline": "text-pipeline",
        "state": "Running",
        "time": 1_700_000_000.0 + 192 * part,
        "elapsed_s": 192.0 * part,
        "inputs_done": int(2000 * part),
        "inputs_total": 2000,
        "percent": 100.0 * part,
        "inputs_per_second": 10.4,
        "eta_s": 192.0 * (1 - part),
        "bottleneck": Bottleneck(stage=SLOW, reason=reason),
        "store_bytes": 300 << 20,
        "stages": [progress_of(name, part) for name in STAGES],
        "failures": [failure],
    }
    return ProgressSnapshot(**{**values, **changes})


def stage_report(name: str) -> StageReport:
    """A stage at the end of the run."""
    is_slow = name == SLOW
    speaks = name == "heuristics"
    return StageReport(
        progress=progress_of(name, 1.0),
        process_s=700.0 if is_slow else 40.0 + STAGES.index(name),
        idle_s=20.0 if is_slow else 130.0,
        overhead_s=4.0,
        setup_s=1.5,
        workers_started=5 if is_slow else 1,
        workers_died=1 if is_slow else 0,
        calls=200,
        batches=2000,
        input_bytes=500 << 20,
        output_bytes=480 << 20,
        kept={"heuristics": 180_000, "dedup": 150_000}.get(name, 0),
        dropped=DROPPED.get(name, {}),
        kept_samples=["A long and sound paragraph about rivers."] if speaks else [],
        dropped_samples=[("too_short", "ok"), ("symbols", "### $$$")] if speaks else [],
        metrics={"characters": 1.2e9} if speaks else {},
    )


def report(**changes: Any) -> RunReport:
    """The end of that run."""
    decisions = [
        (0.0, "jsonl_reader", "fuse", "nothing changes by it"),
        (0.4, SLOW, "start worker", "slots are free"),
        (31.0, SLOW, "start worker", "bottleneck: 98% busy, 1,100 queued"),
    ]
    letter = DeadLetter(
        stage="heuristics",
        task_ids=["0_12_3"],
        error="ValueError",
        message="line 7 has no 'text' field",
        traceback=TRACEBACK,
        attempts=2,
        node="node-a",
        time=1_700_000_050.0,
    )
    values: dict[str, Any] = {
        "snapshot": snapshot(1.0, state="Succeeded", eta_s=0.0),
        "stages": [stage_report(name) for name in STAGES],
        "decisions": [
            Decision(at_s=at_s, stage=stage, action=action, reason=reason)
            for at_s, stage, action, reason in decisions
        ],
        "dead_letters": [letter],
        "history": [snapshot(step / 60) for step in range(61)],
        "outputs": 1_950,
    }
    return RunReport(**{**values, **changes})
