"""`SimulatedPool`: the worker pool in virtual time, strict about what the driver may ask.

Called by the loop in tests and by `simulate`. No threads and no real clock: `wait` moves virtual
time to the next thing that happens. The same workload and seed give the same run.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from math import ceil

from curator_executor.core.actions import SetupWorker, StartWorker
from curator_executor.core.events import (
    CallBroken,
    CallDone,
    Event,
    NodesChanged,
    WorkerDied,
    WorkerStopped,
)
from curator_executor.core.types import (
    SOURCE_BLOCK,
    BlockId,
    Call,
    CallReport,
    DeviceId,
    Node,
    NodeId,
    PoolIndex,
    PoolSpec,
    Segment,
    WorkerId,
)
from curator_executor.simulation.autoscaler import SMALLEST_NUMBER, Autoscaler, Autoscaling, fits
from curator_executor.simulation.clock import SimulatedClock
from curator_executor.simulation.ledger import Ledger, StagedBatch
from curator_executor.simulation.runner import Outputs
from curator_executor.simulation.worker import ContractBroken, SimulatedWorker
from curator_executor.simulation.workload import TaskPath, Workload

MOST_CALLS = 2


class Stalled(AssertionError):
    """Nothing is going on and nothing will: the run can never end."""


class SimulatedPool:
    """Workers that exist in virtual time only.

    Args:
        pools: what workers may host.
        nodes: where they may be, to begin with.
        workload: what stages do and what goes wrong.
        block_bytes: bytes after which a call returns.
        most_idle_waits: `wait` raises after so many waits in which nothing was going on.
        autoscaling: nodes that come for workers that wait.
    """

    def __init__(
        self,
        pools: tuple[PoolSpec, ...],
        nodes: tuple[Node, ...],
        workload: Workload,
        block_bytes: int = 1024 * 1024,
        most_idle_waits: int = 3,
        autoscaling: Autoscaling | None = None,
    ) -> None:
        self.pools = pools
        self.workload = workload
        self.block_bytes = block_bytes
        self.clock = SimulatedClock()
        self.ledger = Ledger()
        self.dice = random.Random(workload.seed)
        self.scratch: dict[PoolIndex, set[TaskPath]] = {}
        self.prepared: set[tuple[PoolIndex, NodeId]] = set()
        self._most_idle_waits = most_idle_waits
        self._nodes = nodes
        self._by_id = {node.id: node for node in nodes}
        self._workers: dict[WorkerId, SimulatedWorker] = {}
        self._on_node: dict[NodeId, dict[WorkerId, SimulatedWorker]] = {}
        self._known_to_driver: set[WorkerId] = set()
        self._waiting: list[SimulatedWorker] = []
        self._calls: dict[WorkerId, int] = {}
        self._source = workload.source()
        self._blocks: dict[BlockId, Outputs] = {}
        self._stored_bytes = 0
        self._kept: list[tuple[tuple[int, int], Outputs]] = []
        self._inbox: list[Event] = []
        self._autoscaler = Autoscaler(autoscaling or Autoscaling())
        self._came: list[Node] = []
        self._emptied: dict[NodeId, float] = {}
        for when, now_there in workload.faults.nodes_at:
            self.clock.after(when, partial(self._change_nodes, now_there))

    def now(self) -> float:
        """Virtual seconds since the pool was made."""
        return self.clock.now

    def nodes(self) -> tuple[Node, ...]:
        """Nodes that are alive."""
        return self._nodes

    # What a worker sees --------------------------------------------------------------------

    def tell(self, worker: SimulatedWorker, event: Event) -> None:
        """The driver hears of it after the latency, unless the worker's end came before."""
        self._deliver(worker, event, lambda: None)

    def come_back(
        self, worker: SimulatedWorker, call: Call, report: CallReport, outputs: Outputs
    ) -> None:
        """A call is done; its block is there when the driver hears of it."""
        event = CallDone(worker.number, call.id, report)
        self._deliver(worker, event, lambda: self._store(call.block, outputs))

    def broke(self, worker: SimulatedWorker, event: CallBroken, lost: StagedBatch | None) -> None:
        """A call could not be carried out; a batch that was alone in it is given up."""
        self._deliver(worker, event, lambda: self.ledger.failed.update([lost] if lost else []))

    def _deliver(self, worker: SimulatedWorker, event: Event, before: Callable[[], None]) -> None:
        def arrive() -> None:
            if worker.number not in self._known_to_driver:
                return
            if isinstance(event, (WorkerDied, WorkerStopped)):
                self._known_to_driver.discard(worker.number)
            if isinstance(event, (CallDone, CallBroken)):
                self._calls[worker.number] -= 1
            before()
            self._inbox.append(event)

        self.clock.after(self.workload.latency_s, arrive)

    def _store(self, block: BlockId, outputs: Outputs) -> None:
        if outputs:
            self._blocks[block] = outputs
            self._stored_bytes += sum(size for _, size in outputs)
            self.ledger.most_held_bytes = max(self.ledger.most_held_bytes, self._stored_bytes)

    def freed(self, worker: SimulatedWorker) -> None:
        """Its resources are free again: who waited for some comes up."""
        del self._workers[worker.number]
        self._on_node.get(worker.node, {}).pop(worker.number, None)
        if worker in self._waiting:
            self._waiting.remove(worker)
        self._place_waiting()
        if not self._pools_on(worker.node):
            self._emptied[worker.node] = self.clock.now
            removal = partial(self._remove_if_idle, worker.node, self.clock.now)
            self.clock.after(self._autoscaler.scaling.idle_s, removal)

    def _remove_if_idle(self, node: NodeId, since: float) -> None:
        came = [each for each in self._nodes if each.id == node and each in self._came]
        if came and not self._pools_on(node) and self._emptied[node] == since:
            self._change_nodes(tuple(each for each in self._nodes if each.id != node))

    # Workers -------------------------------------------------------------------------------

    def start(self, action: StartWorker) -> None:
        """Bring up a process as soon as its resources are free."""
        if action.worker in self._calls:
            raise ContractBroken(f"{action}: there was a worker of this number")
        worker = SimulatedWorker(action.worker, action.pool, self, planned=action.node)
        self._workers[action.worker] = worker
        self._known_to_driver.add(action.worker)
        self._calls[action.worker] = 0
        self._waiting.append(worker)
        self._place_waiting()

    def _place_waiting(self) -> None:
        for worker in list(self._waiting):
            for node in self._nodes_for(worker):
                devices = self._free_devices(node, self.pools[worker.pool])
                if devices is not None:
                    self._waiting.remove(worker)
                    self._on_node.setdefault(node.id, {})[worker.number] = worker
                    worker.place(node.id, devices)
                    break
        waiting = [self.pools[worker.pool] for worker in self._waiting]
        needs = [(pool.need, pool.worker_groups) for pool in waiting]
        for new in self._autoscaler.wanted(needs, self._nodes):
            self.clock.after(self._autoscaler.scaling.boot_s, partial(self._join, new))

    def _join(self, node: Node) -> None:
        self._autoscaler.booting.remove(node)
        self._came.append(node)
        self._change_nodes((*self._nodes, node))

    def _nodes_for(self, worker: SimulatedWorker) -> list[Node]:
        """Nodes where it may go: the planned one alone, as long as that is there."""
        pool = self.pools[worker.pool]
        planned = self._by_id.get(worker.planned)
        return [
            node
            for node in ((planned,) if planned else self._nodes)
            if fits(
                node,
                [self.pools[other].need.on(node) for other in self._pools_on(node.id)],
                pool.need.on(node),
                pool.worker_groups,
            )
        ]

    def _free_devices(self, node: Node, pool: PoolSpec) -> tuple[DeviceId, ...] | None:
        """GPUs of a node that a worker gets; None if what is left lies in too small pieces."""
        left = {str(at): 1.0 for at in range(int(node.gpus))}
        for other in self._on_node.get(node.id, {}).values():
            for name in other.devices:
                left[name] -= min(1.0, self.pools[other.pool].need.on(node).gpus)
        need = pool.need.on(node).gpus
        able = [name for name, rest in left.items() if rest + SMALLEST_NUMBER >= min(1.0, need)]
        # Ray takes the fullest one.
        able.sort(key=left.__getitem__, reverse=self.workload.spreads_gpus)
        count = ceil(need)
        return tuple(able[:count]) if len(able) >= count else None

    def _pools_on(self, node: NodeId) -> list[PoolIndex]:
        return [worker.pool for worker in self._on_node.get(node, {}).values()]

    def _change_nodes(self, nodes: tuple[Node, ...]) -> None:
        self._nodes = nodes
        self._by_id = {node.id: node for node in nodes}
        alive = {node.id for node in nodes}
        for worker in list(self._workers.values()):
            if worker.node and worker.node not in alive:
                worker.die("its node is gone")
        self._inbox.append(NodesChanged(nodes))
        self._place_waiting()

    def setup(self, action: SetupWorker) -> None:
        """Set up a pool's stages."""
        worker = self._worker(action.worker, action)
        if worker is None:
            return
        if self._calls[action.worker]:
            raise ContractBroken(f"{action}: calls are in flight")
        prepared = (action.pool, worker.node) in self.prepared
        if not action.node_setup and not prepared and self.pools[action.pool].prepares_nodes:
            raise ContractBroken(f"{action}: its node is not prepared yet")
        worker.add(lambda: worker.setup(action))

    def stop(self, worker: WorkerId) -> None:
        """Tear down after the calls it has, then end."""
        if worker not in self._known_to_driver:
            self._inbox.append(WorkerDied(worker, "it is not there"))
            return
        stopping = self._workers.get(worker)
        if stopping is None:
            return  # it died; the news is on its way
        if not stopping.node:  # it waits for resources: there is nothing to tear down
            stopping.node = "nowhere"
            stopping.busy = False
            self._waiting.remove(stopping)
        stopping.add(stopping.teardown)

    def kill(self, worker: WorkerId, reason: str) -> None:
        """End it now; nothing more is heard of it but its death."""
        self._known_to_driver.discard(worker)
        self._inbox.append(WorkerDied(worker, reason))
        killed = self._workers.get(worker)
        if killed is not None:
            killed.alive = False
            self.freed(killed)

    def crash(self, worker: WorkerId) -> None:
        """End a worker's process; the driver hears of it as of any death."""
        self._workers[worker].die("it crashed")

    def _worker(self, number: WorkerId, what: object) -> SimulatedWorker | None:
        """The worker, or None if it died and the driver cannot know yet."""
        if number not in self._known_to_driver:
            raise ContractBroken(f"{what}: the driver knows that this worker has ended")
        return self._workers.get(number)

    # Calls and blocks ----------------------------------------------------------------------

    def submit(self, call: Call) -> None:
        """Send a call."""
        worker = self._worker(call.worker, call)
        self._calls[call.worker] += 1
        if self._calls[call.worker] > MOST_CALLS:
            raise ContractBroken(f"{call}: more than {MOST_CALLS} calls in flight")
        tasks = [path for segment in call.segments for path in self._read(segment)]
        if worker is not None:
            worker.add(lambda: worker.call(call, tasks))

    def _read(self, segment: Segment) -> Sequence[TaskPath]:
        if segment.block == SOURCE_BLOCK:
            return self._source[segment.start : segment.stop]
        if segment.block not in self._blocks:
            raise ContractBroken(f"{segment}: its block is not there")
        return [path for path, _ in self._blocks[segment.block][segment.start : segment.stop]]

    def release(self, block: BlockId) -> None:
        """Nothing will read the block again."""
        if block not in self._blocks:
            raise ContractBroken(f"block {block} is released twice")
        self._take(block)

    def _take(self, block: BlockId) -> Outputs:
        outputs = self._blocks.pop(block)
        self._stored_bytes -= sum(size for _, size in outputs)
        return outputs

    def keep(self, block: BlockId, order: tuple[int, int]) -> None:
        """The block is output of the run."""
        self._kept.append((order, self._take(block)))

    def outputs(self) -> list[TaskPath]:
        """Tasks of all kept blocks, by their order."""
        return [
            path for _, block in sorted(self._kept, key=lambda kept: kept[0]) for path, _ in block
        ]

    @property
    def blocks_left(self) -> int:
        """Blocks that were neither released nor kept."""
        return len(self._blocks)

    # Waiting -------------------------------------------------------------------------------

    def wait(self, timeout_s: float | None) -> Sequence[Event]:
        """Move virtual time on to the next event, or to the end of the time-out.

        Raises:
            Stalled: nothing is going on and nothing will.
        """
        if self.clock.is_empty and not self._inbox:
            self.ledger.idle_waits += 1
            if timeout_s is None or self.ledger.idle_waits > self._most_idle_waits:
                raise Stalled(f"nothing is going on at {self.clock.now:.3f} s")
        until = float("inf") if timeout_s is None else self.clock.now + timeout_s
        if not self._inbox:
            self.clock.advance(until, lambda: bool(self._inbox))
        events, self._inbox = self._inbox, []
        return events

    def close(self) -> None:
        """End what is left."""
        for worker in list(self._workers.values()):
            worker.alive = False
        self._workers.clear()
        self._on_node.clear()
        self._known_to_driver.clear()
        self._waiting.clear()
        self._blocks.clear()
