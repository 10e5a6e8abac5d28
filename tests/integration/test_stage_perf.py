"""`_stage_perf`, ids and lineage keys of returned tasks are complete and true."""

from __future__ import annotations

import time
from typing import Any

import pytest

from curator_executor import Task
from tests.integration.pieces import (
    FOUR_CPUS,
    Apply,
    ApplyBatch,
    Number,
    number,
    numbers,
    run,
)

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("on_ray")]

NAP_S = 0.005


def fan_out(task: Number) -> list[Number]:
    time.sleep(NAP_S)
    return [number((task.data, part), items=3) for part in range(4)]


def keep_even(task: Number) -> Number | None:
    return task if task.data[1] % 2 == 0 else None


def one_to_one(tasks: list[Number]) -> list[Number]:
    time.sleep(NAP_S)
    return [number((*task.data, "batched"), items=2) for task in tasks]


def yielding(task: Number) -> Any:
    for part in range(2):
        time.sleep(NAP_S)
        yield number((*task.data, part), items=5)


def chain() -> list[Any]:
    return [
        Apply(fan_out, "fan out"),
        Apply(keep_even, "filter"),
        ApplyBatch(one_to_one, "N to N", batch_size=2),
        Apply(yielding, "generator"),
        Apply(lambda task: task, "last"),
    ]


def perf(task: Task[Any]) -> list[tuple[str, int]]:
    return [(entry.stage_name, entry.num_items_processed) for entry in task._stage_perf]


@pytest.mark.parametrize("fusion", [True, False], ids=["fused", "each by itself"])
@pytest.mark.parametrize("mode", ["streaming", "batch"])
def test_every_task_has_true_figures_of_every_stage(fusion: bool, mode: str) -> None:
    outcome = run(chain(), numbers(12), fusion=fusion, execution_mode=mode)
    assert len(outcome.tasks) == 12 * 2 * 2
    for task in outcome.tasks:
        # Of one number four tasks of 3 items each; two stay and go two by two into "N to N".
        assert perf(task) == [
            ("fan out", 1),
            ("filter", 3),
            ("N to N", 6),
            ("generator", 2),
            ("last", 5),
        ]
        seconds = {entry.stage_name: entry.process_time for entry in task._stage_perf}
        assert all(NAP_S <= seconds[name] < 5 for name in ("fan out", "N to N", "generator"))
        assert 0 < seconds["filter"] < 5
        assert 0 < seconds["last"] < 5
        assert all(entry.input_data_size_mb > 0 for entry in task._stage_perf)
        assert all(entry.actor_idle_time >= 0 for entry in task._stage_perf)
    assert len({task.task_id for task in outcome.tasks}) == len(outcome.tasks)
    assert len({task._lineage_key for task in outcome.tasks}) == len(outcome.tasks)
    counts = [(s.progress.done, s.progress.emitted, s.batches) for s in outcome.report.stages]
    assert counts == [(12, 48, 12), (48, 24, 48), (24, 24, 12), (24, 48, 24), (48, 48, 48)]
    assert [s.progress.filtered for s in outcome.report.stages] == [0, 24, 0, 0, 0]


@pytest.mark.parametrize("mode", ["streaming", "batch"])
def test_a_merge_sums_the_figures_of_its_inputs_and_counts_a_shared_batch_once(mode: str) -> None:
    def sums(tasks: list[Number]) -> list[Number]:
        return [number(sum(task.data for task in tasks), items=len(tasks))]

    def pairs(tasks: list[Number]) -> list[Number]:
        return tasks

    stages = [
        Apply(lambda task: number(task.data, items=10), "ten items"),
        ApplyBatch(pairs, "pairs", batch_size=2),
        ApplyBatch(sums, "merge", batch_size=4),
    ]
    outcome = run(stages, numbers(14), execution_mode=mode)
    assert sum(task.data for task in outcome.tasks) == sum(range(14))
    assert sorted(task.num_items for task in outcome.tasks) == [2, 4, 4, 4]
    for task in outcome.tasks:
        count = task.num_items
        # Each pair has 20 items, and two tasks of it are in the merge: counted once.
        assert perf(task) == [("ten items", count), ("pairs", 10 * count), ("merge", 10 * count)]
        assert task.task_id.startswith("r")
    assert len({task.task_id for task in outcome.tasks}) == 4


def test_custom_metrics_reach_the_tasks_of_their_batch_and_add_up_in_the_report() -> None:
    class Measures(Apply):
        def process(self, task: Number) -> Number:
            self._log_metric("value", task.data)
            with self._time_metric("nap_s"):
                time.sleep(NAP_S)
            return task

    class MeasuresPairs(ApplyBatch):
        def process_batch(self, tasks: list[Number]) -> list[Number]:
            self._log_metrics({"pair": min(task.data for task in tasks) + 0.5})
            return tasks

    stages = [
        Measures(lambda task: task, "measures"),
        MeasuresPairs(lambda task: task, "pairs", batch_size=2),
        Apply(lambda task: task, "silent"),
    ]
    outcome = run(stages, numbers(10), execution_mode="batch")
    for task in outcome.tasks:
        first, second, third = task._stage_perf
        assert set(first.custom_metrics) == {"value", "nap_s"}
        assert first.custom_metrics["value"] == task.data
        assert first.custom_metrics["nap_s"] >= NAP_S
        assert second.custom_metrics == {"pair": task.data - task.data % 2 + 0.5}
        assert third.custom_metrics == {}
    assert outcome.report.stages[0].metrics["value"] == 45
    assert outcome.report.stages[1].metrics == {"pair": 0 + 2 + 4 + 6 + 8 + 2.5}


def test_figures_that_a_task_came_with_stay_in_front() -> None:
    first = run([Apply(lambda task: task, "one")], numbers(3)).tasks
    second = run([Apply(lambda task: task, "two")], first).tasks
    assert [[name for name, _ in perf(task)] for task in second] == [["one", "two"]] * 3


VARIANTS: list[dict[str, Any]] = [
    {"cpu_allocation_percentage": 0.125},
    {"cpu_allocation_percentage": FOUR_CPUS, "max_workers_per_stage": 3},
    {"target_call_s": 0.001, "fusion": False},
    {"max_block_bytes": 1, "fusion": False},
    {"execution_mode": "batch"},
]


def test_lineage_keys_and_ids_do_not_depend_on_workers_or_blocks() -> None:
    runs = []
    for options in VARIANTS:
        tasks = run(chain(), numbers(12), **options).tasks
        runs.append({task._lineage_key: (task.data, task.task_id) for task in tasks})
    assert len(runs[0]) == 48
    assert all(len(key) == 16 for key in runs[0])
    for options, other in zip(VARIANTS[1:], runs[1:], strict=True):
        assert other == runs[0], options
