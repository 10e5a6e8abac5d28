"""What the commands are made of: read, compile, check and run. Tests hand in others."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from curator_api.errors import Problem
from curator_api.load import load_manifest
from curator_api.v1alpha1 import CuratorPipeline
from curator_executor.api.pipeline import Stage
from curator_executor.api.tasks import Task
from curator_executor.runtime.compile import CompiledPipeline, check_stages, compile_manifest
from curator_executor.runtime.ports import ProgressSink
from curator_executor.runtime.run import RunContext, RunOutcome, run_stages
from curator_executor.runtime.settings import RunSettings


class Compile(Protocol):
    """`compile_manifest` with the environment filled in."""

    def __call__(
        self, manifest: CuratorPipeline, *, until: str | None, directory: Path
    ) -> CompiledPipeline:
        """Build the stages."""
        ...


class Run(Protocol):
    """`run_stages`."""

    def __call__(
        self,
        stages: Sequence[Stage],
        initial_tasks: Sequence[Task[Any]] | None,
        settings: RunSettings,
        sinks: Sequence[ProgressSink] = (),
        pipeline_name: str = "pipeline",
        context: RunContext | None = None,
    ) -> RunOutcome:
        """Run the stages."""
        ...


def compile_here(
    manifest: CuratorPipeline, *, until: str | None, directory: Path
) -> CompiledPipeline:
    """Compile with this process's environment."""
    return compile_manifest(manifest, env=os.environ, until=until, directory=directory)


@dataclass(frozen=True)
class Services:
    """The four steps from a file to a finished run."""

    load: Callable[[Path], CuratorPipeline] = load_manifest
    compile: Compile = compile_here
    check: Callable[[CompiledPipeline], list[Problem]] = lambda pipeline: check_stages(
        pipeline.stages, pipeline.paths
    )
    run: Run = run_stages
