"""Put what a manifest says about a stage (workers, resources, retries, …) onto the stage.

Called by `compile`. Everything goes through what `ProcessingStage` already has; four keys of
`xenna_stage_spec` are ours: `min_workers`, `max_workers`, `timeout_s` and `worker_groups`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from curator_api.errors import ManifestError, Problem, did_you_mean
from curator_api.v1alpha1 import StageOptions, StageResources, StageSpec
from curator_api.v1alpha1.rules import wire_name
from curator_executor.api.composite import CompositeStage
from curator_executor.api.pipeline import Stage
from curator_executor.api.resources import Resources
from curator_executor.core.types import GIB

# On a stage of several parts these hold for every part; the others depend on what a part does.
_FOR_EVERY_PART = ("worker_groups", "retries", "timeout_seconds", "runtime_env")
_FOR_ONE_PART = ("resources", "batch_size", "workers")


@dataclass(frozen=True)
class StageLimits:
    """What a manifest asked for a stage beyond what its class says; None: nothing.

    Attributes:
        min_workers: fewest workers while there is work.
        max_workers: most workers; equal to `min_workers` for a fixed number.
        retries: further tries of a failed batch.
        timeout_s: most seconds for one batch.
        worker_groups: where it may run; empty: anywhere.
    """

    min_workers: int | None = None
    max_workers: int | None = None
    retries: int | None = None
    timeout_s: float | None = None
    worker_groups: tuple[str, ...] = ()


def limits_of(options: StageOptions) -> StageLimits:
    """The limits in a stage's options."""
    workers = options.workers
    count = workers.count if workers else None
    return StageLimits(
        min_workers=count or (workers.min if workers else None),
        max_workers=count or (workers.max if workers else None),
        retries=options.retries,
        timeout_s=options.timeout_seconds,
        worker_groups=tuple(options.worker_groups),
    )


def named_parts(
    stage: Stage, spec: StageSpec, path: str
) -> list[tuple[Stage, str, StageOptions, str]]:
    """The stages that run for one stage of the manifest.

    Returns:
        (stage, its name in the run, its options, path of these options), in order.

    Raises:
        ManifestError: parts that do not exist, or options that say nothing about which part.
    """
    if not isinstance(stage, CompositeStage):
        if spec.parts:
            raise ManifestError(
                [Problem(f"{path}.parts", f"{type(stage).__name__} is one stage without parts")]
            )
        return [(stage, spec.name, spec, path)]
    parts = _decomposed(stage, path)
    if len(parts) == 1 and not spec.parts:
        return [(parts[0], spec.name, spec, path)]
    names = _distinct([part.name for part in parts])
    problems = _part_problems(spec, names, path)
    if problems:
        raise ManifestError(problems)
    return [
        (part, f"{spec.name}.{name}", _options_of_part(spec, name), f"{path}.parts.{name}")
        for part, name in zip(parts, names, strict=True)
    ]


def _decomposed(stage: CompositeStage[Any, Any], path: str) -> list[Stage]:
    kind = type(stage).__name__
    try:
        parts = list(stage.decompose_and_apply_with())
    except Exception as error:
        said = f"{kind} cannot be taken apart: {type(error).__name__}: {error}"
        raise ManifestError([Problem(f"{path}.class", said)]) from error
    nested = [part.name for part in parts if isinstance(part, CompositeStage)]
    if nested or not parts:
        why = f"its part {nested[0]} has parts itself" if nested else "it has no parts"
        raise ManifestError([Problem(f"{path}.class", f"{kind} cannot be used: {why}")])
    return parts


def _distinct(names: list[str]) -> list[str]:
    """The names; of equal ones the second gets `-2`, and so on."""
    seen: dict[str, int] = {}
    distinct = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        distinct.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return distinct


