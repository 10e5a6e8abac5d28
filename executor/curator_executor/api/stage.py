"""`ProcessingStage`, the class that stage authors extend. Rules are NeMo Curator's.

What is ours beside them: `process` may yield, `is_global_stage` with `finish`, `is_pure`,
`_log_dropped` and `_log_kept`.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from inspect import get_annotations, isgeneratorfunction
from types import UnionType
from typing import Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

from curator_executor.api.resources import Resources
from curator_executor.api.tasks import Task

X = TypeVar("X", bound=Task[Any])
Y = TypeVar("Y", bound=Task[Any])
StageInputSpec = tuple[list[str], list[str]]
log = logging.getLogger("curator_executor.stages")

# Samples that one call keeps of each kind: the report shows a few, the wire carries no more.
SAMPLES_PER_CALL = 3
SAMPLE_CHARACTERS = 400


class _Unset:
    __slots__ = ()


_UNSET = _Unset()


@dataclass
class NodeInfo:
    """The node that `setup_on_node` runs on."""

    node_id: str = ""


@dataclass
class WorkerMetadata:
    """The worker that a stage is set up in.

    Attributes:
        worker_id: unique within the run.
        allocation: what the worker was given (the stage's `Resources`).
    """

    worker_id: str = ""
    allocation: Any = None


@dataclass
class Observations:
    """What a stage said about its documents since it was last asked.

    Attributes:
        kept: documents kept.
        dropped: documents dropped, by reason.
        kept_samples: a few texts that were kept.
        dropped_samples: a few (reason, text) that were dropped.
    """

    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    kept_samples: list[str] = field(default_factory=list)
    dropped_samples: list[tuple[str, str]] = field(default_factory=list)


class _Fixed:
    """A method result that `with_` puts on an instance; a class, so that it can be pickled."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __call__(self) -> Any:
        return dict(self.value) if isinstance(self.value, dict) else self.value


class ProcessingStage(ABC, Generic[X, Y]):
    """One step of a pipeline; each worker holds its own copy.

    Attributes:
        name: unique within the pipeline.
        resources: what one worker needs.
        batch_size: tasks per `process_batch` call; the last batch may be smaller.
        runtime_env: Ray runtime environment for this stage's workers.
        is_source_stage: its outputs get ids made from their content.
        is_sink_stage: the last stage.
        is_resumable: may run with a checkpoint.
        is_global_stage: sees every task before it emits: one worker; `process` takes tasks in,
            `finish` gives them out when the stage before is done.
        keeps_state_in_scratch: a global stage whose state is found again in `scratch_dir` by a new
            worker; without it, losing the worker ends the run.
        is_pure: keeps no reference to its inputs or outputs and never emits one object twice, so
            that a fused neighbour may be handed the same object.
        scratch_dir: directory of this stage and run, set before `setup`; it outlives the worker
            and goes when the run ends.
    """

    name: str = "ProcessingStage"
    resources: Resources = Resources(cpus=1.0)
    batch_size: int = 1
    runtime_env: dict[str, Any] | None = None
    is_source_stage: bool = False
    is_sink_stage: bool = False
    is_resumable: bool = True
    is_global_stage: bool = False
    keeps_state_in_scratch: bool = False
    is_pure: bool = False
    scratch_dir: str = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for attribute in ("name", "resources", "batch_size", "runtime_env"):
            if isinstance(cls.__dict__.get(attribute), property):
                raise TypeError(
                    f"{cls.__name__}.{attribute} must be a plain attribute or dataclass field, "
                    "not a property: with_() has to be able to replace it"
                )
        for method in ("num_workers", "num_workers_per_node"):
            value = cls.__dict__.get(method)
            if (value is not None and not callable(value)) or (
                value is None and method in get_annotations(cls)
            ):
                raise TypeError(
                    f"{cls.__name__}.{method} must be a method, not an attribute; "
                    f"override {method}() or give the field another name"
                )

    @abstractmethod
    def process(self, task: X) -> Y | list[Y] | Iterable[Y] | None:
        """Turn one task into one, several (list or iterator), or None to filter it out."""

    def process_batch(self, tasks: list[X]) -> list[Any]:
        """Turn up to `batch_size` tasks into any number; None entries are filtered out.

        Raises:
            ValueError: a task lacks what `inputs()` asks for.
        """
        results: list[Any] = []
        for task in tasks:
            if not self.validate_input(task):
                raise ValueError(f"task {task!s} failed validation for stage {self.name}")
            result = self.process(task)
            if isinstance(result, list) or (
                isinstance(result, Iterator) and not isinstance(result, Task)
            ):
                results.extend(result)
            else:
                results.append(result)
        return results

    def finish(self) -> Iterable[Y]:
        """Emit the outputs of a global stage, once, after its last task.

        Called again from the start if the worker dies; the executor skips what it already has,
        so the order must be the same each time. A task taken in and given out again keeps its
        lineage.
        """
        return ()

    def setup_on_node(
        self, node_info: NodeInfo | None = None, worker_metadata: WorkerMetadata | None = None
    ) -> None:
        """Prepare a node; called once per node, before any `setup` there."""

    def setup(self, worker_metadata: WorkerMetadata | None = None) -> None:
        """Prepare a worker; called once in each."""

    def teardown(self) -> None:
        """Release what `setup` took; called at the end of every worker that lives."""

    def inputs(self) -> Any:
        """(required task attributes, required data attributes), or that by task type."""
        return [], []

    def outputs(self) -> StageInputSpec:
        """(task attributes, data attributes) that this stage adds or changes."""
        return [], []

    def num_workers(self) -> int | None:
        """A fixed number of workers, or None to let the executor decide."""
        return None

    def num_workers_per_node(self) -> float | None:
        """A fixed number of workers on each node, or None."""
        return None

    def xenna_stage_spec(self) -> dict[str, Any]:
        """Per-stage execution options, by NeMo Curator's keys."""
        return {}

    def ray_stage_spec(self) -> dict[str, Any]:
        """Options of NeMo Curator's Ray Data backend; read for `is_fanout_stage` alone."""
        return {"is_fanout_stage": self.is_fanout_stage()}

    def supports_batch_processing(self) -> bool:
        """Whether `process_batch` is the stage's own."""
        return type(self).process_batch is not ProcessingStage.process_batch

    def is_fanout_stage(self) -> bool:
        """Whether `process` is a generator, or its return annotation tells of several tasks."""
        process = type(self).process
        if isgeneratorfunction(process):
            return True
        try:
            hint = get_type_hints(process).get("return")
        except (AttributeError, NameError, TypeError):
            return False
        return _mentions_several(hint)

    def input_spec_for_task(self, task: Task[Any]) -> StageInputSpec:
        """What `inputs()` asks of this task; the most specific task type wins.

        Raises:
            TypeError: `inputs()` has no entry for the task's type, or a malformed one.
        """
        specs = self.inputs()
        if isinstance(specs, tuple):
            return self._checked_spec(specs)
        if not isinstance(specs, dict):
            raise TypeError(f"stage {self.name}: inputs() must return a tuple or a dict")
        for kind in type(task).__mro__:
            if kind in specs:
                return self._checked_spec(specs[kind])
        known = ", ".join(kind.__name__ for kind in specs) or "none"
        raise TypeError(
            f"stage {self.name} does not take a {type(task).__name__}; it takes: {known}"
        )

    def _checked_spec(self, spec: object) -> StageInputSpec:
        if not isinstance(spec, tuple) or len(spec) != 2:
            raise TypeError(
                f"stage {self.name}: inputs() must give (task attributes, data attributes), "
                f"got {spec!r}"
            )
        return spec

    def validate_input(self, task: Task[Any]) -> bool:
        """Whether the task has what `inputs()` asks for; the log says what is missing."""
        try:
            attributes, columns = self.input_spec_for_task(task)
        except TypeError as error:
            log.error("%s", error)
            return False
        missing = [a for a in attributes if not hasattr(task, a)]
        if columns:
            get_columns = getattr(task, "get_columns", None)
            present = get_columns() if callable(get_columns) else ()
            missing += [c for c in columns if c not in present and not hasattr(task.data, c)]
        if missing:
            log.error("stage %s: task %s lacks %s", self.name, task.task_id, ", ".join(missing))
        return not missing

    def with_(  # one keyword for each thing that can be replaced
        self,
        name: str | None = None,
        resources: Resources | None = None,
        batch_size: int | None = None,
        runtime_env: dict[str, Any] | None = None,
        ray_stage_spec: dict[str, Any] | None = None,
        xenna_stage_spec: dict[str, Any] | None = None,
        num_workers: int | _Unset | None = _UNSET,
        num_workers_per_node: float | _Unset | None = _UNSET,
    ) -> Any:
        """A deep copy with the given parts replaced; the two specs are merged key by key.

        Raises:
            ValueError: `num_workers` inside `xenna_stage_spec`, or two ways of fixing the count.
        """
        new = copy.deepcopy(self)
        plain = {
            "name": name,
            "resources": resources,
            "batch_size": batch_size,
            "runtime_env": runtime_env,
        }
        for attribute, value in plain.items():
            if value is not None:
                setattr(new, attribute, value)
        if xenna_stage_spec is not None and "num_workers" in xenna_stage_spec:
            raise ValueError(
                "num_workers does not belong in xenna_stage_spec; use with_(num_workers=...)"
            )
        for method, spec in (
            ("ray_stage_spec", ray_stage_spec),
            ("xenna_stage_spec", xenna_stage_spec),
        ):
            if spec is not None:
                setattr(new, method, _Fixed({**getattr(new, method)(), **spec}))
        for method, count in (
            ("num_workers", num_workers),
            ("num_workers_per_node", num_workers_per_node),
        ):
            if not isinstance(count, _Unset):
                setattr(new, method, _Fixed(count))
        new._validate_worker_sizing()
        return new

    def _validate_worker_sizing(self) -> None:
        per_node = self.num_workers_per_node()
        if per_node is None:
            per_node = self.xenna_stage_spec().get("num_workers_per_node")
        if self.num_workers() is not None and per_node is not None:
            raise ValueError(
                f"stage {self.name} fixes both num_workers() and num_workers_per_node; keep one"
            )

    def get_config(self) -> dict[str, Any]:
        """Name, resources, batch size and whether the stage works on batches."""
        return {
            "name": self.name,
            "resources": self.resources,
            "batch_size": self.batch_size,
            "supports_batch_processing": self.supports_batch_processing(),
        }

    def __repr__(self) -> str:
        return type(self).__name__

    # What a stage may say about its work.
    def _log_metrics(self, metrics: dict[str, float]) -> None:
        """Record numbers; they reach `_stage_perf[...].custom_metrics` of this batch's outputs."""
        recorded = self.__dict__.setdefault("_custom_metrics", {})
        for name, value in metrics.items():
            if isinstance(value, (int, float)):
                recorded[name] = float(value)
            else:
                log.warning("stage %s: metric %s is not a number: %r", self.name, name, value)

    def _log_metric(self, name: str, value: float) -> None:
        """Record one number; see `_log_metrics`."""
        self._log_metrics({name: value})

    @contextlib.contextmanager
    def _time_metric(self, name: str) -> Iterator[None]:
        """Record how many seconds the block took."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._log_metric(name, time.perf_counter() - start)

    def _consume_custom_metrics(self) -> dict[str, float]:
        """What was recorded since the last call; clears it."""
        metrics: dict[str, float] = self.__dict__.pop("_custom_metrics", None) or {}
        return metrics

    def _log_dropped(self, reason: str, count: int = 1, sample: str | None = None) -> None:
        """Say that documents were dropped, and why; counts and a few samples reach the report."""
        seen: Observations = self.__dict__.setdefault("_observations", Observations())
        seen.dropped[reason] = seen.dropped.get(reason, 0) + count
        if sample is not None and len(seen.dropped_samples) < SAMPLES_PER_CALL:
            seen.dropped_samples.append((reason, sample[:SAMPLE_CHARACTERS]))

    def _log_kept(self, count: int = 1, sample: str | None = None) -> None:
        """Say that documents were kept; counts and a few samples reach the report."""
        seen: Observations = self.__dict__.setdefault("_observations", Observations())
        seen.kept += count
        if sample is not None and len(seen.kept_samples) < SAMPLES_PER_CALL:
            seen.kept_samples.append(sample[:SAMPLE_CHARACTERS])

    def _consume_observations(self) -> Observations | None:
        """What was said since the last call, or None; clears it."""
        seen: Observations | None = self.__dict__.pop("_observations", None)
        return seen


_SEVERAL = (list, Iterable, Iterator, Generator)


def _mentions_several(hint: object) -> bool:
    if get_origin(hint) in (UnionType, Union):
        return any(_mentions_several(part) for part in get_args(hint))
    return hint in _SEVERAL or get_origin(hint) in _SEVERAL
