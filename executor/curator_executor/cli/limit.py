"""`--limit N`: let a pipeline read at most N documents. Called by `prepare`.

Cuts what the stages at the front emit: every stage that only lists files may emit N tasks (a file
has at least one document, as a rule), and the first stage that gives anything else may emit N
items. A table that would go over is cut, so that the limit holds to the document. The count is kept
in the worker, so these stages get one worker each; if that worker dies, its successor counts
afresh.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

from curator_executor.api.pipeline import Stage
from curator_executor.api.stage import ProcessingStage
from curator_executor.api.tasks import FileGroupTask

_SIZING_KEYS = ("num_workers_per_node", "min_workers", "max_workers")


def limit_stages(stages: Sequence[Stage], limit: int) -> list[Stage]:
    """The stages, those at the front replaced by copies that emit at most `limit`.

    Args:
        stages: the pipeline.
        limit: documents, or items of whatever the pipeline is about; at least 1.
    """
    limited = list(stages)
    for position, stage in enumerate(limited):
        limited[position] = _limited(stage, limit)
        if not lists_files(stage):
            break
    return limited


def lists_files(stage: Stage) -> bool:
    """Whether the stage says that it emits `FileGroupTask`s: names of files, not their content."""
    hints = [getattr(type(stage).process, "__annotations__", {}).get("return", "")]
    hints += [
        base.__args__[-1]
        for kind in type(stage).__mro__
        for base in vars(kind).get("__orig_bases__", ())
        if getattr(base, "__args__", None)
    ]
    return any(FileGroupTask.__name__ in str(hint) for hint in hints)


def _limited(stage: Stage, limit: int) -> Stage:
    changed: Any = copy.copy(stage)
    own_batches = type(stage).process_batch is not ProcessingStage.process_batch
    method = "process_batch" if own_batches else "process"
    # On the instance, where the worker looks them up; the class stays as it is.
    setattr(changed, method, CutOff(changed, method, limit))
    changed.num_workers = Answer(1)
    changed.num_workers_per_node = Answer(None)
    spec = {k: v for k, v in stage.xenna_stage_spec().items() if k not in _SIZING_KEYS}
    changed.xenna_stage_spec = Answer(spec)
    return changed  # type: ignore[no-any-return]


class Answer:
    """A method that gives one value; a class, so that it can be pickled."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __call__(self) -> Any:
        """The value."""
        return self.value


class CutOff:
    """Stands in for a stage's `process` or `process_batch` and stops it after `limit` items.

    Args:
        stage: the stage that it stands in for.
        method: which method of the stage's class does the work.
        limit: items it may emit.
    """

    def __init__(self, stage: Stage, method: str, limit: int) -> None:
        self.stage = stage
        self.method = method
        self.left = limit

    def __call__(self, given: Any) -> Any:
        """Do the work unless the limit is reached; emit no more than is left of it."""
        if self.left <= 0:
            return [] if self.method == "process_batch" else None
        result = getattr(type(self.stage), self.method)(self.stage, given)
        if isinstance(result, list):
            return list(self._cut(iter(result)))
        if isinstance(result, Iterator):
            return self._cut(result)
        return next(self._cut(iter((result,))), None)

    def _cut(self, results: Iterator[Any]) -> Iterator[Any]:
        for result in results:
            if getattr(result, "data", None) is None:  # filtered, failed, or no task at all
                yield result
                continue
            yield _at_most(result, self.left)
            self.left -= 1 if _names_files(result) else max(1, result.num_items)
            # Ends here and not at the next result: making that one may take long.
            if self.left <= 0:
                return


def _names_files(task: Any) -> bool:
    # By name, because NeMo Curator's own class counts too.
    return any(kind.__name__ == FileGroupTask.__name__ for kind in type(task).__mro__)


def _at_most(task: Any, items: int) -> Any:
    """The task with its table cut to `items` rows; other payloads stay whole."""
    if _names_files(task) or task.num_items <= items:
        return task
    data = task.data
    if hasattr(data, "iloc"):
        task.data = data.iloc[:items]
    elif hasattr(data, "slice") and hasattr(data, "column_names"):
        task.data = data.slice(0, items)
    elif isinstance(data, list) and len(data) == task.num_items:
        task.data = data[:items]
    return task
