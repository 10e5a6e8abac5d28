"""What lives in a worker: the stages of its pools, and the input they have not finished.

Called by the Ray worker, one call at a time; knows nothing of Ray. A call works on the oldest
unfinished input and returns at most one block. If the input gives more than fits, or takes too
long, the host keeps its place and the report says `more`: the driver asks again when there is room.
"""

from __future__ import annotations

import faulthandler
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import cloudpickle

from curator_executor.api.stage import NodeInfo, WorkerMetadata
from curator_executor.core.types import BatchError, CallReport
from curator_executor.runtime.batch_errors import batch_error
from curator_executor.runtime.codec import (
    Payload,
    PayloadWriter,
    copied,
    decode_chunk,
    estimate_bytes,
    open_chunk,
    spans,
)
from curator_executor.runtime.runner import BatchFailed, Early, StageRunner
from curator_executor.runtime.sprint import BatchSprinter, Run, Sprinter

# A call comes back after this many times its aim, finished or not: a few slow batches must not
# hide what the others gave.
LONGEST_CALL = 10


@dataclass(frozen=True)
class PoolPlan:
    """What a worker is told about a pool.

    Attributes:
        stages: pickled stages, in order.
        indexes: their positions in the pipeline.
        attempts: times a batch is tried, per stage.
        setup_attempts: times `setup` is tried, per stage.
        ignore_failures: per stage.
        batch_size: tasks a batch of the first stage.
        timeout_s: seconds that one batch may take, or None.
        names: names of all stages of the pipeline.
        target_call_s: seconds of work that a call aims at.
        block_bytes: bytes after which a call returns.
    """

    stages: bytes
    indexes: tuple[int, ...]
    attempts: tuple[int, ...]
    setup_attempts: tuple[int, ...]
    ignore_failures: tuple[bool, ...]
    batch_size: int
    timeout_s: float | None
    names: tuple[str, ...]
    target_call_s: float
    block_bytes: int


@dataclass(frozen=True)
class Piece:
    """Input of a call: tasks `[start, stop)` of a payload, and the payload's size in bytes."""

    payload: Payload
    start: int
    stop: int
    bytes_per_task: float


@dataclass
class HeldInput:
    """Input that is not finished, and the iterator that works on it."""

    tasks: int
    outputs: Iterator[tuple[Sequence[Any], int]]
    bytes_per_task: float
    skip: int = 0
    emitted: int = 0


class SetupError(Exception):
    """Set-up of a stage failed; carries what is known."""

    def __init__(self, error: BatchError) -> None:
        super().__init__(error.message)
        self.error = error


# A chunk, and tasks `[start, stop)` of it.
Row = tuple[Any, int, int]


@dataclass
class _Batch:
    tasks: list[Any] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)


def _spans(pieces: Sequence[Piece]) -> Iterator[Row]:
    """The chunks that hold the input, and which of their tasks belong to it."""
    for piece in pieces:
        yield from spans(piece.payload, piece.start, piece.stop)


