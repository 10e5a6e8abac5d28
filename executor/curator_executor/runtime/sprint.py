"""The short way through a stage: plain tasks in, plain tasks out, many of them in one loop.

Called by `host` for stages that share their worker with none. It does what `runner` does, with a
fifth of the overhead: outputs go from the stage to the writer as columns, and their ids and lineage
keys are left to be made by whoever reads them. Whatever is out of the ordinary (an exception, a
generator, a content id) it leaves to `runner`, together with what the stage returned, so that no
stage is called twice.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from curator_executor.api.perf import pack_entry
from curator_executor.api.tasks import FailedTask, NoneTask, Task
from curator_executor.core.types import StageFigures
from curator_executor.runtime.columns import is_tracked
from curator_executor.runtime.gathering import Gathering
from curator_executor.runtime.origins import Metrics, Origin
from curator_executor.runtime.runner import Early, StageRunner
from curator_executor.runtime.sizes import FIXED_BYTES, estimate_bytes
from curator_executor.runtime.writer import PayloadWriter

# A sprint ends after this long, so that the call can come back in time.
SPRINT_S = 0.02

# Rows of an input chunk: where they come from, the first, and how many.
Run = tuple[Origin, int, int]


def _add_figures(figures: StageFigures, batches: int, process_s: float, *tasks: int) -> None:
    """Add (items, tasks in, tasks out, filtered ones) of some batches."""
    items, tasks_in, tasks_out, filtered = tasks
    figures.batches += batches
    figures.process_s += process_s
    figures.items += items
    figures.tasks_in += tasks_in
    figures.tasks_out += tasks_out
    figures.filtered += filtered


class _Short:
    """What both short ways share.

    Args:
        runner: the stage; its figures and batch numbers are kept up.
        block_bytes: bytes after which a call returns.
    """

    def __init__(self, runner: StageRunner, block_bytes: int) -> None:
        self._runner = runner
        self._limit = block_bytes
        self._said = runner.stage.__dict__
        self._gathering = Gathering()
        self._ordinary: set[type] = set()
        self._odd: set[type] = set()

    def _admit(self, kind: type) -> bool:
        """Whether tasks of this class may go the short way."""
        if kind in self._ordinary:
            return True
        if kind in self._odd:
            return False
        ordinary = is_tracked(kind) and not issubclass(kind, (NoneTask, FailedTask))
        # A source names its outputs after their content where their class says how.
        named: Any = getattr(kind, "get_deterministic_id", None)
        if ordinary and not (self._runner.is_source and named is not Task.get_deterministic_id):
            self._ordinary.add(kind)
            return True
        self._odd.add(kind)
        return False

    def _metrics(self, batch: int) -> Metrics | None:
        """Take what the stage said in this batch; its custom metrics by its number."""
        if "_custom_metrics" not in self._said and "_observations" not in self._said:
            return None
        metrics = self._runner.observe()
        return {batch: metrics} if metrics else None


class Sprinter(_Short):
    """For a batch size of 1 and the default `process_batch`: one task after the other.

    A task's size is given in MB of 10^6 bytes.
    """

    def run(
        self, tasks: Sequence[Any], begin: int, end: int, mb: float, writer: PayloadWriter
    ) -> tuple[int, Early | None]:
        """Process `tasks[begin:end]` of a chunk; the writer expects children of its origin.

        Returns:
            The first task not finished; and what the stage did with it, if it is for the long way.
        """
        runner, clock, said = self._runner, time.perf_counter, self._said
        process, validates, position = runner.stage.process, runner.validates, runner.index
        gathering, room = self._gathering.begin(writer), min(writer.room, self._limit - writer.size)
        values, rows, entries = gathering.values, gathering.rows, gathering.entries
        kind, width, read = gathering.reading
        process_s, items, emitted, filtered = 0.0, 0, 0, 0
        last, batch, until = runner.last_end, runner.batch, clock() + SPRINT_S
        early: Early | None = None
        for index in range(begin, end):
            task: Any = tasks[index]
            count = task.num_items
            start = clock()
            try:
                if validates:
                    runner.require_valid(task)
                result: Any = process(task)
            except Exception as error:  # noqa: BLE001 - the stage's own code may raise anything
                early = Early(start, count, error=error)
                break
            now = clock()
            spoke = "_custom_metrics" in said or "_observations" in said
            entry = pack_entry(position, count, now - start, start - last, mb, batch + 1)
            # What `_take` does, for most tasks of most stages, in half the time.
            if type(result) is kind and not spoke and len(result.__dict__) == width:
                try:
                    values.append(read(result.__dict__))
                except KeyError:  # as many attributes, but others
                    taken = self._take(result, index, entry, batch + 1)
                    kind, width, read = gathering.reading
                else:
                    taken = 1
                    rows.append(index)
                    entries.append(entry)
                    if type(result.data) not in FIXED_BYTES:
                        gathering.bytes += estimate_bytes(result.data)
            elif result is None and not spoke:
                taken = 0
            else:
                taken = self._take(result, index, entry, batch + 1)
                kind, width, read = gathering.reading
                if taken < 0:
                    early = Early(start, count, result)
                    break
            batch += 1
            last = now
            process_s += now - start
            items += count
            emitted += taken
            filtered += not taken
            if now >= until or gathering.bytes >= room:
                break
        return begin + self._finish(batch, last, (process_s, items, emitted, filtered)), early

    def _finish(self, batch: int, last: float, figures: tuple[float, int, int, int]) -> int:
        """Write what was gathered, keep the figures up; how many batches there were."""
        self._gathering.hand_over()
        runner = self._runner
        done = batch - runner.batch
        process_s, items, emitted, filtered = figures
        _add_figures(runner.figures, done, process_s, items, done, emitted, filtered)
        runner.batch, runner.last_end = batch, last
        return done

    def _take(self, result: Any, row: int, entry: bytes, batch: int) -> int:
        """Gather what a call returned: the number of tasks, or -1 to look at it the long way."""
        if self._is_odd(result):
            return -1
        metrics = self._metrics(batch)
        if result is None:
            return 0
        if type(result) is not list:
            self._gathering.add(result, row, 0, entry, metrics)
            return 1
        count = len(result)
        self._gathering.add_all(result, [row] * count, range(count), entry, metrics)
        return count

    def _is_odd(self, result: Any) -> bool:
        """Whether what a call returned has to be looked at the long way."""
        if result is None:
            return False
        if type(result) is not list:
            return not self._admit(type(result))
        if not result:
            return False
        kinds = set(map(type, result))
        if not (kinds <= self._ordinary or all(map(self._admit, kinds))):
            return True
        # Handed out piece by piece, to keep blocks small.
        return len(result) > 1 and len(result) * estimate_bytes(result[0].data) > self._limit // 2


class BatchSprinter(_Short):
    """For stages with a `process_batch` of their own that gives a task, or None, for each."""

    def run(
        self, tasks: list[Any], runs: Sequence[Run], mb: float, writer: PayloadWriter
    ) -> Early | None:
        """Process one batch; outputs go to the writer.

        Args:
            tasks: the batch.
            runs: where its tasks come from, in order.
            mb: size of a task in MB of 10^6 bytes.
            writer: gets the outputs.

        Returns:
            What the stage did with it, if that has to be looked at the long way; nothing was
            written then.
        """
        runner, clock = self._runner, time.perf_counter
        items = sum([task.num_items for task in tasks])
        count = len(tasks)
        start = clock()
        try:
            results = runner.stage.process_batch(tasks)
        except Exception as error:  # noqa: BLE001 - the stage's own code may raise anything
            return Early(start, items, error=error)
        now = clock()
        if self._is_odd(results, count):
            return Early(start, items, results)
        runner.batch += 1
        metrics = self._metrics(runner.batch)
        idle_s, runner.last_end = start - runner.last_end, now
        entry = pack_entry(runner.index, items, now - start, idle_s, mb * count, runner.batch)
        emitted = self._emit(results, runs, entry, metrics, writer)
        _add_figures(runner.figures, 1, now - start, items, count, emitted, count - emitted)
        return None

    def _is_odd(self, results: Any, count: int) -> bool:
        """Whether the results are something else than one slot for each of several tasks."""
        if type(results) is not list or len(results) != count or count < 2:
            return True
        kinds = set(map(type, results)) - {type(None)}
        if not (kinds <= self._ordinary or all(map(self._admit, kinds))):
            return True
        # Handed out piece by piece, to keep blocks small.
        first = next((result for result in results if result is not None), None)
        return first is not None and count * estimate_bytes(first.data) > self._limit // 2

    def _emit(
        self,
        results: list[Any],
        runs: Sequence[Run],
        entry: bytes,
        metrics: Metrics | None,
        writer: PayloadWriter,
    ) -> int:
        done = emitted = 0
        for origin, first, count in runs:
            outputs: Sequence[Any] = results[done : done + count]
            rows: Sequence[int] = range(first, first + count)
            done += count
            if type(None) in set(map(type, outputs)):
                kept = [n for n, output in enumerate(outputs) if output is not None]
                rows, outputs = [rows[n] for n in kept], [outputs[n] for n in kept]
            if not outputs:
                continue
            emitted += len(outputs)
            writer.derive(origin, self._runner.tag)
            self._gathering.begin(writer)
            self._gathering.add_all(outputs, rows, [0] * len(outputs), entry, metrics)
            self._gathering.hand_over()
        return emitted
