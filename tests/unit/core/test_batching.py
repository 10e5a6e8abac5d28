"""Queued work is cut into calls of whole batches."""

from __future__ import annotations

from collections import deque

import pytest

from curator_executor.core import batching
from curator_executor.core.actions import ReleaseBlock
from curator_executor.core.state import Block, CoreSettings, Pool, State
from curator_executor.core.types import Segment, Suspect, Unit
from tests.unit.core.states import run_of


def second_pool(
    *sizes: int, batch_size: int, upstream_done: bool = False, block_bytes: int = 100
) -> tuple[State, Pool]:
    """A pool with blocks of these sizes in its queue."""
    state = run_of({}, {"batch_size": batch_size}, tasks=1)
    pool = state.pools[1]
    for number, size in enumerate(sizes, start=1):
        state.blocks[number] = Block(number, 1, size, block_bytes, size)
        pool.queue.append(Segment(number, 0, size, pool.accepted))
        pool.accepted += size
        pool.queued_tasks += size
        pool.held_bytes += block_bytes
    state.pools[0].done = upstream_done
    return state, pool


@pytest.mark.parametrize(
    ("queued", "upstream_done", "tasks"),
    [
        (6, False, 0),  # no whole batch
        (7, False, 7),
        (20, False, 7),  # nothing measured yet: one batch
        (6, True, 6),  # the remainder
        (0, True, 0),
    ],
)
def test_first_call_carries_one_batch(queued: int, upstream_done: bool, tasks: int) -> None:
    sizes = [queued] if queued else []
    state, pool = second_pool(*sizes, batch_size=7, upstream_done=upstream_done)
    assert batching.tasks_for_call(state, pool, 1) == tasks


@pytest.mark.parametrize(
    ("seconds_per_task", "last_call_tasks", "ready", "tasks"),
    [
        (0.001, 700, 1, 98),  # 0.1 s of work: 14 whole batches
        (0.001, 7, 1, 56),  # eight times the last call at most
        (0.05, 700, 1, 7),  # 0.1 s is less than a batch: one batch
        (0.001, 700, 10, 28),  # a fair share of what waits
        (0.001, 700, 100, 14),  # a fair share is too little to be worth a call: 0.02 s of work
        (0.0, 10_000, 1, 280),  # free of cost: all there is
    ],
)
def test_call_grows_with_what_was_measured(
    seconds_per_task: float, last_call_tasks: int, ready: int, tasks: int
) -> None:
    state, pool = second_pool(280, batch_size=7)
    pool.cost.per_task = seconds_per_task
    pool.last_call_tasks = last_call_tasks
    assert batching.tasks_for_call(state, pool, ready) == tasks


def test_call_stays_below_its_bytes() -> None:
    state, pool = second_pool(100, batch_size=7, block_bytes=100_000)
    state.settings = CoreSettings(max_block_bytes=30_000)
    pool.cost.per_task, pool.last_call_tasks = 1e-6, 1000
    assert batching.tasks_for_call(state, pool, 1) == 28


def test_many_workers_make_calls_longer() -> None:
    """1,000 workers at 0.6 ms of the driver's time a call: a call must last 1.2 s."""
    state, pool = second_pool(1_000_000, batch_size=1)
    state.workers = dict.fromkeys(range(1000))  # type: ignore[assignment]
    pool.cost.per_task, pool.last_call_tasks = 0.001, 100_000
    assert batching.tasks_for_call(state, pool, 1) == 1200


def test_batches_go_across_blocks() -> None:
    _, pool = second_pool(3, 3, 3, batch_size=7)
    assert batching.take(pool, 7) == [
        Segment(1, 0, 3, 0),
        Segment(2, 0, 3, 3),
        Segment(3, 0, 1, 6),
    ]
    assert (list(pool.queue), pool.queued_tasks) == ([Segment(3, 1, 3, 7)], 2)


def test_call_has_few_segments_but_whole_batches() -> None:
    _, pool = second_pool(*[1] * 200, batch_size=7)
    taken = batching.take(pool, 196)
    assert len(taken) == 70
    assert pool.queued_tasks == 130


def test_call_ends_at_a_gap_in_the_order_of_inputs() -> None:
    _, pool = second_pool(2, 2, 2, batch_size=2)
    del pool.queue[1]
    pool.queued_tasks = 4
    assert batching.take(pool, 4) == [Segment(1, 0, 2, 0)]
    assert list(pool.queue) == [Segment(3, 0, 2, 4)]


def test_segments_split_at_a_task() -> None:
    assert batching.split_off([Segment(1, 0, 3), Segment(2, 5, 9)], 5) == (
        [Segment(1, 0, 3), Segment(2, 5, 7)],
        [Segment(2, 7, 9, 2)],
    )


def test_suspects_are_one_batch_each_and_the_first_knows_what_it_emitted() -> None:
    unit = Unit([Segment(1, 0, 3), Segment(2, 0, 4, 3)], emitted=2)
    assert batching.into_suspects(unit, 3) == [
        Suspect((Segment(1, 0, 3),), skip=2),
        Suspect((Segment(2, 0, 3, 3),)),
        Suspect((Segment(2, 3, 4, 6),)),
    ]


def test_what_comes_back_takes_its_place_in_the_queue() -> None:
    _, pool = second_pool(2, 2, 2, 2, batch_size=2)
    taken = batching.take(pool, 6)
    batching.give_back(pool, taken[2:])
    batching.give_back(pool, taken[:2])
    assert pool.queue == deque(
        [Segment(1, 0, 2, 0), Segment(2, 0, 2, 2), Segment(3, 0, 2, 4), Segment(4, 0, 2, 6)]
    )
    assert pool.queued_tasks == 8


def test_block_is_released_with_its_last_task() -> None:
    state, pool = second_pool(5, batch_size=1)
    assert batching.consume(state, pool, [Segment(1, 0, 3)]) == []
    assert (pool.consumed, pool.held_bytes) == (3, 100)
    assert batching.consume(state, pool, [Segment(1, 3, 5)]) == [ReleaseBlock(1)]
    assert (pool.consumed, pool.held_bytes, state.blocks.get(1)) == (5, 0, None)


def test_source_tasks_are_never_released() -> None:
    state = run_of({}, tasks=2)
    assert batching.consume(state, state.pools[0], [Segment(0, 0, 2)]) == []
