"""On which node each worker is to be, and what happens where workers are elsewhere."""

from __future__ import annotations

from collections import Counter
from math import inf
from typing import Any

import pytest

from curator_executor.core.actions import Action, StartWorker, StopWorker
from curator_executor.core.allocation.change import reallocate
from curator_executor.core.allocation.demand import Demand
from curator_executor.core.events import (
    NodesChanged,
    WorkerCreated,
    WorkerDied,
    WorkerReady,
    WorkerStopped,
)
from curator_executor.core.lifecycle import WorkerState
from curator_executor.core.planning import places_matter, plan
from curator_executor.core.room import Room
from curator_executor.core.sizing import PoolLoad
from curator_executor.core.state import State
from curator_executor.core.types import Need, Node, PoolSpec, StageSpec
from tests.unit.core.states import after, done, run_of

GPU = Need(1.0, 1.0)


def load(index: int, need: Need = GPU, **options: Any) -> PoolLoad:
    values: dict[str, Any] = {"fixed": None, "most": 1000, "least": 0, "cost_s": 1.0}
    values["rank"] = (0, index)
    return PoolLoad(index=index, need=need, **(values | options))


def nodes(*gpus: float, cpus: float = 8.0) -> list[Node]:
    return [Node(f"n{at}", cpus, each) for at, each in enumerate(gpus)]


def test_places_matter_with_gpus_or_unlike_workers_on_several_nodes() -> None:
    def pools(*needs: Need) -> list[PoolSpec]:
        return [PoolSpec(at, (StageSpec(at, f"s{at}"),), need) for at, need in enumerate(needs)]

    one, two = Need(1.0), Need(2.0)
    assert places_matter(pools(GPU), nodes(1))
    assert places_matter(pools(one, two), nodes(0, 0))
    assert not places_matter(pools(one, two), nodes(0))
    assert not places_matter(pools(one, one), nodes(0, 0))


def test_each_worker_has_its_node_and_each_count_its_reason() -> None:
    loads = [
        load(0, Need(1.0), cost_s=0.5),
        load(1, cost_s=1.0),
        load(2, Need(1.0), fixed=2, cost_s=0.1),
    ]
    found = plan(loads, nodes(0, 4), {}, {})
    assert found.places is not None
    assert found.places[1] == {"n1": 4}
    assert sum(found.places[2].values()) == 2
    assert found.wanted[1] == 4
    assert found.reason[1] == "slowest stage"
    assert found.reason[2] == "pinned"
    assert found.reason[0] == "keeps up with the slowest stage"
    assert found.places[0] == {"n0": found.wanted[0]}


def test_no_worker_is_started_that_would_have_nothing_to_do() -> None:
    """Four GPUs let 4 inputs a second through; two readers would do, three are there to spare."""
    found = plan([load(0, Need(1.0), cost_s=0.5), load(1)], nodes(0, 4, cpus=64.0), {}, {})
    assert found.wanted == {0: 3, 1: 4}


def test_workers_that_have_had_nothing_to_do_for_long_are_let_go() -> None:
    running = {"n0": {0: 40}, "n1": {0: 20, 1: 4}}
    found = plan([load(0, Need(1.0), cost_s=0.5), load(1)], nodes(0, 4, cpus=64.0), running, {})
    assert found.places == {0: {"n0": 3}, 1: {"n1": 4}}


def test_what_runs_stays_where_it_is_when_nothing_is_much_better() -> None:
    running = {"n1": {0: 1, 1: 1}, "n0": {0: 1}}
    found = plan([load(0), load(1, cost_s=0.98)], nodes(2, 2), running, {})
    assert found.places is not None
    assert found.places == {0: {"n0": 1, "n1": 1}, 1: {"n0": 1, "n1": 1}}


def test_workers_move_when_that_is_worth_it_and_as_few_as_can_be() -> None:
    demands = [Demand(GPU, 1.0), Demand(GPU, 3.0)]
    running = {"n0": (2, 0), "n1": (1, 1)}
    found = reallocate(demands, nodes(2, 2), running)
    assert found.counts == (1, 3)
    assert found.places in ({"n0": (0, 2), "n1": (1, 1)}, {"n0": (1, 1), "n1": (0, 2)})


