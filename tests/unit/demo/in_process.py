"""A pipeline in this process, one task at a time: what the stages do, without an executor."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

from curator_executor.api import EmptyTask, ProcessingStage, Task


@dataclass
class Ran:
    """What a stage did.

    Attributes:
        name: the stage.
        seconds: CPU time spent in it.
        documents: items of its input tasks.
        kept: documents it said it kept.
        dropped: documents it said it dropped, by reason.
    """

    name: str
    seconds: float = 0.0
    documents: int = 0
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)


def run(
    stages: list[ProcessingStage[Any, Any]], scratch: Path
) -> tuple[list[Task[Any]], list[Ran]]:
    """Outputs of the last stage, and what each stage did."""
    ran = [Ran(stage.name) for stage in stages]
    for number, stage in enumerate(stages):
        stage.scratch_dir = str(scratch / str(number))
        stage.setup_on_node()
        stage.setup()
    tasks: Iterable[Task[Any]] = [EmptyTask()]
    for stage, figures in zip(stages, ran, strict=True):
        tasks = _through(stage, tasks, figures)
    outputs = list(tasks)
    for stage in stages:
        stage.teardown()
    return outputs, ran


def _through(
    stage: ProcessingStage[Any, Any], tasks: Iterable[Task[Any]], ran: Ran
) -> Iterator[Task[Any]]:
    for task in tasks:
        ran.documents += task.num_items
        start = time.process_time()
        found = stage.process(task)
        outputs = [found] if found is None or isinstance(found, Task) else found
        yield from _named(stage, outputs, task, ran, start)
    if stage.is_global_stage:
        yield from _named(stage, stage.finish(), None, ran, time.process_time())


def _named(
    stage: ProcessingStage[Any, Any],
    outputs: Iterable[Any],
    parent: Task[Any] | None,
    ran: Ran,
    start: float,
) -> Iterator[Task[Any]]:
    for ordinal, output in enumerate(outputs):
        ran.seconds += time.process_time() - start
        if output is not None:
            own = (output if parent is None else parent)._lineage_key
            output.__dict__["_lineage_key"] = blake2b(
                own + f"{stage.name}{ordinal}".encode(), digest_size=16
            ).digest()
            output.task_id = output._lineage_key.hex()
            yield output
        start = time.process_time()
    ran.seconds += time.process_time() - start
    seen = stage._consume_observations()
    if seen is not None:
        ran.kept += seen.kept
        for reason, count in seen.dropped.items():
            ran.dropped[reason] = ran.dropped.get(reason, 0) + count
