"""The short way through a stage: one plain task in, plain tasks out, many batches in one loop.

Called by `host` for stages with a batch size of 1 that keep the default `process_batch` and share
their worker with none. It does what `runner` does, batch by batch, with a third of the overhead;
whatever is out of the ordinary (an exception, a generator, a marker, a content id) it leaves to
`runner`, together with what the stage returned, so that no stage is called twice.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from curator_executor.api.perf import pack_entry
from curator_executor.api.tasks import FailedTask, NoneTask, Task
from curator_executor.core.types import StageFigures
from curator_executor.runtime.codec import PayloadWriter, estimate_bytes, is_plain
from curator_executor.runtime.lineage import KEY_BYTES
from curator_executor.runtime.runner import Early, StageRunner

# A sprint ends after this long, so that the call can come back in time.
SPRINT_S = 0.02
_SUFFIXES = tuple(str(ordinal) for ordinal in range(64))


@dataclass(slots=True)
class _Done:
    """Figures of one sprint."""

    batches: int = 0
    process_s: float = 0.0
    items: int = 0
    emitted: int = 0
    filtered: int = 0

    def add_to(self, figures: StageFigures) -> None:
        figures.batches += self.batches
        figures.tasks_in += self.batches
        figures.process_s += self.process_s
        figures.items += self.items
        figures.tasks_out += self.emitted
        figures.filtered += self.filtered


def _has_content_id(outputs: Sequence[Any]) -> bool:
    return any(output.get_deterministic_id() is not None for output in outputs)


class Sprinter:
    """Runs one stage the short way.

    Args:
        runner: the stage; its figures and batch numbers are kept up.
        block_bytes: bytes after which a call returns.
    """

    def __init__(self, runner: StageRunner, block_bytes: int) -> None:
        self._runner = runner
        self._limit = block_bytes
        self._ordinary: set[type] = set()
        self._odd: set[type] = set()

    def run(
        self, tasks: Sequence[Any], begin: int, end: int, mb: float, writer: PayloadWriter
    ) -> tuple[int, Early | None]:
        """Process `tasks[begin:end]` one a batch; outputs go to the writer.

        Returns:
            The first task not finished; and what the stage did with it, if that has to be looked
            at the long way.
        """
        runner = self._runner
        process = runner.stage.process
        said = runner.stage.__dict__
        clock = time.perf_counter
        last = runner.last_end
        until = clock() + SPRINT_S
        done = _Done()
        early: Early | None = None
        for index in range(begin, end):
            task = tasks[index]
            items = task.num_items
            start = clock()
            try:
                if runner.validates:
                    runner.require_valid(task)
                result = process(task)
            except Exception as error:  # noqa: BLE001 - the stage's own code may raise anything
                early = Early(start, items, error=error)
                break
            now = clock()
            outputs = (result,) if type(result) in self._ordinary else self._outputs(result)
            if outputs is None or (runner.is_source and _has_content_id(outputs)):
                early = Early(start, items, result=result)
                break
            runner.batch += 1
            metrics = None
            if "_custom_metrics" in said or "_observations" in said:
                metrics = runner.observe()
            if outputs:
                entry = pack_entry(runner.index, items, now - start, start - last, mb, runner.batch)
                self._emit(task, outputs, entry, metrics, writer)
                done.emitted += len(outputs)
            else:
                done.filtered += 1
            last = now
            done.batches += 1
            done.process_s += now - start
            done.items += items
            if now >= until or writer.size >= self._limit:
                break
        runner.last_end = last
        done.add_to(runner.figures)
        return begin + done.batches, early

    def _outputs(self, result: Any) -> Sequence[Any] | None:
        """What a call returned, as a sequence of plain tasks; None if it is something else."""
        if result is None:
            return ()
        if type(result) is not list:
            return (result,) if self._admit(type(result)) else None
        if not all(type(each) in self._ordinary or self._admit(type(each)) for each in result):
            return None
        if len(result) > 1 and len(result) * estimate_bytes(result[0].data) > self._limit // 2:
            return None  # handed out piece by piece, to keep blocks small
        return result

    def _emit(
        self,
        task: Any,
        outputs: Sequence[Any],
        entry: bytes,
        metrics: dict[str, float] | None,
        writer: PayloadWriter,
    ) -> None:
        """Write outputs as they are now, named as `naming` names them."""
        inherited = task.__dict__
        parent_id = task.task_id  # a default of its class is not among its attributes
        key = inherited.get("_lineage_key", b"")
        chain = inherited.get("_perf_packed", b"") + entry
        prior = inherited.get("_perf_prior")
        known = inherited.get("_perf_metrics")
        if metrics:
            known = {**(known or {}), self._runner.batch: metrics}
        tag = self._runner.tag
        for ordinal, output in enumerate(outputs):
            suffix = _SUFFIXES[ordinal] if ordinal < 64 else str(ordinal)
            state = output.__dict__.copy()
            digest = blake2b(key + suffix.encode(), digest_size=KEY_BYTES, person=tag).digest()
            state["_lineage_key"] = digest
            state["task_id"] = f"{parent_id}_{suffix}" if parent_id else "r" + digest.hex()
            state["_perf_packed"] = chain
            state.pop("_perf_list", None)
            state.pop("_perf_names", None)
            if prior:
                state["_perf_prior"] = prior
            if known:
                state["_perf_metrics"] = known
            elif "_perf_metrics" in state:
                del state["_perf_metrics"]
            writer.add_state(type(output), state, output.data)

    def _admit(self, kind: type) -> bool:
        if kind in self._odd:
            return False
        is_marker = issubclass(kind, (NoneTask, FailedTask))
        if issubclass(kind, Task) and not is_marker and is_plain(kind):
            self._ordinary.add(kind)
            return True
        self._odd.add(kind)
        return False