def test_pools_take_turns_where_the_gpus_are_fewer_than_the_stages() -> None:
    loads = [load(0, rank=(3, 0)), load(1, rank=(1, 1)), load(2, rank=(2, 2))]
    found = plan(loads, nodes(1), {}, {})
    assert (found.wanted, found.take_turns) == ({0: 0, 1: 1, 2: 0}, True)
    assert found.reason[0] == "waits for its turn: more stages than resources"


def test_a_worker_that_alone_can_go_on_keeps_its_node_whatever_would_be_better() -> None:
    loads = [load(0, Need(8.0)), load(1, Need(1.0), fixed=1)]
    found = plan(loads, nodes(0, 0), {"n0": {1: 1}}, {1: "n0"})
    assert found.places == {0: {"n1": 1}, 1: {"n0": 1}}


@pytest.mark.parametrize(
    ("devices", "fits"),
    [((("0",), ("0",)), True), ((("0",), ("1",)), False)],
    ids=["on one device", "on two"],
)
def test_a_whole_gpu_is_one_that_nobody_has_a_share_of(
    devices: tuple[tuple[str], ...], fits: bool
) -> None:
    room = Room(nodes(2))
    for names in devices:
        assert room.place(Need(1.0, 0.5), node="n0", devices=names)
    assert (room.place(GPU) is not None) is fits


def test_shares_whose_device_is_not_known_are_counted_as_ray_packs_them() -> None:
    room = Room(nodes(2))
    placed = [room.place(Need(0.1, share)) for share in (0.6, 0.6, 0.4, 0.4)]
    assert all(placed)
    assert room.place(Need(0.1, 0.1)) is None


def two_shares_on_two_devices() -> State:
    """Node with two GPUs, half of each taken; the second stage needs a whole one."""
    half = {"need": Need(1.0, 0.5), "fixed_workers": 2}
    state = run_of(half, {"need": GPU}, tasks=50)
    state.nodes = tuple(nodes(2))
    after(state, now=0.0)
    after(state, WorkerCreated(2, "n0", ("0",)), WorkerCreated(3, "n0", ("1",)))
    after(state, WorkerReady(2, 0.1), WorkerReady(3, 0.1))
    return state


def test_whole_gpus_are_started_before_shares_so_that_ray_packs_as_planned() -> None:
    state = run_of({"need": Need(1.0, 0.5), "fixed_workers": 2}, {"need": GPU}, tasks=50)
    state.nodes = tuple(nodes(2))
    starts = [each for each in after(state, now=0.0) if isinstance(each, StartWorker)]
    assert [(each.pool, each.node) for each in starts] == [(1, "n0"), (0, "n0"), (0, "n0")]


def test_a_share_moves_off_a_gpu_that_is_needed_whole_and_comes_back_beside_the_other() -> None:
    state = two_shares_on_two_devices()
    after(state, WorkerDied(1, "its process is gone"))  # and 0.5 is left of each GPU
    (moving,) = [worker for worker in state.workers.values() if worker.moves]
    assert moving.state is WorkerState.DRAINING
    actions: list[Action] = []
    while moving.calls:  # it finishes what it has
        actions = after(state, done(moving.calls[0]), now=2.0)
    assert StopWorker(moving.id, "its resources are needed elsewhere") in actions
    actions = after(state, WorkerStopped(moving.id), now=3.0)
    assert [each.pool for each in actions if isinstance(each, StartWorker)] == [1, 0]


def test_workers_on_a_node_that_joins_are_started_there() -> None:
    state = run_of({"need": GPU}, tasks=50)
    state.nodes = tuple(nodes(1))
    after(state, now=0.0)
    actions = after(state, NodesChanged(tuple(nodes(1, 3))))
    starts = Counter(each.node for each in actions if isinstance(each, StartWorker))
    assert starts == {"n1": 3}


