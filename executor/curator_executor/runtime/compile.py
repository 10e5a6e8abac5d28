"""Turn a manifest into stages: `compile_manifest`, then `check_stages`.

Called by the command line before anything starts. Imports the user's code and builds every stage,
so that what is wrong with names, arguments and options is said at once and before any worker runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curator_api.errors import ManifestError, Problem, did_you_mean
from curator_api.v1alpha1 import (
    BuilderSpec,
    CuratorPipeline,
    ExecutionSpec,
    PipelineSpec,
    StageSpec,
)
from curator_api.v1alpha1.rules import wire_name
from curator_executor.api.pipeline import Stage, assign_roles, expand_composites
from curator_executor.api.stage import ProcessingStage
from curator_executor.core.types import Node, NodeGroup
from curator_executor.runtime.checks import objections
from curator_executor.runtime.compile_imports import (
    build_stage,
    call_with,
    import_name,
    make_importable,
    resolve_env,
)
from curator_executor.runtime.compile_options import (
    StageLimits,
    apply_options,
    limits_of,
    named_parts,
)
from curator_executor.runtime.environment import WorkerEnvironment
from curator_executor.runtime.settings import RunSettings

# What only Kubernetes uses; a local run says so once for each that is given.
_KUBERNETES_ONLY = (
    "image",
    "cluster",
    "checkpoint",
    "dead_letters",
    "suspend",
    "backoff_limit",
    "retry_on",
    "active_deadline_seconds",
    "ttl_seconds_after_finished",
)


@dataclass(frozen=True)
class CompiledPipeline:
    """A manifest, ready to run.

    Attributes:
        name: of the pipeline.
        stages: what runs, in order; names are unique, the first is the source, the last the sink.
        settings: options of the run.
        limits: per stage that runs, what the manifest asked for it.
        parts: names of the stages that run, by the name in the manifest.
        paths: where in the manifest each stage that runs comes from, by its name.
        notes: what the manifest says that this run does not use; one line each.
        python_paths: directories that workers must be able to import from.
        runtime_env: Ray runtime environment of all workers, or None.
        worker_groups: nodes that the cluster may have, by group.
    """

    name: str
    stages: list[Stage]
    settings: RunSettings
    limits: dict[str, StageLimits]
    parts: dict[str, list[str]]
    paths: dict[str, str]
    notes: list[str] = field(default_factory=list)
    python_paths: list[str] = field(default_factory=list)
    runtime_env: dict[str, Any] | None = None
    worker_groups: tuple[NodeGroup, ...] = ()

    @property
    def environment(self) -> WorkerEnvironment:
        """What workers import from and run in."""
        return WorkerEnvironment(tuple(self.python_paths), self.runtime_env, self.worker_groups)


@dataclass
class _Collected:
    """The stages so far, and what was wrong on the way."""

    stages: list[Stage] = field(default_factory=list)
    limits: dict[str, StageLimits] = field(default_factory=dict)
    parts: dict[str, list[str]] = field(default_factory=dict)
    paths: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def compile_manifest(
    manifest: CuratorPipeline,
    *,
    env: Mapping[str, str],
    until: str | None = None,
    directory: Path | None = None,
) -> CompiledPipeline:
    """Import and build everything that a manifest names.

    Args:
        manifest: what `load_manifest` gave.
        env: environment that `{fromEnv: NAME}` reads.
        until: last stage to run, by its name in the manifest or in the run; None for all.
        directory: where the manifest is; modules there can be imported.

    Raises:
        ManifestError: every problem of every stage: what cannot be imported, arguments that a
            constructor does not take, options that a stage cannot have, an unknown `until`.
    """
    python_paths = make_importable(directory)
    spec = manifest.spec
    collected = _Collected()
    if spec.builder is not None:
        _add_built(spec.builder, env, collected)
    for position, stage in enumerate(_wanted(spec.stages or [], until)):
        try:
            _add_stage(stage, f"spec.stages[{position}]", env, collected)
        except ManifestError as error:
            collected.problems += error.problems
    if not collected.problems:
        _check_names(collected)
    if collected.problems:
        raise ManifestError(collected.problems)
    stages = _cut(collected, until)
    try:
        assign_roles(stages)
    except ValueError as error:
        raise ManifestError([Problem("spec.stages", str(error))]) from error
    kept = {stage.name for stage in stages}
    return CompiledPipeline(
        name=manifest.metadata.name,
        stages=stages,
        settings=settings_of(spec.execution),
        limits={name: limit for name, limit in collected.limits.items() if name in kept},
        parts={name: names for name, names in collected.parts.items() if kept & set(names)},
        paths={name: path for name, path in collected.paths.items() if name in kept},
        notes=_notes(spec),
        python_paths=python_paths,
        runtime_env=spec.runtime_env,
        worker_groups=_worker_groups(spec),
    )


def settings_of(execution: ExecutionSpec) -> RunSettings:
    """The run's settings, from `spec.execution`."""
    return RunSettings(
        logging_interval=execution.logging_interval_seconds,
        ignore_failures=execution.ignore_failures,
        max_workers_per_stage=execution.max_workers_per_stage,
        execution_mode=execution.mode,
        cpu_allocation_percentage=execution.cpu_allocation_percent / 100,
        autoscale_interval_s=execution.autoscale_interval_seconds,
        fusion=execution.fusion,
        drain_s=execution.drain_seconds,
        max_failures=execution.max_failures,
    )


