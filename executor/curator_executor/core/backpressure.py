"""Decide whether a pool may produce more. Called by `dispatch` before each call.

By bytes: what waits behind a pool, and what its running calls may add, stays below a share of
the object store. One call is always let through while the pool behind cannot form a batch, so that
a limit cannot deadlock.
"""

from __future__ import annotations

from curator_executor.core.state import MIB, Pool, State

# Share of the object store that queues may fill; the rest is for calls in flight and user data.
STORE_SHARE = 0.5
# A queue deeper than this hides no latency: it holds memory and makes the end longer.
QUEUE_BYTES = 64 * MIB
# Blocks of one queue: each costs the driver about 2 kB, and up to 100 kB where Ray keeps small
# results in the driver's memory.
QUEUE_BLOCKS = 128


def queue_limit_bytes(state: State) -> int:
    """Most bytes that one queue may hold."""
    boundaries = max(1, len(state.pools))
    if not state.store_bytes:
        return QUEUE_BYTES
    return int(min(QUEUE_BYTES, state.store_bytes * STORE_SHARE / boundaries))


def block_limit_bytes(state: State) -> int:
    """Most bytes that one call should return: four blocks fit a queue."""
    return max(64 * 1024, min(state.settings.max_block_bytes, queue_limit_bytes(state) // 4))


def has_room(state: State, pool: Pool, *, idle_worker: bool = False) -> bool:
    """Whether one more call of the pool may run; says why not in `pool.why_blocked`.

    Args:
        state: the run.
        pool: whose call.
        idle_worker: the call is for a worker that has none.
    """
    pool.why_blocked = ""
    index = pool.spec.index
    if state.settings.batch_mode or index + 1 == len(state.pools):
        return True
    downstream = state.pools[index + 1]
    limit = queue_limit_bytes(state)
    in_flight = pool.in_flight
    none_came_back = pool.calls <= in_flight
    if none_came_back and idle_worker:
        return True  # nothing is known of its outputs yet: one call for each worker tells
    predicted = block_limit_bytes(state) if none_came_back else pool.out_bytes_per_call
    held = downstream.held_bytes + in_flight * predicted
    if held + predicted <= limit and len(downstream.queue) < QUEUE_BLOCKS:
        return True
    # A batch downstream that is not complete yet can only be completed from here.
    if in_flight == 0 and downstream.queued_tasks < downstream.spec.head.batch_size:
        return True
    pool.why_blocked = (
        f"{downstream.spec.name} has {downstream.queued_tasks} tasks "
        f"({downstream.held_bytes / MIB:.0f} MiB) waiting"
    )
    return False
