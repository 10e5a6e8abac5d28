"""How many workers each pool should have."""

from __future__ import annotations

import re
from typing import Any

import pytest

from curator_executor.core.fusion import plan_pools
from curator_executor.core.room import Room
from curator_executor.core.sizing import (
    PoolLoad,
    Sizing,
    check_fits,
    check_pools_fit,
    size,
)
from curator_executor.core.types import GIB, Need, Node, PoolSpec, StageSpec


def load(index: int, **options: Any) -> PoolLoad:
    values: dict[str, Any] = {
        "need": Need(1.0),
        "fixed": None,
        "most": 1000,
        "least": 0,
        "cost_s": None,
        "rank": (0, index),
    }
    return PoolLoad(index=index, **(values | options))


def node(cpus: float, gpus: float = 0.0, memory: int = 0) -> tuple[Node, ...]:
    return (Node("n1", cpus, gpus, memory),)


@pytest.mark.parametrize(
    ("loads", "cpus", "wanted"),
    [
        ([load(0), load(1)], 4, {0: 2, 1: 2}),  # nothing known: equal shares
        ([load(0), load(1)], 5, {0: 2, 1: 3}),  # the furthest downstream among equals
        ([load(0, cost_s=1.0), load(1, cost_s=3.0)], 8, {0: 2, 1: 6}),
        ([load(0, cost_s=0.001), load(1, cost_s=3.0)], 8, {0: 1, 1: 7}),
        ([load(0, fixed=3), load(1)], 8, {0: 3, 1: 5}),
        ([load(0, most=2), load(1)], 8, {0: 2, 1: 6}),
        ([load(0, least=4), load(1, cost_s=9.0)], 8, {0: 4, 1: 4}),
        ([load(0, most=1, least=4), load(1)], 3, {0: 1, 1: 2}),
        ([load(0, most=0), load(1)], 2, {0: 0, 1: 2}),
    ],
)
def test_workers_go_where_the_pipeline_is_slowest(
    loads: list[PoolLoad], cpus: float, wanted: dict[int, int]
) -> None:
    assert size(loads, node(cpus)).wanted == wanted


def test_pools_take_turns_when_there_is_no_room_for_all() -> None:
    found = size([load(0, rank=(3, 0)), load(1, rank=(1, 1)), load(2, rank=(2, 2))], node(2))
    assert found == Sizing(
        {0: 0, 1: 1, 2: 1},
        {
            0: "waits for its turn: more stages than resources",
            1: "one worker at least",
            2: "one worker at least",
        },
        take_turns=True,
    )


@pytest.mark.parametrize("counts", [{"least": 2}, {"fixed": 2}])
def test_pools_take_turns_when_the_counts_of_one_leave_no_room_for_another(
    counts: dict[str, int],
) -> None:
    found = size([load(0, rank=(1, 0)), load(1, rank=(0, 1), **counts)], node(2))
    assert (found.wanted, found.take_turns) == ({0: 0, 1: 2}, True)


def test_pool_that_lends_gets_a_worker_only_when_others_have_no_use_for_it() -> None:
    idle = load(1, lends=True, has_work=False, rank=(3, 1))
    busy = load(0, cost_s=1.0, useful=4)
    assert size([busy, idle], node(4)).wanted == {0: 4, 1: 0}
    found = size([load(0, cost_s=1.0, useful=2), idle], node(4))
    assert (found.wanted, found.take_turns) == ({0: 3, 1: 1}, False)


def test_pool_that_lends_says_what_became_of_its_core() -> None:
    idle = load(1, lends=True, has_work=False, rank=(3, 1))
    found = size([load(0, cost_s=1.0, useful=4), idle], node(4))
    assert (found.take_turns, found.reason[1]) == (
        True,
        "has nothing to do: its core serves others",
    )


def test_each_count_has_its_reason() -> None:
    found = size([load(0, fixed=1), load(1, cost_s=1.0), load(2)], node(8))
    assert found.reason == {
        0: "pinned",
        1: "slowest stage",
        2: "equal share, nothing measured yet",
    }


def test_gpus_and_memory_are_limits_too() -> None:
    gpu = load(1, need=Need(1.0, gpus=0.5), cost_s=100.0)
    fat = load(0, need=Need(1.0, memory=40), cost_s=1.0)
    assert size([fat, gpu], node(16, gpus=1.0, memory=100)).wanted == {0: 2, 1: 2}


def test_worker_may_take_all_of_a_node() -> None:
    room = Room([Node("a", 2.0, 1.0, 100)])
    assert room.place(Need(2.0, 1.0, 100)) is not None
    assert room.place(Need(0.1)) is None


def test_worker_lives_on_one_node() -> None:
    room = Room([Node("a", 1.5), Node("b", 1.5)])
    found = [room.place(Need(1.0)) for _ in range(3)]
    assert [each and each.id for each in found] == ["a", "b", None]
    assert room.place(Need(0.5))


def test_memory_is_unlimited_where_it_is_not_known() -> None:
    assert Room([Node("a", 1.0)]).place(Need(1.0, memory=10**15))


