"""Cut queued work into calls, and account for what comes back.

Called by `dispatch` (take) and `step` (consume, give back). A call carries whole batches; the
remainder of a queue goes out only when no more input will come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from curator_executor.core.actions import ReleaseBlock
from curator_executor.core.state import Pool, State
from curator_executor.core.types import Segment, Suspect, Unit

# Each call after the first may be this much larger: a stage that turns slow is caught early.
GROWTH = 8
# A call is worth its cost from here on, even if it leaves another worker idle.
SMALLEST_CALL_S = 0.02
# References that one call carries at most; each costs the driver about 20 µs.
MOST_SEGMENTS = 64


def tasks_for_call(state: State, pool: Pool, workers: int) -> int:
    """How many tasks the next call should carry; 0 if no whole batch waits.

    Aims at `target_call_s` of work, and at enough for the driver never to be the bottleneck; no
    more than a fair share of the queue; no more bytes than `max_block_bytes`.
    """
    size = pool.spec.head.batch_size
    available = pool.queued_tasks
    if not state.upstream_done(pool.spec.index):
        available -= available % size
    if available <= 0:
        return 0
    if pool.seconds_per_task is None:
        return min(size, available)
    settings = state.settings
    target_s = max(settings.target_call_s, 2 * len(state.workers) * settings.call_cost_s)
    per_task = max(pool.seconds_per_task, 1e-7)
    fair = -(-available // max(1, workers))
    wanted = min(target_s / per_task, max(fair, SMALLEST_CALL_S / per_task))
    wanted = min(wanted, max(size, pool.last_call_tasks) * GROWTH)
    wanted = min(wanted, _tasks_within(state, pool, settings.max_block_bytes))
    batches = max(1, int(wanted) // size)
    return min(batches * size, available)


def _tasks_within(state: State, pool: Pool, most_bytes: int) -> int:
    block = state.blocks[pool.queue[0].block]
    return max(1, int(most_bytes * block.tasks / max(1, block.bytes)))


def take(pool: Pool, tasks: int) -> list[Segment]:
    """Remove up to `tasks` tasks from the front of the queue: whole batches, few segments."""
    size = pool.spec.head.batch_size
    taken: list[Segment] = []
    left = tasks
    while left and pool.queue:
        if len(taken) >= MOST_SEGMENTS and (tasks - left) % size == 0:
            break
        if taken and (tasks - left) % size == 0 and not _follows(pool.queue[0], taken[-1]):
            break  # a block has one place in the order of outputs
        first = pool.queue.popleft()
        if first.tasks > left:
            first, rest = first.split(left)
            pool.queue.appendleft(rest)
        taken.append(first)
        left -= first.tasks
    pool.queued_tasks -= tasks - left
    return taken


def _follows(segment: Segment, before: Segment) -> bool:
    return segment.position == before.position + before.tasks


def split_off(segments: list[Segment], tasks: int) -> tuple[list[Segment], list[Segment]]:
    """The first `tasks` tasks of the segments, and the rest."""
    head: list[Segment] = []
    rest = deque(segments)
    while tasks and rest:
        first = rest.popleft()
        if first.tasks > tasks:
            first, remainder = first.split(tasks)
            rest.appendleft(remainder)
        head.append(first)
        tasks -= first.tasks
    return head, list(rest)


def into_suspects(unit: Unit, batch_size: int) -> list[Suspect]:
    """One suspect per batch of the unit; the first keeps what was already passed on of it."""
    suspects: list[Suspect] = []
    rest = unit.segments
    skip = unit.emitted
    while rest:
        batch, rest = split_off(rest, batch_size)
        suspects.append(Suspect(tuple(batch), skip=skip))
        skip = 0
    return suspects


def give_back(pool: Pool, segments: Iterable[Segment]) -> None:
    """Put segments back into the queue, where they were: what several workers had may come back
    in any order.
    """
    for segment in segments:
        pool.queue.append(segment)
        pool.queued_tasks += segment.tasks
    pool.queue = deque(sorted(pool.queue, key=lambda segment: segment.position))


def consume(state: State, pool: Pool, segments: Iterable[Segment]) -> list[ReleaseBlock]:
    """Count tasks as finished; blocks of which nothing is left are released."""
    released: list[ReleaseBlock] = []
    for segment in segments:
        pool.consumed += segment.tasks
        block = state.blocks[segment.block]
        block.left -= segment.tasks
        if block.left == 0:
            del state.blocks[segment.block]
            pool.held_bytes -= block.bytes if segment.block else 0
            if segment.block:
                released.append(ReleaseBlock(segment.block))
    return released
