"""Each invariant notices the damage it is there for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from curator_executor.core.invariants import Violation, check
from curator_executor.core.lifecycle import WorkerState
from curator_executor.core.state import Block, State, Worker
from curator_executor.core.types import Segment, Unit
from tests.unit.core.states import bring_up, run_of


def lose_a_task(state: State) -> None:
    state.pools[0].queue.pop()
    state.pools[0].queued_tasks = 0


def double_a_task(state: State) -> None:
    state.pools[0].queue.append(Segment(0, 0, 1))
    state.pools[0].queued_tasks += 1
    state.pools[0].accepted += 1


def forget_to_count(state: State) -> None:
    state.pools[0].queued_tasks -= 1


def queue_nothing(state: State) -> None:
    state.pools[0].queue.append(Segment(0, 3, 3))


def forget_bytes(state: State) -> None:
    state.blocks[9] = Block(9, 1, 1, 100, 1)


def close_too_early(state: State) -> None:
    state.pools[0].done = True


def keep_the_dead(state: State) -> None:
    state.workers[1].state = WorkerState.GONE


def send_too_much(state: State) -> None:
    state.workers[1].calls.append(state.workers[1].calls[0])


def lose_a_worker(state: State) -> None:
    state.pools[0].workers.discard(1)


def list_a_worker_twice(state: State) -> None:
    state.pools[1].workers.add(1)


def over_commit(state: State) -> None:
    state.workers[2] = Worker(2, 0, 0.0)
    state.pools[0].workers.add(2)


def over_commit_a_node(state: State) -> None:
    state.nodes = (*state.nodes, state.nodes[0])
    over_commit(state)
    state.workers[2].node = "n1"


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lose_a_task, "tasks here"),
        (double_a_task, "tasks in two places"),
        (forget_to_count, "queue has 8, says 7"),
        (queue_nothing, "empty segment"),
        (forget_bytes, "blocks hold 100 B, says 0 B"),
        (close_too_early, "done with 10 tasks left"),
        (keep_the_dead, "worker 1 is gone but listed"),
        (send_too_much, "worker 1: 3 calls"),
        (lose_a_worker, "worker 1 is not in its pool"),
        (list_a_worker_twice, "2 in pools, 1 workers"),
        (over_commit, "over-committed"),
        (over_commit_a_node, "over-committed"),
    ],
)
def test_damage_is_noticed(damage: Callable[[State], None], text: str) -> None:
    state = run_of({}, {}, tasks=10)
    bring_up(state, 1)
    check(state)
    damage(state)
    with pytest.raises(Violation, match=text):
        check(state)


def test_task_in_the_queue_and_in_a_worker_is_doubled() -> None:
    state = run_of({}, tasks=10)
    bring_up(state, 1)
    state.workers[1].queue(0).append(Unit([Segment(0, 5, 6)]))
    state.pools[0].accepted += 1
    with pytest.raises(Violation, match="tasks in two places"):
        check(state)