@pytest.mark.parametrize(
    ("need", "problem"),
    [
        (Need(2.0, 1.0, 50), ""),
        (Need(3.0), "needs 3 CPUs per worker, the largest node offers 2"),
        (Need(1.0, 2.0), "needs 2 GPUs per worker, the largest node offers 1"),
        (
            Need(1.0, memory=200),
            "needs 200 bytes of memory per worker, the largest node offers 100",
        ),
    ],
)
def test_stage_that_fits_nowhere_is_named_with_the_limit(need: Need, problem: str) -> None:
    found = check_fits([("caption", need)], node(2.0, 1.0, 100))
    assert len(found) == bool(problem)
    assert all(text.startswith(f'stage "caption": {problem}') for text in found)


def test_stage_whose_gpu_memory_no_gpu_has_is_named() -> None:
    nodes = [Node("a", 8.0, 2.0, gpu_memory=24 * GIB), Node("b", 8.0)]
    (problem,) = check_fits([("embed", Need(1.0, 1.0, gpu_memory=40 * GIB))], nodes)
    assert "needs 40 GB of memory on one GPU per worker, the largest node offers 24" in problem
    assert check_fits([("embed", Need(1.0, 1.0, gpu_memory=24 * GIB))], nodes) == []


def test_stage_that_no_single_node_has_room_for_is_named() -> None:
    nodes = (Node("cpus", 8.0), Node("gpus", 1.0, 4.0))
    (text,) = check_fits([("caption", Need(4.0, 1.0))], nodes)
    assert "no single node has" in text


def pools(*options: dict[str, Any]) -> tuple[PoolSpec, ...]:
    return plan_pools(
        [StageSpec(index, f"s{index}", **each) for index, each in enumerate(options)], fuse=False
    )


STATE = {"is_global": True}
LARGE = {"need": Need(2.0)}


@pytest.mark.parametrize(
    ("stages", "cpus", "named"),
    [
        ([LARGE, STATE], 2, 's1" keeps what it has taken in in its process, .* while "s0"'),
        ([{"env_key": "a"}, STATE], 1, 's1" keeps what .* while "s0" goes on'),
        ([STATE, LARGE, STATE], 3, 's2" keeps what .* while "s1" goes on'),
        ([LARGE, STATE], 3, ""),
        ([{}, STATE], 1, ""),  # they share a worker
        ([STATE, LARGE], 2, ""),  # what comes after it may wait until it has emitted all
        ([LARGE, STATE | {"keeps_state_in_scratch": True}], 2, ""),
        ([LARGE, STATE, LARGE, STATE], 4, ""),
        ([LARGE, STATE | {"keeps_state_in_scratch": True}, {}, STATE], 2, ""),
    ],
)
def test_stage_that_cannot_run_beside_a_global_stages_state_is_named(
    stages: list[dict[str, Any]], cpus: float, named: str
) -> None:
    found = check_pools_fit(pools(*stages), node(cpus))
    assert len(found) == bool(named)
    assert all(re.search(named, text) for text in found)
    assert check_pools_fit(pools(*stages), node(cpus), batch_mode=True) == []


def test_state_may_be_on_another_node() -> None:
    nodes = (Node("a", 2.0), Node("b", 1.0))
    assert check_pools_fit(pools(LARGE, STATE), nodes) == []


def test_stage_fits_only_on_nodes_of_its_groups() -> None:
    nodes = (Node("a", 8.0, group="cpu"), Node("b", 1.0, 1.0, group="gpu"))
    here = pools({"need": Need(4.0), "worker_groups": ("gpu",)})
    assert "needs 4 CPUs per worker, the largest node offers 1" in check_pools_fit(here, nodes)[0]
    there = pools({"need": Need(4.0), "worker_groups": ("gpu", "cpu")})
    assert check_pools_fit(there, nodes) == []


def test_unknown_group_is_named_beside_those_there_are() -> None:
    nodes = (Node("a", 8.0, group="cpu"), Node("b", 1.0, 1.0, group="gpu"))
    (text,) = check_pools_fit(pools({"worker_groups": ("gpus",)}), nodes)
    assert "runs on the worker groups gpus only; the cluster has cpu, gpu." in text


def test_groups_are_not_looked_at_where_no_node_has_one() -> None:
    assert check_pools_fit(pools({"worker_groups": ("gpu",)}), node(1.0)) == []


def test_workers_are_wanted_on_nodes_to_come_for_pools_that_have_no_room() -> None:
    found = size([load(0), load(1, need=Need(1.0, 1.0))], node(1), [Node("", 4.0, 1.0)])
    assert (found.wanted, found.on_new_nodes) == ({0: 1, 1: 0}, {1: 1})


def test_slowest_pool_grows_onto_nodes_to_come_and_a_faster_one_does_not() -> None:
    slow = load(0, cost_s=4.0, useful=1, grows=1)
    fast = load(1, cost_s=1.0, useful=1, grows=5)
    found = size([slow, fast], node(2), [Node("", 8.0)] * 2)
    assert (found.wanted, found.on_new_nodes) == ({0: 1, 1: 1}, {0: 1})