class PoolHost:
    """The stages of one pool in one worker."""

    def __init__(self, plan: PoolPlan, worker: int, node: str) -> None:
        self.plan = plan
        self.node = node
        self.worker = worker
        self.stages: list[Any] = cloudpickle.loads(plan.stages)
        self.runners = [
            StageRunner(stage, index, attempts, worker, plan.names)
            for stage, index, attempts in zip(self.stages, plan.indexes, plan.attempts, strict=True)
        ]
        self.held: deque[HeldInput] = deque()
        self.errors: list[BatchError] = []
        self._writer = PayloadWriter()
        self._sprinter, self._batch_sprinter = self._sprinters()
        self._last_end = time.perf_counter()
        self._ready: list[Any] = []

    def _sprinters(self) -> tuple[Sprinter | None, BatchSprinter | None]:
        """The short way through the stage, if it has one: for single tasks, or for batches."""
        head = self.runners[0]
        if len(self.runners) > 1 or self.plan.timeout_s is not None:
            return None, None
        limit = self.plan.block_bytes
        if not head.by_task:
            return None, BatchSprinter(head, limit)
        return (Sprinter(head, limit) if self.plan.batch_size == 1 else None), None

    # Life ----------------------------------------------------------------------------------

    def setup(self, *, node_setup: bool) -> float:
        """Set the stages up; returns the seconds it took.

        Raises:
            SetupError: a stage's set-up raised in every attempt.
        """
        start = time.perf_counter()
        node = NodeInfo(node_id=self.node)
        for position, stage in enumerate(self.stages):
            me = WorkerMetadata(worker_id=str(self.worker), allocation=stage.resources)
            attempts = self.plan.setup_attempts[position]
            prepared = not node_setup
            for attempt in range(1, attempts + 1):
                try:
                    if not prepared:
                        stage.setup_on_node(node, me)
                        prepared = True
                    stage.setup(me)
                    break
                except Exception as error:
                    if attempt == attempts:
                        index = self.plan.indexes[position]
                        raise SetupError(batch_error(index, [], error, attempts=attempt)) from error
            self._ready.append(stage)
        now = self._last_end = time.perf_counter()
        for runner in self.runners:
            runner.last_end = now
        return now - start

    def teardown(self) -> str:
        """Tear down every stage that was set up; returns what went wrong, or ""."""
        problems = []
        for stage in self._ready:
            try:
                stage.teardown()
            except Exception as error:  # noqa: BLE001 - the stage's own code
                problems.append(f"stage {stage.name}: teardown failed: {error!r}")
        self._ready = []
        return "; ".join(problems)

    # Calls ---------------------------------------------------------------------------------

    def call(
        self, pieces: Sequence[Piece], *, finish: bool = False, skip: int = 0
    ) -> tuple[CallReport, Payload | None]:
        """Take new input, if any; work on the oldest; return at most one block.

        Args:
            pieces: new input; empty to go on.
            finish: the global stage is to emit.
            skip: outputs of the new input's first batch (or of `finish`) to leave out.
        """
        start = time.perf_counter()
        report = CallReport(idle_s=start - self._last_end)
        if pieces:
            tasks = sum(piece.stop - piece.start for piece in pieces)
            size = sum((p.stop - p.start) * p.bytes_per_task for p in pieces) / max(1, tasks)
            self.held.append(HeldInput(tasks, self._work(pieces, size), size, skip))
        elif finish and not self.held:
            self.held.append(HeldInput(0, self._finish(), 0.0, skip))
        if skip:
            self.runners[0].replayed = skip
        writer = self._writer = PayloadWriter()
        held = self.held[0] if self.held else None
        if held is not None:
            with self._watched():
                report.finished = self._advance(held, writer, report, start) and finish
        payload, size_bytes = writer.close()
        report.out_tasks = writer.tasks
        report.out_bytes = size_bytes
        report.errors, self.errors = self.errors, []
        report.figures = [runner.take_figures() for runner in self.runners]
        end = self._last_end = time.perf_counter()
        report.wall_s = end - start
        return report, (payload if writer.tasks else None)

    def _advance(
        self, held: HeldInput, writer: PayloadWriter, report: CallReport, start: float
    ) -> bool:
        """Work until the block is full, the time is up or the input is finished (True)."""
        until = start + self.plan.target_call_s * LONGEST_CALL
        limit = self.plan.block_bytes
        clock = time.perf_counter
        try:
            for outputs, consumed in held.outputs:
                for task in outputs:
                    held.emitted += 1
                    if held.emitted > held.skip:
                        writer.add(task)
                if consumed:
                    self._rearm()
                    report.consumed += consumed
                    held.tasks -= consumed
                    held.emitted = held.skip = self.runners[0].replayed = 0
                if writer.size >= limit or clock() >= until:
                    if consumed and held.tasks == 0:
                        continue  # finished: let the iterator end
                    break
            else:
                self.held.popleft()
                report.in_bytes = int(report.consumed * held.bytes_per_task)
                return True
        except BatchFailed as failure:
            # Not ignored: the run ends with this, so the rest of the input does not matter.
            self.errors.append(failure.error)
            self.held.popleft()
            report.consumed += held.tasks
            return True
        report.more = True
        # A replay may come back before it has reached what was passed on already.
        report.emitted_of_current = max(held.emitted, held.skip)
        report.in_bytes = int(report.consumed * held.bytes_per_task)
        return False

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """End this process, with its stacks on stderr, when a batch takes longer than it may."""
        self._rearm()
        try:
            yield
        finally:
            if self.plan.timeout_s is not None:
                faulthandler.cancel_dump_traceback_later()

    def _rearm(self) -> None:
        if self.plan.timeout_s is not None:
            # A stage stuck in native code cannot be interrupted, only ended.
            faulthandler.dump_traceback_later(self.plan.timeout_s, exit=True, file=2)

    def record(self, on_run: Callable[[int], None] | None) -> None:
        """Have every stage say that it is about to run, so that a death names the stage."""
        for runner in self.runners:
            runner.on_run = on_run

    def drop(self) -> None:
        """Forget the oldest input, after an error of our own."""
        if self.held:
            self.held.popleft()

    def _work(
        self, pieces: Sequence[Piece], mean_bytes: float
    ) -> Iterator[tuple[Sequence[Any], int]]:
        """(outputs, input tasks finished by them), batch by batch or output by output."""
        mb = mean_bytes / 1e6
        if self._sprinter is None:
            for batch in self._batches(pieces):
                early = None
                if self._batch_sprinter is not None and self._may_sprint():
                    early = self._batch_sprinter.run(batch.tasks, batch.runs, mb, self._writer)
                    if early is None:
                        yield (), len(batch.tasks)
                        continue
                yield from self._run(batch.tasks, batch.rows, mb, early)
            return
        for chunk, begin, end in _spans(pieces):
            index = begin
            tasks, origin = open_chunk(chunk, self.plan.names)
            while index < end:
                early = None
                if self._may_sprint():
                    self._writer.derive(origin, self.runners[0].tag)
                    stop, early = self._sprinter.run(tasks, index, end, mb, self._writer)
                    yield (), stop - index
                    index = stop
                    if early is None:
                        continue
                yield from self._run([tasks[index]], [(chunk, index, index + 1)], mb, early)
                index += 1

    def _may_sprint(self) -> bool:
        """Whether it need not be known what was passed on of a first batch, nor who runs when."""
        return not self.held[0].skip and self.runners[0].on_run is None

    def _run(
        self, tasks: list[Any], rows: list[Row], mb: float, early: Early | None = None
    ) -> Iterator[tuple[Sequence[Any], int]]:
        """One batch, the long way."""
        head, count = self.runners[0], len(tasks)

        def fresh() -> list[Any]:
            names = self.plan.names
            return [
                t for chunk, start, stop in rows for t in decode_chunk(chunk, names)[start:stop]
            ]

        try:
            outputs = head.run(tasks, fresh, mb, early)
            if len(self.runners) > 1:
                outputs = self._through(1, outputs)
            if isinstance(outputs, list) and not self._is_large(outputs):
                yield outputs, count
                return
            for task in outputs:
                yield (task,), 0
        except BatchFailed as failure:
            if failure.error.stage != head.index or not self.plan.ignore_failures[0]:
                raise
            self.errors.append(failure.error)
        yield (), count

    def _is_large(self, outputs: list[Any]) -> bool:
        """Whether a listed fan-out must be handed out piece by piece to keep blocks small."""
        if len(outputs) < 2:
            return False
        return len(outputs) * estimate_bytes(outputs[0].data) > self.plan.block_bytes // 2

    def _batches(self, pieces: Sequence[Piece]) -> Iterator[_Batch]:
        size, batch = self.plan.batch_size, _Batch()
        for chunk, begin, end in _spans(pieces):
            tasks, origin = open_chunk(chunk, self.plan.names)
            index = begin
            while index < end:
                stop = min(end, index + size - len(batch.tasks))
                batch.tasks += tasks[index:stop]
                batch.rows.append((chunk, index, stop))
                batch.runs.append((origin, index, stop - index))
                index = stop
                if len(batch.tasks) == size:
                    yield batch
                    batch = _Batch()
        if batch.tasks:
            yield batch

    def _through(self, position: int, tasks: Sequence[Any] | Iterator[Any]) -> Iterator[Any]:
        """Lead tasks through the fused stages from `position` on, one by one."""
        runner = self.runners[position]
        last = position + 1 == len(self.runners)
        shares = getattr(self.stages[position - 1], "is_pure", False)
        for task in tasks:
            # A stage that may keep what it emitted, or emit it twice, hands on a copy.
            given = task if shares else copied(task)

            def fresh(original: Any = task) -> list[Any]:
                return [copied(original)]

            try:
                outputs = runner.run([given], fresh, estimate_bytes(task.data) / 1e6)
                if last:
                    yield from outputs
                else:
                    yield from self._through(position + 1, outputs)
            except BatchFailed as failure:
                if failure.error.stage != runner.index or not self.plan.ignore_failures[position]:
                    raise
                self.errors.append(failure.error)

    def _finish(self) -> Iterator[tuple[Sequence[Any], int]]:
        try:
            for task in self.runners[0].finish():
                yield (task,), 0
        except BatchFailed:
            raise
        except Exception as error:
            failed = batch_error(self.runners[0].index, [], error)
            raise BatchFailed(failed) from error
