"""From a manifest to stages and settings that are ready to run. Called by `run` and `plan`."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic
import yaml

from curator_api.errors import ManifestError, did_you_mean
from curator_api.v1alpha1 import CuratorPipeline, ExecutionSpec
from curator_executor.api.pipeline import Stage
from curator_executor.cli.limit import limit_stages
from curator_executor.cli.outcome import CommandError
from curator_executor.cli.services import Services
from curator_executor.runtime.compile import CompiledPipeline, settings_of
from curator_executor.runtime.settings import RunSettings


@dataclass(frozen=True)
class Prepared:
    """What a command works on.

    Attributes:
        pipeline: as compiled.
        stages: what runs: the pipeline's, cut by `--limit`, each with its whole environment.
        settings: the manifest's, with the options of the command line over them.
        notes: what the user should know.
    """

    pipeline: CompiledPipeline
    stages: list[Stage]
    settings: RunSettings
    notes: list[str]


def prepare(manifest: CuratorPipeline, options: Namespace, services: Services) -> Prepared:
    """Compile and check; apply the options of the command line.

    Raises:
        ManifestError: anything wrong with the manifest or found by a stage's check.
        CommandError: a bad `--set`.
    """
    path = Path(options.manifest)
    execution = _overridden(manifest.spec.execution, options)
    with naming(path):
        pipeline = services.compile(manifest, until=options.until, directory=path.resolve().parent)
        problems = services.check(pipeline)
        if problems:
            raise ManifestError(problems)
    stages = [_with_environment(stage, pipeline.runtime_env) for stage in pipeline.stages]
    notes = list(pipeline.notes)
    if options.limit is not None:
        stages = limit_stages(stages, options.limit)
        notes.append(f"--limit: reads at most {options.limit:,} documents")
    return Prepared(pipeline, stages, settings_of(execution), notes)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Give problems that come without a file the manifest's name."""
    try:
        yield
    except ManifestError as error:
        if error.source:
            raise
        raise ManifestError(error.problems, str(path)) from error


def _with_environment(stage: Stage, common: dict[str, Any] | None) -> Stage:
    """The stage with the pipeline's runtime environment under its own."""
    if not common:
        return stage
    own = stage.runtime_env or {}
    merged = {**common, **own}
    variables = {**common.get("env_vars", {}), **own.get("env_vars", {})}
    if variables:
        merged["env_vars"] = variables
    return stage.with_(runtime_env=merged)  # type: ignore[no-any-return]


def _overridden(execution: ExecutionSpec, options: Namespace) -> ExecutionSpec:
    """`spec.execution` with the options over it, checked as if the file had said so."""
    changes: dict[str, Any] = {}
    for given in options.set:
        name, value = _assignment(given)
        changes[name] = value
    if options.mode is not None:
        changes["mode"] = options.mode
    if options.no_fusion:
        changes["fusion"] = False
    if options.ignore_failures:
        changes["ignore_failures"] = True
    if not changes:
        return execution
    try:
        return ExecutionSpec.model_validate({**execution.model_dump(), **changes}, by_name=True)
    except pydantic.ValidationError as error:
        said = "; ".join(
            f"{ExecutionSpec.model_fields[str(part['loc'][0])].alias}: "
            f"{part['msg'][0].lower()}{part['msg'][1:]}, got {part['input']!r}"
            for part in error.errors()
        )
        raise CommandError(f"--set: {said}") from error


def _assignment(given: str) -> tuple[str, Any]:
    """`maxWorkersPerStage=2` as (field, value); the value is read as YAML would."""
    name, sign, text = given.partition("=")
    name = name.strip().removeprefix("spec.").removeprefix("execution.")
    by_alias = {str(field.alias): key for key, field in ExecutionSpec.model_fields.items()}
    if not sign:
        raise CommandError(f"--set wants NAME=VALUE, got {given!r}")
    field = by_alias.get(name) or (name if name in ExecutionSpec.model_fields else None)
    if field is None:
        hint = did_you_mean(re.sub(r"[_-]", "", name), by_alias)
        known = ", ".join(by_alias)
        raise CommandError(f"--set: there is no {name!r}. {hint} Fields: {known}")
    try:
        return field, yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise CommandError(f"--set {name}: {text!r} cannot be read: {error}") from error
