"""`run_stages`: one whole run, from stages and inputs to tasks and a report.

The composition root: the only module of the runtime that knows which backend there is, and it
loads it when a run begins, so that importing the package does not load Ray.
"""

from __future__ import annotations

import contextlib
import logging
import pickle
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle

from curator_api.progress import RunReport
from curator_executor.api.pipeline import Stage
from curator_executor.api.tasks import EmptyTask, Task
from curator_executor.core.backpressure import block_limit_bytes
from curator_executor.core.errors import CuratorError, DoesNotFit, InvalidPipeline
from curator_executor.core.fusion import plan_pools
from curator_executor.core.sizing import check_pools_fit
from curator_executor.core.state import CoreSettings, State, new_state
from curator_executor.core.types import BatchError, Node, PoolSpec, StageSpec
from curator_executor.runtime import codec, specs
from curator_executor.runtime.checks import objections
from curator_executor.runtime.environment import WorkerEnvironment
from curator_executor.runtime.host import PoolPlan
from curator_executor.runtime.lineage import root_key
from curator_executor.runtime.loop import Loop
from curator_executor.runtime.outlet import Outlet
from curator_executor.runtime.ports import ProgressSink
from curator_executor.runtime.report import Reporter, new_run_id
from curator_executor.runtime.settings import RunSettings
from curator_executor.runtime.stop import StopRequest

if TYPE_CHECKING:
    from curator_executor.ray_backend.pool import RayWorkerPool

log = logging.getLogger("curator_executor.run")
# Snapshots a second while somebody watches; nobody reads faster, and an idle run stays idle.
WATCHED_TICK_S = 1.0
# Initial tasks whose size is looked at to know how many fit a call.
SIZED_TASKS = 16


@dataclass(frozen=True)
class RunContext:
    """What the caller of a run has besides the stages.

    Attributes:
        environment: what workers import from and run in.
        run_id: unique for each run.
        stop: where the end of the run can be asked for, from any thread.
        checked: the stages' `check()` was called already.
    """

    environment: WorkerEnvironment = field(default_factory=WorkerEnvironment)
    run_id: str = field(default_factory=new_run_id)
    stop: StopRequest = field(default_factory=StopRequest)
    checked: bool = False


@dataclass(frozen=True)
class RunOutcome:
    """What a run gave.

    Attributes:
        tasks: outputs of the last stage.
        report: figures, decisions and dead letters.
        failed: per dead letter that has them: stage, error and pickled input tasks.
    """

    tasks: list[Task[Any]]
    report: RunReport
    failed: list[BatchError] = field(default_factory=list)


def run_stages(
    stages: Sequence[Stage],
    initial_tasks: Sequence[Task[Any]] | None,
    settings: RunSettings,
    sinks: Sequence[ProgressSink] = (),
    pipeline_name: str = "pipeline",
    context: RunContext | None = None,
) -> RunOutcome:
    """Run the stages on Ray.

    Args:
        stages: in order; composite ones are expanded.
        initial_tasks: inputs of the first stage; one `EmptyTask` if None or empty.
        settings: options.
        sinks: get snapshots and the report.
        pipeline_name: for people.
        context: what else the caller has; a fresh one if None.

    Raises:
        InvalidPipeline: the stages cannot run as they are; before any worker starts.
        DoesNotFit: a stage needs more than any node has; before any worker starts.
        CuratorError: the run failed; `report` has its figures, `__cause__` the stage's exception.
        KeyboardInterrupt: cancelled; no worker is left.
    """
    _show_log()
    context = context or RunContext()
    prepared = specs.prepare_stages(stages)
    stage_specs = specs.stage_specs(prepared, settings)
    if not context.checked:
        check_stages(prepared)
    pools = plan_pools(stage_specs, fuse=settings.fusion and settings.execution_mode == "streaming")
    source = _root_tasks(initial_tasks)
    with _scratch(prepared):
        job = _Job(
            stages=prepared,
            pools=pools,
            plans=[_plan(pool, prepared, stage_specs, settings) for pool in pools],
            source=source,
            settings=settings,
            name=pipeline_name,
            context=context,
        )
        return _run(job, sinks)