def check_stages(stages: Sequence[Stage], paths: Mapping[str, str] | None = None) -> list[Problem]:
    """Ask each stage that has a `check()` whether it could run here.

    Args:
        stages: the stages, in order.
        paths: where in the manifest each comes from, by name.

    Returns:
        Every problem of every stage; empty if there is none.
    """
    return [
        Problem((paths or {}).get(stage.name, ""), text, "", None, stage.name)
        for stage in stages
        for text in objections(stage)
    ]


def _wanted(specs: Sequence[StageSpec], until: str | None) -> Sequence[StageSpec]:
    """The stages up to `until`, so that a later one need not even be importable."""
    for position, spec in enumerate(specs):
        if spec.name == until:
            return specs[: position + 1]
    return specs


def _add_stage(spec: StageSpec, path: str, env: Mapping[str, str], collected: _Collected) -> None:
    secrets: list[str] = []
    missing: list[Problem] = []
    args = resolve_env(spec.args, env, f"{path}.args", secrets, missing)
    if missing:
        raise ManifestError(missing)
    stage = build_stage(spec.class_, args, path, secrets)
    for part, name, options, where in named_parts(stage, spec, path):
        collected.stages.append(apply_options(part, name, options, where))
        collected.limits[name] = limits_of(options)
        collected.parts.setdefault(spec.name, []).append(name)
        collected.paths[name] = path


def _add_built(builder: BuilderSpec, env: Mapping[str, str], collected: _Collected) -> None:
    path = "spec.builder"
    secrets: list[str] = []
    args = resolve_env(builder.args, env, f"{path}.args", secrets, collected.problems)
    if collected.problems:
        raise ManifestError(collected.problems)
    function = import_name(builder.callable, f"{path}.callable")
    if not callable(function):
        got = type(function).__name__
        raise ManifestError([Problem(f"{path}.callable", f"wanted a function, got {got}")])
    result = call_with(function, args, path, secrets)
    stages = getattr(result, "stages", result)
    strangers = [
        type(stage).__name__
        for stage in (stages if isinstance(stages, (list, tuple)) else [result])
        if not isinstance(stage, ProcessingStage)
    ]
    if strangers or not stages:
        got = ", ".join(dict.fromkeys(strangers)) or "no stages"
        raise ManifestError(
            [
                Problem(
                    f"{path}.callable",
                    f"wanted {builder.callable} to return a Pipeline or a list of stages, got "
                    f"{got}",
                )
            ]
        )
    try:
        expanded, collected.parts = expand_composites(stages)
        # Copies: a builder may hand out the same objects again, and roles are marked on them.
        collected.stages = [stage.with_() for stage in expanded]
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise ManifestError([Problem(f"{path}.callable", said)]) from error
    collected.paths = {stage.name: path for stage in collected.stages}
    collected.limits = {stage.name: StageLimits() for stage in collected.stages}


def _check_names(collected: _Collected) -> None:
    seen: set[str] = set()
    for stage in collected.stages:
        if stage.name in seen:
            collected.problems.append(
                Problem(
                    collected.paths[stage.name],
                    f"two stages are named {stage.name}",
                    "Give each its own name, e.g. stage.with_(name=...)",
                )
            )
        seen.add(stage.name)


def _cut(collected: _Collected, until: str | None) -> list[Stage]:
    names = [stage.name for stage in collected.stages]
    if until is None:
        return collected.stages
    last = collected.parts.get(until, [until])[-1]
    if last not in names:
        known = list(dict.fromkeys([*collected.parts, *names]))
        raise ManifestError(
            [
                Problem(
                    "until",
                    f"there is no stage {until}; the stages are {', '.join(known)}",
                    did_you_mean(until, known),
                )
            ]
        )
    return collected.stages[: names.index(last) + 1]


def _worker_groups(spec: PipelineSpec) -> tuple[NodeGroup, ...]:
    groups = spec.cluster.worker_groups if spec.cluster is not None else []
    return tuple(
        NodeGroup(
            Node(
                "",
                group.resources.cpus,
                float(group.accelerator.count) if group.accelerator else 0.0,
                group.resources.memory_bytes,
                group=group.name,
                gpu_memory=(group.accelerator.memory_bytes or 0) if group.accelerator else 0,
            ),
            group.max_replicas,
        )
        for group in groups
    )


def _notes(spec: PipelineSpec) -> list[str]:
    given = [wire_name(spec, name) for name in _KUBERNETES_ONLY if name in spec.model_fields_set]
    notes = [f"spec.{name}: ignored by a local run" for name in given]
    return notes + [
        f"spec.stages[{position}].workerGroups: ignored where nodes have no worker group"
        for position, stage in enumerate(spec.stages or [])
        if stage.worker_groups
    ]
