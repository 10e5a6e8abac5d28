"""A snapshot as Prometheus text. Called by the HTTP endpoint for each scrape.

Names and meanings are part of the public interface: `docs/reference/metrics.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import get_args

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from curator_api.progress import ProgressSnapshot, RunState, StageProgress

CONTENT_TYPE = CONTENT_TYPE_LATEST
_STAGE_COUNTERS: dict[str, tuple[str, Callable[[StageProgress], float]]] = {
    "curator_stage_tasks_done": (
        "Input tasks finished, those that were filtered out included.",
        lambda stage: stage.done,
    ),
    "curator_stage_tasks_emitted": ("Output tasks.", lambda stage: stage.emitted),
    "curator_stage_tasks_filtered": (
        "Input tasks that gave no output.",
        lambda stage: stage.filtered,
    ),
    "curator_stage_tasks_failed": (
        "Input tasks given up on (dead letters).",
        lambda stage: stage.failed,
    ),
    "curator_stage_tasks_retried": (
        "Input tasks tried again after an exception or a worker's death.",
        lambda stage: stage.retried,
    ),
}
_STAGE_GAUGES: dict[str, tuple[str, Callable[[StageProgress], float | None]]] = {
    "curator_stage_tasks_queued": ("Input tasks waiting.", lambda stage: stage.queued),
    "curator_stage_tasks_running": ("Input tasks inside workers.", lambda stage: stage.running),
    "curator_stage_queued_bytes": ("Bytes of the waiting tasks.", lambda stage: stage.queued_bytes),
    "curator_stage_workers_wanted": (
        "Workers that the last scaling decision asked for.",
        lambda stage: stage.workers.wanted,
    ),
    "curator_stage_busy_ratio": (
        "Share of the ready workers' time spent in the stage's code, 0 to 1, recent window.",
        lambda stage: stage.busy_percent / 100.0,
    ),
    "curator_stage_task_mean_seconds": (
        "Mean time in the stage's code per input task, since the run began.",
        lambda stage: stage.seconds_per_task,
    ),
}
_RUN_GAUGES: dict[str, tuple[str, Callable[[ProgressSnapshot], float | None]]] = {
    "curator_run_elapsed_seconds": ("Seconds since the run began.", lambda shot: shot.elapsed_s),
    "curator_run_inputs": (
        "Inputs of the run, once their number is known.",
        lambda shot: shot.inputs_total,
    ),
    "curator_run_completion_ratio": (
        "Share of the inputs that is done, 0 to 1, once their number is known.",
        lambda shot: None if shot.percent is None else shot.percent / 100.0,
    ),
    "curator_run_eta_seconds": ("Seconds until done, where known.", lambda shot: shot.eta_s),
    "curator_run_store_bytes": (
        "Bytes of task payloads held in the object store.",
        lambda shot: shot.store_bytes,
    ),
    "curator_run_snapshot_timestamp_seconds": (
        "When these figures were taken, seconds since 1970.",
        lambda shot: shot.time,
    ),
}


def metrics_text(snapshot: ProgressSnapshot | None) -> bytes:
    """The exposition text (content type `CONTENT_TYPE`); empty before the first snapshot."""
    registry = CollectorRegistry(auto_describe=False)
    if snapshot is not None:
        registry.register(_Snapshot(snapshot))
    return bytes(generate_latest(registry))


class _Snapshot(Collector):
    """A snapshot as metric families."""

    def __init__(self, snapshot: ProgressSnapshot) -> None:
        self._shot = snapshot
        self._pipeline = _text(snapshot.pipeline)

    def collect(self) -> Iterable[Metric]:
        yield from self._run()
        yield from self._stages()

    def _run(self) -> Iterator[Metric]:
        shot, pipeline = self._shot, self._pipeline
        info = GaugeMetricFamily(
            "curator_run_info", "1; names the run.", labels=["pipeline", "run_id"]
        )
        info.add_metric([pipeline, _text(shot.run_id)], 1)
        yield info
        states = GaugeMetricFamily(
            "curator_run_state", "1 for the state that the run is in.", labels=["pipeline", "state"]
        )
        for state in get_args(RunState):
            states.add_metric([pipeline, state], float(state == shot.state))
        yield states
        done = CounterMetricFamily(
            "curator_run_inputs_done",
            "Inputs whose descendants are all finished.",
            labels=["pipeline"],
        )
        done.add_metric([pipeline], shot.inputs_done)
        yield done
        for name, (meaning, value) in _RUN_GAUGES.items():
            found = value(shot)
            if found is not None:
                gauge = GaugeMetricFamily(name, meaning, labels=["pipeline"])
                gauge.add_metric([pipeline], found)
                yield gauge
        failures = CounterMetricFamily(
            "curator_run_failures",
            "Tasks given up on, by stage and exception; the last ten kinds.",
            labels=["pipeline", "stage", "error"],
        )
        for kind in shot.failures:
            failures.add_metric([pipeline, _text(kind.stage), _text(kind.error)], kind.count)
        yield failures

    def _stages(self) -> Iterator[Metric]:
        labels = ["pipeline", "stage"]
        stages = [(stage, [self._pipeline, _text(stage.name)]) for stage in self._shot.stages]
        for name, (meaning, count) in _STAGE_COUNTERS.items():
            counter = CounterMetricFamily(name, meaning, labels=labels)
            for stage, values in stages:
                counter.add_metric(values, count(stage))
            yield counter
        for name, (meaning, value) in _STAGE_GAUGES.items():
            gauge = GaugeMetricFamily(name, meaning, labels=labels)
            for stage, values in stages:
                found = value(stage)
                if found is not None:
                    gauge.add_metric(values, found)
            yield gauge
        workers = GaugeMetricFamily(
            "curator_stage_workers", "Workers, by state.", labels=[*labels, "state"]
        )
        for stage, values in stages:
            workers.add_metric([*values, "ready"], stage.workers.ready)
            workers.add_metric([*values, "starting"], stage.workers.starting)
        yield workers
        held = GaugeMetricFamily(
            "curator_stage_bottleneck", "1 for the stage that holds the others up.", labels=labels
        )
        slowest = self._shot.bottleneck.stage if self._shot.bottleneck else None
        for stage, values in stages:
            held.add_metric(values, float(stage.name == slowest))
        yield held


def _text(value: str) -> str:
    """Label values must be encodable; names of exceptions and stages are the user's."""
    return value.encode("utf-8", "replace").decode()