@pytest.mark.parametrize("change", ["a node is lost", "a stage costs a fifth more"])
def test_a_small_change_is_met_by_loading_a_few_nodes_anew(change: str) -> None:
    demands = [
        Demand(Need(1), 0.5),
        Demand(Need(2, 0.25), 1.0),
        Demand(Need(4, 1), 6.0),
        Demand(Need(1, 0.5), 3.0),
    ]
    there = [Node(f"n{at}", 64.0, 8.0) for at in range(100)]
    running = reallocate(demands, there, {}).places
    if change == "a node is lost":
        there = there[1:]
    else:
        demands[1] = Demand(Need(2, 0.25), 1.2)
    found = reallocate(demands, there, running)
    anew = [node for node, load in found.places.items() if load != running[node]]
    assert len(anew) <= 4
    assert found.rate >= 0.96 * reallocate(demands, there, {}).rate


GB = 2**30
H100 = Node("h100", 64.0, 2.0, group="h100", gpu_memory=80 * GB)
L4 = Node("l4", 64.0, 2.0, group="l4", gpu_memory=24 * GB)
UNKNOWN = Node("unknown", 64.0, 2.0, group="unknown")


@pytest.mark.parametrize(
    ("asked_gb", "share"),
    [(10, 0.125), (20, 0.25), (80, 1.0), (85, 1.0), (90, inf)],
    ids=["an eighth", "a quarter", "all", "all, by its name", "more than there is"],
)
def test_share_of_a_gpu_is_that_of_its_memory(asked_gb: int, share: float) -> None:
    assert Need(gpus=0.4, gpu_memory=asked_gb * GB).on(H100).gpus == share


def test_assumed_share_stands_where_the_memory_is_not_known() -> None:
    need = Need(gpus=0.4, gpu_memory=10 * GB)
    assert need.on(UNKNOWN) == need
    assert Need(gpus=0.4).on(H100) == Need(gpus=0.4)


def test_each_node_has_as_many_workers_as_the_memory_of_its_own_gpus_holds() -> None:
    need = Need(1.0, 0.4, gpu_memory=10 * GB)
    found = plan([load(0, need)], [H100, L4, UNKNOWN], {}, {})
    assert found.places == {0: {"h100": 16, "l4": 4, "unknown": 4}}


def test_a_stage_is_put_only_where_one_gpu_has_memory_enough() -> None:
    large, small = Need(1.0, 1.0, gpu_memory=60 * GB), Need(1.0, 0.8, gpu_memory=20 * GB)
    found = plan([load(0, large), load(1, small)], [H100, L4], {}, {})
    assert found.places is not None
    assert found.places[0] == {"h100": 2}
    assert found.wanted[1] == 3  # half as much again as the slowest stage needs


def test_room_counts_gpu_memory_on_the_device_where_a_worker_is() -> None:
    room = Room([H100, L4])
    need = Need(1.0, 0.4, gpu_memory=40 * GB)
    assert [room.place(need, node="h100", devices=[name]) for name in "aabb"] == [H100] * 4
    assert room.place(need, node="h100") is None
    assert room.place(need, node="l4") is None


def test_a_worker_is_started_with_the_share_that_its_node_makes_of_it() -> None:
    need = Need(1.0, 0.4, gpu_memory=10 * GB)
    state = run_of({"need": need}, tasks=100, nodes=(H100, L4))
    started = [each for each in after(state, now=0.0) if isinstance(each, StartWorker)]
    assert {(each.node, each.gpus) for each in started} == {("h100", 0.125), ("l4", 0.4167)}


def test_a_stage_that_is_nearly_done_does_not_take_workers_from_the_next_one() -> None:
    """One task is left before 89 that wait: all GPUs but one are for these."""
    loads = [load(0, GPU, most=1, cost_s=20.0), load(1, GPU, most=89, cost_s=40.0)]
    assert plan(loads, nodes(4, 4), {}, {}).wanted == {0: 1, 1: 7}