def _show_log() -> None:
    """Progress lines on stderr, as NeMo Curator's users expect, unless logging is set up."""
    package = logging.getLogger("curator_executor")
    if package.handlers or logging.getLogger().handlers:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    package.addHandler(handler)
    if package.level == logging.NOTSET:
        package.setLevel(logging.INFO)


@dataclass(frozen=True)
class _Job:
    """A run, compiled."""

    stages: Sequence[Stage]
    pools: tuple[PoolSpec, ...]
    plans: Sequence[PoolPlan]
    source: Sequence[Task[Any]]
    settings: RunSettings
    name: str
    context: RunContext


def check_stages(stages: Sequence[Stage]) -> None:
    """Let each stage that has a `check()` say what it can know before work starts.

    Raises:
        InvalidPipeline: with every problem, one a line.
    """
    problems = [f'stage "{s.name}": {text}' for s in stages for text in objections(s)]
    if problems:
        raise InvalidPipeline("\n".join(problems))


def _root_tasks(initial_tasks: Sequence[Task[Any]] | None) -> Sequence[Task[Any]]:
    """Initial tasks with an id and a lineage key each."""
    tasks: Sequence[Task[Any]] = initial_tasks or [EmptyTask()]
    for position, task in enumerate(tasks):
        state = task.__dict__
        if not task.task_id:
            task._set_task_id("0", position)
        if state.get("_perf_packed"):
            state["_perf_prior"] = tuple(task._stage_perf)
        state["_perf_packed"] = b""
        state.pop("_perf_metrics", None)
        state["_lineage_key"] = root_key(position, task.get_deterministic_id())
    return tasks


@contextlib.contextmanager
def _scratch(stages: Sequence[Stage]) -> Iterator[None]:
    """A directory for each stage that lasts as long as the run."""
    root = tempfile.mkdtemp(prefix="curator-run-")
    try:
        for index, stage in enumerate(stages):
            directory = Path(root) / str(index)
            stage.scratch_dir = str(directory)
            if getattr(stage, "is_global_stage", False):
                directory.mkdir()
        yield
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _plan(
    pool: PoolSpec,
    stages: Sequence[Stage],
    stage_specs: Sequence[StageSpec],
    settings: RunSettings,
) -> PoolPlan:
    mine = [stages[spec.index] for spec in pool.stages]
    pickled = _pickled(mine, [spec.name for spec in pool.stages])
    return PoolPlan(
        stages=pickled,
        indexes=tuple(spec.index for spec in pool.stages),
        attempts=tuple(spec.attempts for spec in pool.stages),
        setup_attempts=tuple(spec.setup_attempts for spec in pool.stages),
        ignore_failures=tuple(spec.ignore_failures for spec in pool.stages),
        batch_size=pool.head.batch_size,
        timeout_s=pool.head.timeout_s,
        names=tuple(spec.name for spec in stage_specs),
        target_call_s=settings.target_call_s,
        block_bytes=settings.max_block_bytes,
    )


def _pickled(stages: Sequence[Stage], names: Sequence[str]) -> bytes:
    """Stages that share a worker, in one piece: what they share stays shared.

    Raises:
        InvalidPipeline: names the stage that cannot be pickled.
    """
    try:
        pickled: bytes = cloudpickle.dumps(stages)
        return pickled
    except Exception as error:
        name = next((n for s, n in zip(stages, names, strict=True) if not _can_pickle(s)), names[0])
        raise InvalidPipeline(
            f'stage "{name}" cannot be sent to a worker: {error}. Open files, locks and '
            "connections belong into setup(), which runs in the worker."
        ) from error


def _can_pickle(stage: Stage) -> bool:
    try:
        cloudpickle.dumps(stage)
    except Exception:  # noqa: BLE001 - a user's attribute may raise anything when pickled
        return False
    return True


