"""`run_stages`: one whole run, from stages and inputs to tasks and a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from curator_api.progress import RunReport
from curator_executor.api.pipeline import Stage
from curator_executor.api.tasks import Task
from curator_executor.runtime.ports import ProgressSink
from curator_executor.runtime.settings import RunSettings


@dataclass(frozen=True)
class RunOutcome:
    """What a run gave.

    Attributes:
        tasks: outputs of the last stage.
        report: figures, decisions and dead letters.
    """

    tasks: list[Task[Any]]
    report: RunReport


def run_stages(
    stages: Sequence[Stage],
    initial_tasks: Sequence[Task[Any]] | None,
    settings: RunSettings,
    sinks: Sequence[ProgressSink] = (),
    pipeline_name: str = "pipeline",
) -> RunOutcome:
    """Run the stages on Ray."""
    raise RuntimeError("the Ray backend is being written")
