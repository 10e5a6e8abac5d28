"""Nodes that are there, may come, or have gone: which workers are counted where."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from curator_executor.core.actions import KillWorker, StartWorker, StopWorker
from curator_executor.core.events import (
    NODE_GONE,
    CancelRequested,
    NodesChanged,
    WorkerCreated,
    WorkerReady,
)
from curator_executor.core.room import Room
from curator_executor.core.state import State
from curator_executor.core.turns import active_workers, pending_workers, someone_waits
from curator_executor.core.types import Need, Node, NodeGroup
from tests.unit.core.states import after, bring_up, calls, done, run_of

NEW = Node("", 1.0, group="more")


def growing(*options: dict[str, Any], tasks: int = 500, cpus: float = 1.0) -> State:
    """One node now, two more of one core may come."""
    state = run_of(*options, tasks=tasks, cpus=cpus)
    state.groups = (NodeGroup(NEW, 2),)
    return state


def test_worker_goes_to_nodes_of_its_groups_only() -> None:
    room = Room([Node("a", 4.0, group="cpu"), Node("b", 1.0, group="gpu"), Node("c", 1.0)])
    found = [room.place(Need(1.0), ("gpu", "other")) for _ in range(2)]
    assert [each and each.id for each in found] == ["b", None]
    assert room.place(Need(1.0)) is not None


def test_worker_waits_for_a_node_for_the_stage_that_has_no_room() -> None:
    state = growing({}, {})
    starts = [each for each in after(state, now=0.0) if isinstance(each, StartWorker)]
    assert [start.pool for start in starts] == [0, 1]
    assert [state.workers[start.worker].pending for start in starts] == [False, True]


def test_stage_whose_worker_waits_for_a_node_waits_for_its_turn_too() -> None:
    state = growing({}, {})
    (first, *_) = calls(bring_up(state, 1))
    after(state, done(first))
    pool = state.pools[1]
    assert (len(pending_workers(state, pool)), active_workers(state, pool)) == (1, [])
    assert someone_waits(state)


def test_worker_waits_no_more_once_there_is_room_for_it() -> None:
    state = growing({}, {})
    bring_up(state, 1)
    after(state, NodesChanged((*state.nodes, replace(NEW, id="n2"))))
    assert not state.workers[2].pending
    assert [pool.wanted for pool in state.pools] == [1, 1]


def test_run_that_ends_stops_its_workers_and_kills_those_that_wait_for_a_node() -> None:
    state = growing({}, {})
    bring_up(state, 1)
    actions = after(state, CancelRequested("enough"))
    assert [type(each) for each in actions] == [StopWorker, KillWorker]
    assert [each.worker for each in actions if isinstance(each, KillWorker)] == [2]


def slow_stage(tasks: int) -> list[StartWorker]:
    """What is started when a stage of 1 s a task has been timed on the only core."""
    state = growing({}, tasks=tasks)
    (first, second) = calls(bring_up(state, 1))
    actions = after(state, done(first, wall_s=1.0), done(second, wall_s=1.0), now=2.0)
    return [each for each in actions if isinstance(each, StartWorker)]


def test_node_is_asked_for_when_a_minute_of_work_waits() -> None:
    assert len(slow_stage(tasks=100)) == 1
    assert slow_stage(tasks=50) == []


def test_workers_on_a_node_that_went_are_replaced_and_no_batch_is_blamed() -> None:
    state = run_of({}, tasks=10, cpus=1.0)
    state.nodes = (*state.nodes, Node("n2", 1.0))
    after(state, now=0.0)
    after(state, WorkerCreated(1, "n1"), WorkerCreated(2, "n2"))
    after(state, WorkerReady(1, 0.1), WorkerReady(2, 0.1))
    actions = after(state, NodesChanged((state.nodes[0],)))
    assert actions[0] == KillWorker(2, NODE_GONE)
    assert (list(state.workers), list(state.pools[0].suspects)) == ([1], [])
    assert state.pools[0].workers_died == 1
    assert state.pools[0].queued_tasks == 8