def _part_problems(spec: StageSpec, names: list[str], path: str) -> list[Problem]:
    listed = ", ".join(names)
    problems = [
        Problem(
            f"{path}.parts.{name}",
            f"no such part; the parts are {listed}",
            did_you_mean(name, names),
        )
        for name in spec.parts
        if name not in names
    ]
    for field in _FOR_ONE_PART:
        if getattr(spec, field) is not None:
            wire = wire_name(spec, field)
            problems.append(
                Problem(
                    f"{path}.{wire}",
                    f"this stage is made of {listed}; {wire} must say which one it is for",
                    f"Write parts: {{{names[-1]}: {{{wire}: …}}}}",
                )
            )
    return problems


def _options_of_part(spec: StageSpec, name: str) -> StageOptions:
    own = spec.parts.get(name, StageOptions())
    inherited = {
        field: getattr(spec, field)
        for field in _FOR_EVERY_PART
        if field in spec.model_fields_set and field not in own.model_fields_set
    }
    return own.model_copy(update=inherited)


def apply_options(stage: Stage, name: str, options: StageOptions, path: str) -> Stage:
    """A copy of the stage under its name in the run, with the options on it.

    Raises:
        ManifestError: the stage cannot be copied, or cannot run with these options.
    """
    workers = options.workers
    changes: dict[str, Any] = {
        "name": name,
        "batch_size": options.batch_size,
        "runtime_env": options.runtime_env,
        "xenna_stage_spec": _stage_spec(stage, limits_of(options)) or None,
    }
    if options.resources is not None:
        changes["resources"] = _resources(options.resources, stage.resources, path)
    if workers is not None:
        # The manifest decides, so a number fixed by the class gives way.
        changes["num_workers"] = workers.count
        changes["num_workers_per_node"] = None
        least = workers.count or workers.min or 0
        if stage.is_global_stage and least > 1:
            field = "count" if workers.count else "min"
            said = "this stage sees every task before it emits, so it has one worker"
            raise ManifestError([Problem(f"{path}.workers.{field}", f"{said}; got {least}")])
    try:
        changed: Stage = stage.with_(**changes)
    except Exception as error:
        raise ManifestError(
            [
                Problem(
                    f"{path}.class",
                    f"{type(stage).__name__} cannot be copied: {type(error).__name__}: {error}",
                    "A stage travels to its workers: make connections, locks and models in setup()",
                )
            ]
        ) from error
    return changed


def _stage_spec(stage: Stage, limits: StageLimits) -> dict[str, Any]:
    spec: dict[str, Any] = {}
    if limits.min_workers is not None:
        spec["min_workers"] = limits.min_workers
    if limits.max_workers is not None:
        spec["max_workers"] = limits.max_workers
    if spec and stage.xenna_stage_spec().get("num_workers_per_node") is not None:
        spec["num_workers_per_node"] = None
    if limits.timeout_s is not None:
        spec["timeout_s"] = limits.timeout_s
    if limits.worker_groups:
        spec["worker_groups"] = list(limits.worker_groups)
    if limits.retries is not None:
        spec["num_run_attempts_python"] = limits.retries + 1
    return spec


def _resources(given: StageResources, own: Resources, path: str) -> Resources:
    """The class's own needs with those of the manifest over them."""
    gpus, gpu_memory_gb = own.gpus, own.gpu_memory_gb
    if given.gpu_memory_bytes is not None:
        gpus, gpu_memory_gb = 0.0, given.gpu_memory_bytes / GIB
    elif given.gpus is not None:
        gpus, gpu_memory_gb = given.gpus, 0.0
    elif gpu_memory_gb > 0:
        gpus = 0.0
    try:
        return Resources(
            cpus=own.cpus if given.cpus is None else given.cpus,
            gpus=gpus,
            gpu_memory_gb=gpu_memory_gb,
            memory=own.memory if given.memory_bytes is None else given.memory_bytes,
        )
    except ValueError as error:
        raise ManifestError([Problem(f"{path}.resources", str(error))]) from error
