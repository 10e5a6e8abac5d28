"""Run one stage on one batch, in a worker: call it as it asked, name its outputs, time it.

Called by `host`. Ids follow NeMo Curator's rules; lineage keys are ours: 16 bytes that are the
same whenever the same task is made again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from curator_executor.api.perf import pack_entry
from curator_executor.api.stage import ProcessingStage
from curator_executor.api.tasks import Task
from curator_executor.core.types import BatchError, StageFigures
from curator_executor.runtime.batch_errors import Fresh, batch_error
from curator_executor.runtime.lineage import Parent
from curator_executor.runtime.naming import Mark, Namer

log = logging.getLogger("curator_executor.worker")
RETRY_PAUSE_S = 0.1
LONGEST_RETRY_PAUSE_S = 16.0


class BatchFailed(Exception):
    """A stage could not process a batch; carries what is known."""

    def __init__(self, error: BatchError) -> None:
        super().__init__(error.message)
        self.error = error


@dataclass(slots=True)
class _Batch:
    """One batch on its way through a stage."""

    parents: list[Parent]
    items: int
    idle_s: float
    mb: float
    fresh: Fresh
    attempt: int = 1
    emitted: int = 0


@dataclass(slots=True)
class Early:
    """What a stage already did with a batch before the long way was taken.

    Attributes:
        start: when it was called.
        items: items of the batch.
        returned: what `process` returned for the one task, or `process_batch` for all.
        error: what it raised instead.
    """

    start: float
    items: int
    returned: Any = None
    error: Exception | None = None


class StageRunner:
    """A stage in a worker.

    Args:
        stage: the stage, set up.
        index: its position in the pipeline.
        attempts: times a batch is tried.
        worker: number of the worker; makes batch numbers unique.
        names: names of all stages.
    """

    def __init__(
        self, stage: Any, index: int, attempts: int, worker: int, names: tuple[str, ...]
    ) -> None:
        self.stage = stage
        self.index = index
        self.attempts = attempts
        self.names = names
        self.figures = StageFigures(index)
        # Outputs of the next batch (or of `finish`) that a worker before this one passed on: they
        # are made again, and not counted again.
        self.replayed = 0
        self.on_run: Callable[[int], None] | None = None
        self.last_end = time.perf_counter()
        self.batch = (worker << 40) + (index << 32)
        kind = type(stage)
        self.by_task = kind.process_batch is ProcessingStage.process_batch and (
            "process_batch" not in stage.__dict__
        )
        self._namer = Namer(stage, index, names, by_task=self.by_task)
        self.is_source = self._namer.is_source
        self.tag = self._namer.tag
        self.validates = (
            kind.inputs is not ProcessingStage.inputs
            or kind.validate_input is not ProcessingStage.validate_input
            or kind.input_spec_for_task is not ProcessingStage.input_spec_for_task
        )

    def take_figures(self) -> StageFigures:
        """Figures since the last call; clears them."""
        figures, self.figures = self.figures, StageFigures(self.index)
        return figures

    # Running a batch -----------------------------------------------------------------------

    def require_valid(self, task: Any) -> None:
        """Refuse a task that lacks what the stage's `inputs()` ask for.

        Raises:
            ValueError: it does.
        """
        if not self.stage.validate_input(task):
            raise ValueError(f"task {task!s} failed validation for stage {self.stage.name}")

    def run(
        self, tasks: list[Any], fresh: Fresh, mb_per_task: float, early: Early | None = None
    ) -> Sequence[Any] | Iterator[Any]:
        """Outputs of one batch: a list, or an iterator if the stage yields them.

        Args:
            tasks: the input.
            fresh: makes the input anew, for another attempt.
            mb_per_task: size of one input task in MB of 10^6 bytes.
            early: the first attempt, where it was made already.

        Raises:
            BatchFailed: every attempt raised, or the stage returned something that is no task.
        """
        if self.on_run is not None:
            self.on_run(self.index)
        start = time.perf_counter() if early is None else early.start
        batch = _Batch(
            [Parent(task) for task in tasks],
            sum([task.num_items for task in tasks]) if early is None else early.items,
            start - self.last_end,
            mb_per_task * len(tasks),
            fresh,
        )
        results = self._attempt(batch, tasks, early)
        if not isinstance(results, list):
            return self._stream(results, batch)
        end = self.last_end = time.perf_counter()
        figures = self.figures
        figures.process_s += end - start
        figures.batches += 1
        figures.tasks_in += len(tasks)
        figures.items += batch.items
        self.batch += 1
        entry = pack_entry(self.index, batch.items, end - start, batch.idle_s, batch.mb, self.batch)
        mark = Mark(entry, self.batch, self.observe())
        try:
            outputs, filtered = self._namer.name(batch.parents, results, mark)
        except (TypeError, ValueError) as error:
            raise BatchFailed(self._error(batch, error)) from error
        figures.tasks_out += max(0, len(outputs) - self.replayed)
        figures.filtered += filtered
        return outputs

    def _attempt(self, batch: _Batch, tasks: list[Any], early: Early | None = None) -> Any:
        """What `_call` gives, in as many attempts as the stage has left.

        Raises:
            BatchFailed: the last one raised.
        """
        while True:
            try:
                made, early = early, None
                if made is None:
                    return self._call(tasks)
                if made.error is not None:
                    raise made.error
                return self._slots(made.returned, len(tasks))
            except Exception as error:  # noqa: BLE001 - the stage's own code may raise anything
                tasks = self._again(batch, error)

    def _call(self, tasks: list[Any]) -> Any:
        """Results as a list with a slot per input (itself a list where it fanned out), or lazily.

        A single input that fans out gives a flat list of slots either way.
        """
        stage = self.stage
        if not self.by_task:
            return self._slots(stage.process_batch(tasks), len(tasks))
        slots = []
        for task in tasks:
            if self.validates:
                self.require_valid(task)
            result = stage.process(task)
            if len(tasks) == 1:
                return self._slots(result, 1)
            slots.append(list(result) if isinstance(result, Iterator) else result)
        return slots

    def _slots(self, returned: Any, count: int) -> Any:
        """What a stage returned for a batch, as `_call` gives it.

        Raises:
            TypeError: `process_batch` returned something that holds no tasks.
        """
        if self.by_task:  # of one task
            return returned if isinstance(returned, Iterator) else [returned]
        if isinstance(returned, list):
            return returned
        if returned is None or isinstance(returned, Task):
            raise TypeError(self._wrong("process_batch()", returned, "a list of tasks"))
        if count == 1 and isinstance(returned, Iterator):
            return returned
        return list(returned)

    def _stream(self, results: Iterator[Any], batch: _Batch) -> Iterator[Any]:
        """Outputs of a batch that the stage yields; only time inside the stage counts.

        If it raises half-way, what was passed on stands: another attempt skips that many.
        """
        self.batch += 1
        number = self.batch
        spent = 0.0
        position = 0  # in this attempt
        mark = Mark(b"", number, None)
        while True:
            start = time.perf_counter()
            try:
                result = next(results)
            except StopIteration:
                break
            except Exception as error:  # noqa: BLE001 - the stage's own code may raise anything
                results = iter(self._flat(self._attempt(batch, self._again(batch, error))))
                position = 0
                continue
            finally:
                self.last_end = time.perf_counter()
                spent += self.last_end - start
            position += 1
            if position <= batch.emitted:
                continue
            counted = batch.emitted >= self.replayed
            metrics = self.observe(counted=counted)
            entry = pack_entry(self.index, batch.items, spent, batch.idle_s, batch.mb, number)
            self.figures.process_s += spent
            spent = 0.0
            try:
                mark.entry, mark.metrics = entry, metrics
                named = self._namer.children(batch.parents[0], [result], mark, batch.emitted)
            except (TypeError, ValueError) as error:
                raise BatchFailed(self._error(batch, error)) from error
            batch.emitted += 1
            self.figures.tasks_out += len(named) if counted else 0
            yield from named
        self.figures.process_s += spent
        self.figures.batches += 1
        self.figures.tasks_in += 1
        self.figures.items += batch.items
        self.figures.filtered += not batch.emitted
        self.observe()

    def _flat(self, results: Any) -> Any:
        if isinstance(results, list) and len(results) == 1 and isinstance(results[0], list):
            return results[0]
        return results

    def _again(self, batch: _Batch, error: Exception) -> list[Any]:
        """Input for one more attempt, after a pause.

        Raises:
            BatchFailed: that was the last one.
        """
        self.stage._consume_custom_metrics()
        self.stage._consume_observations()
        if batch.attempt >= self.attempts:
            raise BatchFailed(self._error(batch, error)) from error
        log.warning(
            "retry stage=%s attempt=%d of=%d error=%r",
            self.stage.name,
            batch.attempt,
            self.attempts,
            error,
        )
        self.figures.retried += len(batch.parents)
        time.sleep(min(RETRY_PAUSE_S * 2**batch.attempt, LONGEST_RETRY_PAUSE_S))
        batch.attempt += 1
        return batch.fresh()

    def finish(self) -> Iterator[Any]:
        """Outputs of a global stage. A task that it took in and gives out keeps its lineage."""
        start = time.perf_counter()
        for ordinal, task in enumerate(self.stage.finish()):
            spent = time.perf_counter() - start
            if not isinstance(task, Task):
                raise TypeError(self._wrong("finish()", task, "tasks"))
            parent = Parent(task)
            items = task.num_items
            counted = ordinal >= self.replayed
            self.figures.process_s += spent
            self.figures.batches += counted
            self.batch += 1
            entry = pack_entry(self.index, items, spent, 0.0, 0.0, self.batch)
            metrics = self.observe(counted=counted)
            first = 0 if parent.key else ordinal
            mark = Mark(entry, self.batch, metrics)
            named = self._namer.children(parent, [task], mark, first)
            self.figures.tasks_out += len(named) if counted else 0
            yield from named
            start = time.perf_counter()
        self.figures.process_s += time.perf_counter() - start
        self.observe()

    # What a stage says ---------------------------------------------------------------------

    def observe(self, *, counted: bool = True) -> dict[str, float] | None:
        """Collect metrics and observations; returns the metrics of this batch.

        Args:
            counted: add them to the figures; a replay was counted before.
        """
        state = self.stage.__dict__
        if not counted:
            self.stage._consume_observations()
            return dict(self.stage._consume_custom_metrics()) or None
        if "_observations" in state:
            seen = self.stage._consume_observations()
            figures = self.figures
            figures.kept += seen.kept
            for reason, count in seen.dropped.items():
                figures.dropped[reason] = figures.dropped.get(reason, 0) + count
            if len(figures.kept_samples) < 5:
                figures.kept_samples += seen.kept_samples
            if len(figures.dropped_samples) < 20:
                figures.dropped_samples += seen.dropped_samples
        if "_custom_metrics" not in state:
            return None
        metrics: dict[str, float] = self.stage._consume_custom_metrics()
        for name, value in metrics.items():
            self.figures.metrics[name] = self.figures.metrics.get(name, 0.0) + value
        return metrics or None

    def _wrong(self, method: str, value: Any, wanted: str) -> str:
        return f"stage {self.stage.name}: {method} returned {type(value).__name__}, wanted {wanted}"

    def _error(self, batch: _Batch, error: BaseException) -> BatchError:
        return batch_error(
            self.index,
            [parent.id for parent in batch.parents],
            error,
            attempts=batch.attempt,
            emitted=batch.emitted,
            fresh=batch.fresh,
        )
