"""What waits between two pools is bounded by bytes, and the bound never deadlocks."""

from __future__ import annotations

import pytest

from curator_executor.core import backpressure
from curator_executor.core.state import MIB, Block, CoreSettings, State
from curator_executor.core.types import Segment
from tests.unit.core.states import run_of

KIB = 1024


def waiting(tasks: int, size: int, *, batch_size: int = 1, store_bytes: int = 8 * MIB) -> State:
    """Two pools; so many tasks of so many bytes in all wait between them."""
    state = run_of({}, {"batch_size": batch_size}, store_bytes=store_bytes)
    below = state.pools[1]
    if tasks:
        state.blocks[9] = Block(9, 1, tasks, size, tasks)
        below.queue.append(Segment(9, 0, tasks))
    below.queued_tasks, below.held_bytes, below.accepted = tasks, size, tasks
    return state


@pytest.mark.parametrize(
    ("store_bytes", "limit"),
    [
        (0, 64 * MIB),  # unknown store
        (8 * MIB, 2 * MIB),  # half of it, over two boundaries
        (100_000 * MIB, 64 * MIB),  # deeper queues hide no latency
    ],
)
def test_queue_limit_is_a_share_of_the_store(store_bytes: int, limit: int) -> None:
    assert backpressure.queue_limit_bytes(run_of({}, {}, store_bytes=store_bytes)) == limit


@pytest.mark.parametrize(
    ("store_bytes", "limit"),
    [(0, 16 * MIB), (8 * MIB, 512 * KIB), (100 * KIB, 64 * KIB)],
)
def test_four_blocks_fit_a_queue(store_bytes: int, limit: int) -> None:
    assert backpressure.block_limit_bytes(run_of({}, {}, store_bytes=store_bytes)) == limit


@pytest.mark.parametrize(
    ("queued_bytes", "out_bytes", "in_flight", "has_room"),
    [
        (0, 0, 0, True),
        (0, 0, 3, True),  # 4 blocks of 512 KiB fit 2 MiB
        (0, 0, 4, False),  # a fifth does not
        (1 * MIB, 512 * KIB, 1, True),
        (1 * MIB, 512 * KIB, 2, False),
        (2 * MIB, 1, 0, False),  # full
    ],
)
def test_room_counts_what_waits_and_what_runs(
    queued_bytes: int, out_bytes: int, in_flight: int, has_room: bool
) -> None:
    state = waiting(10 if queued_bytes else 0, queued_bytes)
    state.pools[0].out_bytes_per_call = out_bytes
    state.pools[0].in_flight = in_flight
    assert backpressure.has_room(state, state.pools[0]) is has_room


def test_refusal_says_what_waits() -> None:
    state = waiting(1234, 2 * MIB)
    assert not backpressure.has_room(state, state.pools[0])
    assert state.pools[0].why_blocked == "s1 has 1234 tasks (2 MiB) waiting"
    state.pools[1].held_bytes = 0
    assert backpressure.has_room(state, state.pools[0])
    assert state.pools[0].why_blocked == ""


@pytest.mark.parametrize(
    ("queued", "in_flight", "has_room"), [(6, 0, True), (6, 1, False), (7, 0, False)]
)
def test_incomplete_batch_downstream_lets_one_call_through(
    queued: int, in_flight: int, has_room: bool
) -> None:
    state = waiting(queued, 50 * MIB, batch_size=7)
    state.pools[0].in_flight = in_flight
    assert backpressure.has_room(state, state.pools[0]) is has_room


def test_many_small_blocks_are_bounded_too() -> None:
    state = waiting(0, 0)
    state.pools[0].out_bytes_per_call = 1
    below = state.pools[1]
    below.queue.extend(Segment(n, 0, 1) for n in range(127))
    below.queued_tasks = 127
    assert backpressure.has_room(state, state.pools[0])
    below.queue.append(Segment(127, 0, 1))
    assert not backpressure.has_room(state, state.pools[0])


def test_last_stage_always_has_room() -> None:
    state = waiting(5, 50 * MIB)
    state.pools[1].in_flight = 100
    assert backpressure.has_room(state, state.pools[1])


def test_batch_mode_holds_everything() -> None:
    state = waiting(5, 50 * MIB)
    state.settings = CoreSettings(batch_mode=True)
    state.pools[0].in_flight = 100
    assert backpressure.has_room(state, state.pools[0])
