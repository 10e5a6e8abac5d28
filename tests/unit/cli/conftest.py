"""A folder with a pipeline and its stages, and a run that is made up."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from curator_executor.cli.arguments import parser
from curator_executor.cli.commands import run_command
from curator_executor.cli.services import Services
from curator_executor.core.types import BatchError
from curator_executor.runtime.run import RunContext, RunOutcome
from tests.unit.sinks.runs import report, snapshot, stage_report

STAGES = """
from dataclasses import dataclass, field
from curator_executor import FileGroupTask, ProcessingStage, Task


@dataclass
class Numbers(Task[list[int]]):
    @property
    def num_items(self):
        return len(self.data)

    def validate(self):
        return True


@dataclass
class Lister(ProcessingStage):
    name: str = "lister"

    def process(self, task) -> list[FileGroupTask]:
        return [FileGroupTask(dataset_name="d", data=[f"{i}.txt"]) for i in range(10)]


@dataclass
class Reader(ProcessingStage):
    name: str = "reader"

    def process(self, task):
        for start in range(0, 12, 4):
            yield Numbers("d", list(range(start, start + 4)))


@dataclass
class Halver(ProcessingStage):
    zero: int = 0
    name: str = "halver"

    def process(self, task):
        return Numbers(task.dataset_name, [100 // (n - self.zero) for n in task.data])


class Checked(Halver):
    def check(self):
        return "the model file is missing"
"""
MANIFEST = """\
apiVersion: curator.dev/v1alpha1
kind: CuratorPipeline
metadata: {name: halves}
spec:
  stages:
  - {name: list, class: cli_test_stages.Lister}
  - {name: read, class: cli_test_stages.Reader}
  - {name: halve, class: cli_test_stages.Halver, args: {zero: 7}, batchSize: 2}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: `pipeline.yaml` and the module with its stages."""
    (tmp_path / "cli_test_stages.py").write_text(STAGES)
    (tmp_path / "pipeline.yaml").write_text(MANIFEST)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.delenv("CURATOR_RUNS_DIR", raising=False)
    sys.modules.pop("cli_test_stages", None)
    return tmp_path


@dataclass
class FakeRun:
    """Stands in for `run_stages`: remembers what it was given and ends as it is told.

    Attributes:
        ending: raised at the end, if not None.
        outcome: returned otherwise.
    """

    ending: BaseException | None = None
    outcome: RunOutcome = field(default_factory=lambda: RunOutcome([], clean_report()))
    calls: list[dict[str, Any]] = field(default_factory=list)

    def __call__(
        self,
        stages: Sequence[Any],
        initial_tasks: Any,
        settings: Any,
        sinks: Sequence[Any] = (),
        pipeline_name: str = "pipeline",
        context: RunContext | None = None,
    ) -> RunOutcome:
        self.calls.append(
            {
                "stages": list(stages),
                "settings": settings,
                "name": pipeline_name,
                "context": context,
            }
        )
        for sink in sinks:
            sink.publish(snapshot(0.4))
        for sink in sinks:
            sink.close(self.outcome.report)
        if self.ending is not None:
            raise self.ending
        return self.outcome


def clean_report(**changes: Any) -> Any:
    """A report of a run in which nothing failed."""
    values = {"stages": [stage_report("writer")], "dead_letters": [], **changes}
    return report(snapshot=snapshot(1.0, state="Succeeded", failures=[]), **values)


def failed_batch(tasks: list[Any]) -> BatchError:
    """Stage 2 failed on the tasks."""
    return BatchError(
        stage=2,
        tasks=len(tasks),
        task_ids=("0_1",),
        error="ZeroDivisionError",
        message="division by zero",
        traceback="Traceback: here",
        inputs=cloudpickle.dumps(tasks),
    )


Curator = Callable[..., int]


@pytest.fixture
def curator() -> Curator:
    """Run the command with a made-up run; the exit code."""

    def command(*arguments: str, run: FakeRun | None = None) -> int:
        return run_command(parser().parse_args(arguments), Services(run=run or FakeRun()))

    return command
