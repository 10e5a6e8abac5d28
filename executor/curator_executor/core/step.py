"""`step(state, events, now) -> actions`: the whole scheduler as one function.

Called by the loop, and by the simulator, after every wait. Order: take in what happened, see what
is done, scale if something that matters changed, dispatch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from curator_executor.core import assigning, batching, counting, recovery, scaling, turns
from curator_executor.core.actions import (
    Action,
    KeepOutput,
    KillWorker,
    ReleaseBlock,
    StopWorker,
)
from curator_executor.core.dispatch import dispatch
from curator_executor.core.errors import SetupFailed
from curator_executor.core.events import (
    NODE_GONE,
    CallBroken,
    CallDone,
    CancelRequested,
    Event,
    NodesChanged,
    WorkerCreated,
    WorkerDied,
    WorkerReady,
    WorkerSetupFailed,
    WorkerStopped,
)
from curator_executor.core.lifecycle import WorkerState
from curator_executor.core.measuring import measure
from curator_executor.core.state import Block, Pool, State, Worker
from curator_executor.core.types import BatchError, Call, CallReport, Node, Segment


def step(state: State, events: Iterable[Event], now: float) -> list[Action]:
    """Take in events and decide what to do.

    Args:
        state: the run; changed in place.
        events: what happened since the last step, in order.
        now: seconds on the run's clock.

    Returns:
        Actions, in the order in which they are to be carried out.
    """
    actions: list[Action] = []
    for event in events:
        actions += _take_in(state, event, now)
    actions += _close_pools(state)
    if state.ending:
        return actions + _end_workers(state)
    if counting.is_due(state, now):
        actions += scaling.scale(state, now)
    actions += dispatch(state)
    waits = turns.someone_waits(state)
    if (waits and turns.someone_is_free(state)) or turns.someone_can_help(state):
        actions += scaling.scale(state, now)
        actions += dispatch(state)
        waits = turns.someone_waits(state)
    if waits:
        state.next_scale_at = min(state.next_scale_at, now + state.settings.quantum_s)
    actions += _follow(assigning.call_home(state, now), state)
    if _stands_still(state):
        # Whatever the limits say: one call that may go over them is better than none for ever.
        forced: list[Action] = [*assigning.call_home(state, now, ignore_room=True)]
        actions += forced + list(dispatch(state, ignore_room=True))
    return actions


def _follow(moves: list[Action], state: State) -> list[Action]:
    return [*moves, *dispatch(state)] if moves else []


def _stands_still(state: State) -> bool:
    """No call is running and no worker is coming or going, though there is work."""
    if any(pool.in_flight for pool in state.pools):
        return False
    there = [worker for worker in state.workers.values() if not worker.pending]
    return bool(there) and all(worker.is_free for worker in there)


def _take_in(state: State, event: Event, now: float) -> list[Action]:
    actions: list[Action] = []
    match event:
        case CallDone(worker, call, report):
            return _call_done(state, state.workers.get(worker), call, report, now)
        case WorkerCreated(worker_id):
            return _created(state, state.workers.get(worker_id), event)
        case WorkerReady(worker_id, setup_s):
            return _ready(state, state.workers.get(worker_id), setup_s, now)
        case WorkerDied(worker_id):
            gone = state.workers.get(worker_id)
            actions = recovery.worker_gone(state, gone, event, now) if gone else []
            actions += _wake_waiting(state)
        case WorkerStopped(worker_id, _):
            stopped = state.workers.get(worker_id)
            end = WorkerDied(worker_id, "stopped")
            return recovery.worker_gone(state, stopped, end, now) if stopped else []
        case WorkerSetupFailed(worker_id, error):
            return _setup_failed(state, state.workers.get(worker_id), error)
        case CallBroken(worker_id, call, error):
            return _broken(state, state.workers.get(worker_id), call, error, now)
        case NodesChanged(nodes):
            actions = _nodes_changed(state, nodes, now)
        case CancelRequested(reason):
            state.message = reason
            if not state.ending:
                state.ending = "cancelled"
        case _:
            pass
    return actions


def _created(state: State, worker: Worker | None, event: WorkerCreated) -> list[Action]:
    if worker is None or worker.state is not WorkerState.STARTING:
        return []
    worker.node = node = event.node
    worker.devices = event.devices
    worker.pending = False
    pool = state.pools[worker.pool]
    if pool.done:
        worker.go(WorkerState.STOPPING)
        return [StopWorker(worker.id, "its stage is done")]
    status = state.nodes_prepared.get((worker.pool, node))
    if status == "preparing":
        worker.go(WorkerState.CREATED)
        state.waits_for_its_node[worker.id] = None
        return []
    return [assigning.begin_setup(state, worker)]


def _nodes_changed(state: State, nodes: tuple[Node, ...], now: float) -> list[Action]:
    """Nodes came or went; workers on one that went are lost, whether or not Ray has told so."""
    state.use_nodes(nodes)
    state.scale_due = True
    there = {node.id for node in nodes}
    actions: list[Action] = []
    for worker in list(state.workers.values()):
        if worker.node and worker.node not in there:
            actions.append(KillWorker(worker.id, NODE_GONE))
            actions += recovery.worker_gone(state, worker, WorkerDied(worker.id, NODE_GONE), now)
    for key in [key for key in state.nodes_prepared if key[1] not in there]:
        del state.nodes_prepared[key]
    return actions + _wake_waiting(state)


def _wake_waiting(state: State) -> list[Action]:
    """Workers that waited for another one to prepare their node go on."""
    actions: list[Action] = []
    for number in sorted(state.waits_for_its_node):
        worker = state.workers.get(number)
        if worker is None or worker.state is not WorkerState.CREATED:
            del state.waits_for_its_node[number]
            continue
        if state.nodes_prepared.get((worker.pool, worker.node)) != "preparing":
            actions.append(assigning.begin_setup(state, worker))
    return actions


def _ready(state: State, worker: Worker | None, setup_s: float, now: float) -> list[Action]:
    if worker is None or worker.state is not WorkerState.SETTING_UP:
        return []
    pool = state.pools[worker.pool]
    worker.go(WorkerState.READY)
    worker.came_up_s = now - worker.since
    worker.since = now
    worker.hosted.add(worker.pool)
    if len(worker.hosted) > 1:
        state.hosts_several[worker.id] = None
    state.may_take_more(worker)
    pool.setup_deaths = 0
    state.totals[pool.spec.head.index].setup_s += setup_s
    if pool.spec.prepares_nodes:
        state.nodes_prepared[(worker.pool, worker.node)] = "prepared"
    worker.prepares_node = False
    if pool.done:
        state.scale_due = True
    return _wake_waiting(state)


def _setup_failed(state: State, worker: Worker | None, error: BatchError) -> list[Action]:
    if worker is None:
        return []
    pool = state.pools[worker.pool]
    name = next(s.name for s in pool.spec.stages if s.index == error.stage)
    tried = f" in {error.attempts} attempts" if error.attempts > 1 else ""
    message = f'stage "{name}": setup failed{tried}: {error.error}: {error.message}' + (
        f"\n\n{error.traceback.rstrip()}" if error.traceback else ""
    )
    recovery.fail(state, SetupFailed(message), error)
    return []


def _pop_call(state: State, worker: Worker, call: int) -> Call | None:
    for position, candidate in enumerate(worker.calls):
        if candidate.id == call:
            del worker.calls[position]
            state.pools[candidate.pool].in_flight -= 1
            return candidate
    return None


def _call_done(
    state: State, worker: Worker | None, call_id: int, report: CallReport, now: float
) -> list[Action]:
    if worker is None:
        return []
    call = _pop_call(state, worker, call_id)
    if call is None:
        return []
    if worker.written_off:
        return [ReleaseBlock(call.block)] if report.out_tasks else []
    pool = state.pools[call.pool]
    actions: list[Action] = []
    position = _position(worker, call)
    if report.out_tasks:
        actions += _accept_output(state, pool, call, report, position)
    measure(state, worker, pool, report, now, solo=call.solo)
    if call.finish:
        pool.finish_emitted += report.out_tasks
        pool.finished = report.finished
    else:
        actions += _settle(state, pool, worker, report)
    state.may_take_more(worker)
    for error in report.errors:
        recovery.give_up(state, error, worker.node, now)
    if worker.state is WorkerState.DRAINING and not worker.calls:
        state.scale_due = True
    return actions


def _position(worker: Worker, call: Call) -> int:
    units = worker.queue(call.pool)
    return units[0].segments[0].position if units and units[0].segments else 0


def _settle(state: State, pool: Pool, worker: Worker, report: CallReport) -> list[Action]:
    """Account for the input that the call finished."""
    units = worker.queue(pool.spec.index)
    if not units:
        return []
    unit = units[0]
    finished, unit.segments = batching.split_off(unit.segments, report.consumed)
    unit.emitted = report.emitted_of_current
    if not report.more:
        finished += unit.segments  # nothing, unless the worker lost count: then it is still its
        units.popleft()
    return list(batching.consume(state, pool, finished))


def _accept_output(
    state: State, pool: Pool, call: Call, report: CallReport, position: int
) -> list[Action]:
    pool.emitted += report.out_tasks
    pool.out_bytes_per_call = max(report.out_bytes, int(pool.out_bytes_per_call * 0.9))
    pool.chunk += 1
    index = pool.spec.index
    if index + 1 == len(state.pools):
        return [KeepOutput(call.block, (position, pool.chunk))]
    below = state.pools[index + 1]
    block = Block(call.block, index + 1, report.out_tasks, report.out_bytes, report.out_tasks)
    state.blocks[block.id] = block
    below.held_bytes += report.out_bytes
    position_below = below.accepted
    below.accepted += report.out_tasks
    if state.settings.batch_mode:
        pool.out_blocks.append(((position, pool.chunk), block.id, report.out_tasks))
    else:
        below.queue.append(Segment(block.id, 0, report.out_tasks, position_below))
        below.queued_tasks += report.out_tasks
    return []


def _broken(
    state: State, worker: Worker | None, call_id: int, error: BatchError, now: float
) -> list[Action]:
    """A call could not be carried out though its worker lives.

    Its batches run one by one from then on; one that fails so by itself is given up. The worker is
    replaced, for what it holds is not known.
    """
    call = _pop_call(state, worker, call_id) if worker else None
    if worker is None or call is None or worker.state is WorkerState.STOPPING:
        return []
    pool = state.pools[call.pool]
    units = worker.queue(call.pool)
    unit = None if call.finish or not units else units.popleft()
    _write_off(state, worker)
    actions: list[Action] = [KillWorker(worker.id, error.message)]
    size = pool.spec.head.batch_size
    if unit is None:
        recovery.give_up(state, replace(error, fatal=True), worker.node, now)
    elif unit.suspect is None and unit.tasks > size:
        pool.suspects.extend(batching.into_suspects(unit, size))
    else:
        recovery.give_up(state, replace(error, tasks=unit.tasks), worker.node, now)
        actions += batching.consume(state, pool, unit.segments)
    recovery.check_global_state(state, worker, error.message)
    return actions


def _write_off(state: State, worker: Worker) -> None:
    """Take back what a worker has, before it is killed: it gets nothing new, gives nothing more."""
    for index, units in worker.units.items():
        for unit in reversed(units):
            recovery.requeue(state.pools[index], unit)
        units.clear()
    worker.written_off = True
    worker.go(WorkerState.STOPPING)
    state.scale_due = True


def _close_pools(state: State) -> list[Action]:
    """Mark pools as done, front to back, and end the run when the last one is."""
    actions: list[Action] = []
    for pool in state.pools:
        if pool.done:
            continue
        index = pool.spec.index
        if not state.upstream_done(index) or pool.consumed < pool.accepted:
            break
        if pool.in_flight:
            break
        if pool.spec.head.is_global and not pool.finished:
            break
        pool.done = True
        state.scale_due = True
        if state.settings.batch_mode and index + 1 < len(state.pools):
            _queue_in_order(pool, state.pools[index + 1])
    if all(pool.done for pool in state.pools) and not state.ending:
        state.ending = "succeeded"
    return actions


def _queue_in_order(pool: Pool, below: Pool) -> None:
    position = 0
    for _, block, tasks in sorted(pool.out_blocks):
        below.queue.append(Segment(block, 0, tasks, position))
        position += tasks
    below.queued_tasks = position
    pool.out_blocks.clear()


def _end_workers(state: State) -> list[Action]:
    actions: list[Action] = []
    for worker in state.workers.values():
        if worker.state is WorkerState.STOPPING:
            continue
        why = f"the run has {state.ending}"
        # What waits for a node would never get to its end.
        end = KillWorker(worker.id, why) if worker.pending else StopWorker(worker.id, why)
        worker.go(WorkerState.STOPPING)
        actions.append(end)
    return actions