def _run(job: _Job, sinks: Sequence[ProgressSink]) -> RunOutcome:
    from curator_executor.ray_backend import cluster

    # Inside, because Ray takes SIGTERM for itself when it starts.
    with cluster.connected(), job.context.stop.listening():
        workers = _workers(job)
        nodes = workers.nodes()
        groups = job.context.environment.node_groups(nodes, job.settings.cpu_allocation_percentage)
        _require_fit(job, (*nodes, *(group.node for group in groups)))
        state = new_state(
            job.pools,
            nodes,
            _core_settings(job.settings),
            len(job.source),
            _source_bytes(job.source),
            workers.now(),
        )
        state.groups = groups
        workers.block_bytes = block_limit_bytes(state)
        reporter = Reporter(state, job.name, job.plans[0].names, job.context.run_id)
        outlet = Outlet(sinks, reporter, job.settings.logging_interval)
        loop = Loop(
            state,
            workers,
            drain_s=job.settings.drain_s,
            tick_s=WATCHED_TICK_S if sinks else job.settings.logging_interval,
            on_tick=outlet.tick,
        )
        tasks: list[Task[Any]] = []
        trouble = ""
        try:
            with job.context.stop.attached(loop):
                loop.run()
            tasks = workers.outputs() if state.ending == "succeeded" else []
        except BaseException as error:
            trouble = _note_end(state, error)
            raise
        finally:
            workers.close()
            text = str(state.error) if state.error else trouble
            report = reporter.report(loop, workers.now(), len(tasks), text)
            outlet.close(report)
    _raise_if_failed(state, report)
    return RunOutcome(tasks, report, [failure.error for failure in state.failures])


def _workers(job: _Job) -> RayWorkerPool:
    from curator_executor.ray_backend.pool import PoolLaunch, RayWorkerPool

    environment = job.context.environment
    launches = [
        PoolLaunch(pool, plan, environment.with_stage(_stage_env(job, pool)))
        for pool, plan in zip(job.pools, job.plans, strict=True)
    ]
    return RayWorkerPool(
        launches,
        job.source,
        job.settings.cpu_allocation_percentage,
        environment.python_paths,
        {group.node.group: group.node.gpu_memory for group in environment.worker_groups},
    )


def _note_end(state: State, error: BaseException) -> str:
    """Make the state tell of an end that it did not decide itself; what the report says of it."""
    if isinstance(error, KeyboardInterrupt):
        state.ending = "cancelled"
        return str(error) or "cancelled by the user"
    state.ending = "failed"
    return f"{type(error).__name__}: {error}"


def _stage_env(job: _Job, pool: PoolSpec) -> dict[str, Any] | None:
    return job.stages[pool.head.index].runtime_env


def _require_fit(job: _Job, nodes: tuple[Node, ...]) -> None:
    batch_mode = job.settings.execution_mode == "batch"
    problems = check_pools_fit(job.pools, nodes, batch_mode=batch_mode)
    if problems:
        raise DoesNotFit("\n".join(problems))


def _core_settings(settings: RunSettings) -> CoreSettings:
    return CoreSettings(
        batch_mode=settings.execution_mode == "batch",
        max_workers_per_stage=settings.max_workers_per_stage,
        autoscale_interval_s=settings.autoscale_interval_s,
        target_call_s=settings.target_call_s,
        max_block_bytes=settings.max_block_bytes,
        max_failures=settings.max_failures,
    )


def _source_bytes(source: Sequence[Task[Any]]) -> int:
    """About how many bytes the initial tasks have, from a few of them."""
    step = max(1, len(source) // SIZED_TASKS)
    sample = source[::step]
    each = sum(codec.TASK_BYTES + codec.estimate_bytes(task.data) for task in sample) / len(sample)
    return int(each * len(source))


def _raise_if_failed(state: State, report: RunReport) -> None:
    error = state.error
    if error is None:
        return
    error.report = report
    error.failed = [failure.error for failure in state.failures]
    cause: BaseException | None = None
    if state.error_batch is not None and state.error_batch.cause:
        try:
            cause = pickle.loads(state.error_batch.cause)
        except Exception as unpickling:  # noqa: BLE001 - the class may exist in the worker alone
            log.debug("the stage's exception cannot be unpickled here: %r", unpickling)
    raise error from cause


__all__ = ["CuratorError", "RunContext", "RunOutcome", "check_stages", "run_stages"]
