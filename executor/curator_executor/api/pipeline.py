"""`Pipeline`: stages in order, composite ones expanded, source and sink known."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol

from curator_executor.api.composite import CompositeStage
from curator_executor.api.stage import ProcessingStage
from curator_executor.api.tasks import EmptyTask, Task

if TYPE_CHECKING:
    from collections.abc import Sequence

Stage = ProcessingStage[Any, Any]
log = logging.getLogger("curator_executor.pipeline")


class Executor(Protocol):
    """What `Pipeline.run` needs of an executor."""

    def execute(
        self, stages: list[Stage], initial_tasks: list[Task[Any]] | None = None
    ) -> list[Task[Any]]:
        """Run the stages and return the last one's tasks."""
        ...


def assign_root_task_ids(initial_tasks: Sequence[Task[Any]]) -> None:
    """Name initial tasks `0_0`, `0_1`, …: children of the root. An `EmptyTask` stays `0`."""
    for position, task in enumerate(initial_tasks):
        if not isinstance(task, EmptyTask):
            task._set_task_id("0", position)


def expand_composites(stages: Sequence[Stage]) -> tuple[list[Stage], dict[str, list[str]]]:
    """The stages that run, and which of them each composite stage became.

    Raises:
        TypeError: a composite stage contains another one.
    """
    expanded: list[Stage] = []
    parts_by_name: dict[str, list[str]] = {}
    for stage in stages:
        if not isinstance(stage, CompositeStage):
            expanded.append(stage)
            continue
        parts = stage.decompose_and_apply_with()
        for part in parts:
            if isinstance(part, CompositeStage):
                raise TypeError(
                    f"composite stage {stage.name} contains composite stage {part.name}; "
                    "nesting is not supported"
                )
        expanded.extend(parts)
        parts_by_name[stage.name] = [part.name for part in parts]
    return expanded, parts_by_name


def assign_roles(stages: Sequence[Stage]) -> None:
    """Mark the first stage as source and the last as sink unless one is marked already.

    Raises:
        ValueError: several stages are marked as source, or as sink.
    """
    for role, default in (("source", stages[0]), ("sink", stages[-1])):
        attribute = f"is_{role}_stage"
        marked = [stage for stage in stages if getattr(stage, attribute)]
        if len(marked) > 1:
            raise ValueError(
                f"several stages are marked as {role}: {[s.name for s in marked]}; "
                "at most one may be"
            )
        if not marked:
            setattr(default, attribute, True)


class Pipeline:
    """A named list of stages.

    Args:
        name: name of the pipeline.
        description: one sentence for people.
        stages: the stages, in order.
        config: options for any executor.
    """

    def __init__(
        self,
        name: str,
        description: str | None = None,
        stages: list[Stage] | None = None,
        config: dict[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.description = description
        self.stages: list[Stage] = stages or []
        self.config = config or {}
        self.decomposition_info: dict[str, list[str]] = {}

    def add_stage(self, stage: Stage) -> Pipeline:
        """Append a stage; returns the pipeline, so that calls can be chained.

        Raises:
            TypeError: not a `ProcessingStage`.
        """
        if not isinstance(stage, ProcessingStage):
            raise TypeError(
                f"pipeline {self.name}: a stage must be a ProcessingStage, "
                f"got {type(stage).__name__}"
            )
        self.stages.append(stage)
        return self

    def build(self) -> None:
        """Expand composite stages in place and mark source and sink.

        Raises:
            ValueError: no stages, or several sources or sinks.
            TypeError: nested composite stages.
        """
        if not self.stages:
            raise ValueError(f"pipeline {self.name} has no stages; add one with add_stage()")
        self.stages, parts = expand_composites(self.stages)
        self.decomposition_info = parts or self.decomposition_info
        assign_roles(self.stages)

    def describe(self) -> str:
        """What each stage needs and asks for, for people to read."""
        lines = [
            f"Pipeline: {self.name}",
            f"Description: {self.description or 'none'}",
            f"Stages: {len(self.stages)}",
        ]
        for number, stage in enumerate(self.stages, start=1):
            need = stage.resources
            gpus = f", {need.gpus:g} GPUs" if need.requires_gpu else ""
            lines += [
                "",
                f"Stage {number}: {stage.name}",
                f"  Resources: {need.cpus:g} CPUs{gpus}",
                f"  Batch size: {stage.batch_size}",
            ]
            specs = stage.inputs()
            by_type = specs if isinstance(specs, dict) else {None: specs}
            for kind, (attributes, columns) in by_type.items():
                if attributes or columns:
                    of = f" ({kind.__name__})" if kind else ""
                    lines.append(f"  Needs{of}: {', '.join([*attributes, *columns])}")
            attributes, columns = stage.outputs()
            if attributes or columns:
                lines.append(f"  Gives: {', '.join([*attributes, *columns])}")
        return "\n".join(lines)

    def run(
        self, executor: Executor | None = None, initial_tasks: list[Task[Any]] | None = None
    ) -> list[Task[Any]]:
        """Build and execute.

        Args:
            executor: anything with `execute(stages, initial_tasks)`; `XennaExecutor()` if None.
            initial_tasks: inputs of the first stage; one `EmptyTask` if None or empty.

        Returns:
            The tasks that the last stage returned.
        """
        self.build()
        if executor is None:
            from curator_executor.executor import XennaExecutor

            executor = XennaExecutor(self.config)
        if initial_tasks:
            assign_root_task_ids(initial_tasks)
        return executor.execute(self.stages, initial_tasks)

    def __repr__(self) -> str:
        parts = ", ".join(f"{stage.name}({type(stage).__name__})" for stage in self.stages)
        return f"Pipeline(name={self.name!r}, stages=[{parts}])"
