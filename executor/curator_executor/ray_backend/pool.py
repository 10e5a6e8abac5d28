"""`RayWorkerPool`: the worker pool on Ray actors.

Called by the loop. Ray's own callbacks put completions into a mailbox that the loop sleeps on:
nothing polls, and the cost of waiting does not grow with the number of calls in flight.
"""

from __future__ import annotations

import gc
import logging
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import cloudpickle
import ray

from curator_executor.core.actions import SetupWorker, StartWorker
from curator_executor.core.events import (
    CallBroken,
    CallDone,
    Event,
    WorkerCreated,
    WorkerDied,
    WorkerReady,
    WorkerSetupFailed,
    WorkerStopped,
)
from curator_executor.core.types import (
    SOURCE_BLOCK,
    BatchError,
    BlockId,
    Call,
    Node,
    PoolIndex,
    PoolSpec,
    Segment,
    WorkerId,
)
from curator_executor.ray_backend import blame, cluster, faults
from curator_executor.ray_backend.gpus import GpuMemory
from curator_executor.ray_backend.mailbox import Mailbox
from curator_executor.ray_backend.nodes import NodeWatch
from curator_executor.ray_backend.prints import LastPrint
from curator_executor.ray_backend.worker import StageWorker
from curator_executor.runtime import codec
from curator_executor.runtime.batch_errors import KEPT_INPUT_BYTES
from curator_executor.runtime.host import PoolPlan

log = logging.getLogger("curator_executor.ray")
# A payload smaller than this travels inside the call; Ray does the same with results.
INLINE_BYTES = 100 * 1024


@dataclass
class _Actor:
    handle: Any
    pool: PoolIndex
    node: str = ""
    calls: dict[int, tuple[Call, Any]] = field(default_factory=dict)
    send: Any = None
    alive: bool = True
    busy_since: float = 0.0


@dataclass(frozen=True)
class PoolLaunch:
    """How workers of a pool are started: what they need, what they are told."""

    spec: PoolSpec
    plan: PoolPlan
    runtime_env: dict[str, Any] | None


class RayWorkerPool:
    """Workers as Ray actors.

    Args:
        launches: by pool.
        source: the run's initial tasks; encoded as they are needed.
        cpu_share: share of each node's cores that stages may use.
        python_paths: directories that workers import from.
        gpu_memory: bytes of one GPU by worker group, where that is known beforehand.
    """

    def __init__(
        self,
        launches: Sequence[PoolLaunch],
        source: Sequence[Any],
        cpu_share: float,
        python_paths: Sequence[str] = (),
        gpu_memory: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self._launches = launches
        self._source = source
        self._run = uuid.uuid4().hex
        read: Callable[[float], tuple[Node, ...]] = cluster.read_nodes
        if any(launch.spec.need.gpu_memory for launch in launches):
            read = GpuMemory(read, gpu_memory).read
        self._nodes = NodeWatch(cpu_share, read)
        self._paths = tuple(python_paths)
        self.block_bytes = launches[0].plan.block_bytes
        self._names = launches[0].plan.names
        self._actors: dict[WorkerId, _Actor] = {}
        self._blocks: dict[BlockId, Any] = {}
        self._block_bytes: dict[BlockId, float] = {}
        self._kept: list[tuple[tuple[int, int], codec.Payload]] = []
        self._mailbox = Mailbox(self._nodes)
        self._plan_refs: dict[PoolIndex, Any] = {}
        self._actor_class = ray.remote(StageWorker)
        self._last_print = LastPrint()

    def now(self) -> float:
        """Seconds since some moment; never goes back."""
        return time.monotonic()

    def nodes(self) -> tuple[Node, ...]:
        """Nodes that are alive."""
        return self._nodes.nodes()

    # Workers -------------------------------------------------------------------------------

    def start(self, action: StartWorker) -> None:
        """Create the actor; `WorkerCreated` tells its node."""
        launch = self._launches[action.pool]
        need = launch.spec.need
        options: dict[str, Any] = {
            "num_cpus": need.cpus,
            "num_gpus": action.gpus,
            "max_restarts": 0,
            "max_task_retries": 0,
            "name": None,
        }
        if need.memory:
            options["memory"] = need.memory
        if launch.runtime_env:
            options["runtime_env"] = launch.runtime_env
        options |= self._nodes.placement(launch.spec, action.node)
        handle: Any = self._actor_class.options(**options).remote(
            action.worker, self._paths, self._blame_key(action.worker)
        )
        actor = _Actor(handle, action.pool, send=handle.call.options(num_returns=2))
        self._actors[action.worker] = actor
        worker = action.worker

        def created(place: tuple[str, tuple[str, ...]]) -> Event:
            actor.node, devices = place
            return WorkerCreated(worker, actor.node, devices)

        self._watch(worker, handle.where.remote(), created)

    def setup(self, action: SetupWorker) -> None:
        """Set up the stages; `WorkerReady` or `WorkerSetupFailed` follows."""
        actor = self._actors[action.worker]
        actor.pool = action.pool
        plan = self._plan_refs.get(action.pool)
        if plan is None:
            plan = self._plan_refs[action.pool] = ray.put(
                replace(self._launches[action.pool].plan, block_bytes=self.block_bytes)
            )
        worker = action.worker

        def done(result: Any) -> Event:
            if isinstance(result, BatchError):
                return WorkerSetupFailed(worker, result)
            return WorkerReady(worker, float(result))

        old = -1 if action.teardown is None else action.teardown
        ref = actor.handle.setup.remote(action.pool, plan, actor.node, action.node_setup, old)
        self._watch(worker, ref, done, setup=True)

    def stop(self, worker: WorkerId) -> None:
        """Tear down after the calls in flight, then end the actor."""
        actor = self._actors.get(worker)
        if actor is None:
            self._tell_gone(worker)
            return

        def stopped(end: tuple[str, float]) -> Event:
            problem, since_print_s = end
            self._last_print.note(since_print_s)
            if problem:
                log.warning("teardown worker=%d problem=%s", worker, problem)
            self._end(worker)
            return WorkerStopped(worker, problem)

        self._watch(worker, actor.handle.teardown.remote(), stopped)

    def kill(self, worker: WorkerId, reason: str) -> None:
        """End the actor now."""
        if worker not in self._actors:
            self._tell_gone(worker)
            return
        self._end(worker)
        self._mailbox.put(lambda: WorkerDied(worker, reason))

    def _tell_gone(self, worker: WorkerId) -> None:
        """Answer for a worker that is not there, so that nobody waits for its end.

        An interrupt may come between the decision to start a worker and its start, or between the
        news of its end and the taking in of it. Who knew of the end already takes no notice.
        """
        self._mailbox.put(lambda: WorkerDied(worker, "it is not there"))

    def _end(self, worker: WorkerId) -> None:
        actor = self._actors.pop(worker, None)
        if actor is not None:
            actor.alive = False
            ray.kill(actor.handle, no_restart=True)

    # Calls ---------------------------------------------------------------------------------

    def submit(self, call: Call) -> None:
        """Send the call; its payload reference is this process's own."""
        actor = self._actors[call.worker]
        payloads: list[Any] = []
        spans: list[tuple[int, int, float]] = []
        for segment in call.segments:
            if segment.block == SOURCE_BLOCK:
                payload, size = self._encode_source(segment)
                payloads.append(payload)
                spans.append((0, segment.tasks, size / segment.tasks))
            else:
                payloads.append(self._blocks[segment.block])
                size_each = self._block_bytes[segment.block]
                spans.append((segment.start, segment.stop, size_each))
        report_ref, payload_ref = actor.send.remote(
            call.pool, tuple(spans), call.finish, call.skip, call.solo, *payloads
        )
        if not actor.calls:
            actor.busy_since = time.monotonic()
        actor.calls[call.id] = (call, payload_ref)

        def done(report: Any) -> Event | None:
            actor.calls.pop(call.id, None)
            actor.busy_since = time.monotonic()
            if report.out_tasks:
                self._blocks[call.block] = payload_ref
                self._block_bytes[call.block] = report.out_bytes / report.out_tasks
            return CallDone(call.worker, call.id, report)

        self._watch(call.worker, report_ref, done, call=call)

    def _encode_source(self, segment: Segment) -> tuple[Any, int]:
        payload, size = codec.encode_source(self._source[segment.start : segment.stop])
        return (payload if size < INLINE_BYTES else ray.put(payload)), size

    def _watch(
        self,
        worker: WorkerId,
        ref: Any,
        made: Callable[[Any], Event | None],
        call: Call | None = None,
        setup: bool = False,
    ) -> None:
        """Put an event into the queue when the reference resolves.

        The callback runs on Ray's thread: it only passes the value on; `made` runs in `wait`.
        """
        actor = self._actors[worker]

        def resolve(value: Any) -> Event | None:
            if not actor.alive:
                return None  # its end has been told already
            if not isinstance(value, BaseException):
                return made(value)
            if faults.is_death(value):
                self._end(worker)
                return self._died(worker, actor, faults.death_reason(value))
            return self._broken(worker, actor, value, call, setup)

        mailbox = self._mailbox

        def completed(value: Any) -> None:
            # Holds the reference until now: an object that nobody refers to is never delivered.
            _ = ref
            mailbox.put(lambda: resolve(value))

        ref._on_completed(completed)

    def _blame_key(self, worker: WorkerId) -> str:
        return f"{self._run}/{worker}"

    def _died(self, worker: WorkerId, actor: _Actor, reason: str) -> Event:
        """A death; if a batch was running by itself, with its tasks and its stage."""
        limit = self._launches[actor.pool].plan.timeout_s
        if limit is not None and actor.calls and time.monotonic() - actor.busy_since >= limit:
            reason = f"a batch took longer than the {limit:g} s it may (its stack is in the log)"
        solo = next((call for call, _ in actor.calls.values() if call.solo), None)
        if solo is None:
            return WorkerDied(worker, reason)
        ids, inputs = self._identify(solo)
        stage = blame.read(self._blame_key(worker))
        return WorkerDied(worker, reason, task_ids=ids, inputs=inputs, stage=stage)

    def _identify(self, call: Call) -> tuple[tuple[str, ...], bytes]:
        """Ids of a call's input tasks; and the tasks, pickled, or b"" where they are too large."""
        try:
            tasks = self._read(call.segments)
        except ray.exceptions.RayError:
            return (), b""  # the input may be the very thing that is lost
        pickled = cloudpickle.dumps(tasks)
        kept = pickled if len(pickled) <= KEPT_INPUT_BYTES else b""
        return tuple(task.task_id for task in tasks), kept

    def _read(self, segments: Sequence[Segment]) -> list[Any]:
        """The tasks of some segments, in this process."""
        tasks: list[Any] = []
        for segment in segments:
            if segment.block == SOURCE_BLOCK:
                tasks += self._source[segment.start : segment.stop]
            else:
                payload = ray.get(self._blocks[segment.block])
                tasks += codec.decode_span(payload, segment.start, segment.stop, self._names)
        return tasks

    def _broken(
        self, worker: WorkerId, actor: _Actor, value: BaseException, call: Call | None, setup: bool
    ) -> Event:
        pool = call.pool if call else actor.pool
        error = faults.call_error(value, self._launches[pool].spec.head.index)
        if call is not None:
            actor.calls.pop(call.id, None)
            tasks = sum(segment.tasks for segment in call.segments)
            if 0 < tasks <= self._launches[pool].spec.head.batch_size:
                # An output that cannot be pickled, say: nobody but the driver knows whose it is.
                ids, inputs = self._identify(call)
                stage = blame.read(self._blame_key(worker)) if call.solo else None
                error = replace(
                    error,
                    task_ids=ids,
                    inputs=inputs,
                    stage=error.stage if stage is None else stage,
                )
            return CallBroken(worker, call.id, error)
        if setup:
            return WorkerSetupFailed(worker, error)
        self._end(worker)
        return WorkerDied(worker, error.message)

    # Blocks --------------------------------------------------------------------------------

    def release(self, block: BlockId) -> None:
        """Drop the reference; Ray frees the memory."""
        self._blocks.pop(block, None)
        self._block_bytes.pop(block, None)

    def keep(self, block: BlockId, order: tuple[int, int]) -> None:
        """Copy the block into this process and give the shared memory back."""
        payload = ray.get(self._blocks.pop(block))
        self._block_bytes.pop(block, None)
        self._kept.append((order, codec.detach(payload)))

    def outputs(self) -> list[Any]:
        """All kept tasks, by the order of their blocks."""
        tasks: list[Any] = []
        # Many objects come into being and none goes: collecting garbage meanwhile finds none and
        # doubles the time.
        collecting = gc.isenabled()
        gc.disable()
        try:
            for _, payload in sorted(self._kept, key=lambda kept: kept[0]):
                tasks.extend(codec.decode(payload, self._names))
        finally:
            if collecting:
                gc.enable()
        self._kept = []
        return tasks

    # Waiting -------------------------------------------------------------------------------

    def wait(self, timeout_s: float | None) -> Sequence[Event]:
        """Sleep until something happens or the time is up."""
        return self._mailbox.wait(timeout_s)

    def close(self) -> None:
        """Kill the actors that are left, drop every reference, wait for what was printed."""
        for worker in list(self._actors):
            self._end(worker)
        self._blocks.clear()
        self._block_bytes.clear()
        self._plan_refs.clear()
        self._last_print.wait_until_here()
