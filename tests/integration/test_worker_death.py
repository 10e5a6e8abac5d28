"""Workers die in every phase of their life: outputs are exactly right, none lost, none doubled."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import Any

import psutil
import pytest

from curator_executor.core.errors import StageFailed, WorkersKeepDying
from tests.integration.marks import Marks, kill_this_process
from tests.integration.pieces import (
    TWO_CPUS,
    Apply,
    ApplyBatch,
    Number,
    number,
    numbers,
    passed_on,
    run,
    values,
)

pytestmark = [
    pytest.mark.integration,
    pytest.mark.usefixtures("on_ray"),
    pytest.mark.timeout(240),
]


def kill_process(pid: int) -> None:
    """Kill another worker, and wait until it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait(30)


def deaths(outcome: Any) -> int:
    return sum(stage.workers_died for stage in outcome.report.stages)


@pytest.mark.parametrize("fusion", [True, False], ids=["fused", "each by itself"])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_a_worker_that_dies_at_a_task_costs_nothing(
    marks: Marks, fusion: bool, batch_size: int
) -> None:
    def dies_once(tasks: list[Number]) -> list[Number]:
        for task in tasks:
            if task.data in (17, 60) and marks.first(f"died at {task.data}"):
                kill_this_process()
        return [number(task.data * 2) for task in tasks]

    stages = [
        Apply(passed_on, "before"),
        ApplyBatch(dies_once, "dies once", batch_size=batch_size),
        Apply(lambda task: [number((task.data, part)) for part in range(2)], "after"),
    ]
    outcome = run(stages, numbers(100), fusion=fusion)
    wanted = [(n * 2, part) for n in range(100) for part in range(2)]
    assert sorted(values(outcome.tasks)) == wanted
    assert deaths(outcome) == 2
    assert outcome.report.dead_letters == []
    assert len({task.task_id for task in outcome.tasks}) == 200


def test_a_death_in_batch_mode_leaves_the_order_as_it_was(marks: Marks) -> None:
    """1. Three workers take calls from the queue. 2. One that has the front dies; its input goes
    back to the front, before input that is further behind. 3. A later call spans both. 4. Its
    outputs must still be put between those of the other workers.
    """

    def dies(task: Number) -> Number:
        if task.data in (5, 40, 77) and marks.first(f"died at {task.data}"):
            kill_this_process()
        time.sleep(0.002)
        return task

    outcome = run(
        [Apply(dies, "dies"), Apply(passed_on, "after")],
        numbers(150),
        execution_mode="batch",
        cpu_allocation_percentage=0.375,
        target_call_s=0.02,
    )
    assert values(outcome.tasks) == list(range(150))
    assert deaths(outcome) == 3


def test_a_worker_that_dies_in_its_setup_is_replaced(marks: Marks) -> None:
    def setup(_: Any) -> None:
        if marks.first("died in setup"):
            kill_this_process()

    outcome = run([Apply(passed_on, "fragile", setup=setup)], numbers(20))
    assert sorted(values(outcome.tasks)) == list(range(20))
    assert deaths(outcome) == 1


def test_a_worker_that_dies_in_its_setup_on_node_is_replaced(marks: Marks) -> None:
    def setup_on_node(_: Any) -> None:
        if marks.first("died in setup_on_node"):
            kill_this_process()
        marks.log("prepared")

    outcome = run([Apply(passed_on, "fragile", setup_on_node=setup_on_node)], numbers(20))
    assert sorted(values(outcome.tasks)) == list(range(20))
    assert marks.lines() == ["prepared"]


def test_a_worker_that_dies_in_its_teardown_fails_nothing(marks: Marks) -> None:
    def teardown(_: Any) -> None:
        if marks.first("died in teardown"):
            kill_this_process()
        marks.log("torn down")

    def both_are_there(task: Number) -> Number:
        marks.wait_for_lines("set up", 2)
        return task

    def setup(_: Any) -> None:
        marks.log("set up")

    stage = Apply(both_are_there, "fragile", setup=setup, teardown=teardown, workers=2)
    outcome = run([stage], numbers(20))
    assert sorted(values(outcome.tasks)) == list(range(20))
    assert marks.lines("torn down") == ["torn down"]


def test_an_idle_worker_that_dies_is_replaced(marks: Marks) -> None:
    """1. "late" is ready and has done a task. 2. "early" holds the next one back, so "late" is
    idle. 3. "early" kills it. 4. The next task needs a new worker.
    """

    def early(task: Number) -> Number:
        if task.data == 1:
            kill_process(int(marks.wait("late is idle")))
        return task

    def late(task: Number) -> Number:
        if task.data == 0:
            marks.set("late is idle", str(os.getpid()))
        return task

    stages = [Apply(early, "early", workers=1), Apply(late, "late", workers=1)]
    outcome = run(stages, numbers(10), fusion=False)
    assert sorted(values(outcome.tasks)) == list(range(10))
    assert deaths(outcome) == 1


def test_workers_that_die_again_and_again_between_calls_lose_nothing(marks: Marks) -> None:
    """The killer runs in another stage's worker, so it hits its victims at any moment: while they
    compute, serialise, wait for a call or start.
    """

    def victim(task: Number) -> list[Number]:
        marks.set("victim", str(os.getpid()))
        time.sleep(0.01)
        return [number((task.data, part)) for part in range(3)]

    def killer(task: Number) -> Number:
        if task.data[0] % 40 == 7 and task.data[1] == 0:
            kill_process(int(marks.wait("victim")))
        return task

    stages = [Apply(victim, "victim", workers=1), Apply(killer, "killer", workers=1)]
    outcome = run(stages, numbers(200), fusion=False, target_call_s=0.03)
    wanted = [(n, part) for n in range(200) for part in range(3)]
    assert sorted(values(outcome.tasks)) == wanted
    assert deaths(outcome) >= 3


@pytest.mark.parametrize("held", [False, True], ids=["while it runs", "while it is held back"])
def test_a_fan_out_cut_short_goes_on_where_it_was(marks: Marks, held: bool) -> None:
    """1. "fans out" yields many tasks in small blocks. 2. It dies in the middle, by its own hand or
    held back by back-pressure. 3. It starts anew elsewhere; what was passed on is skipped.
    """
    count = 300

    def fans_out(task: Number) -> Any:
        for part in range(count):
            marks.log("yielded")
            if not held and part == 150 and task.data == 1 and marks.first("died half-way"):
                kill_this_process()
            yield number((task.data, part, "x" * 20_000))
            marks.set("fans out", str(os.getpid()))

    def consumes(task: Number) -> Number:
        if held and marks.first("the first one"):
            pid = int(marks.wait("fans out"))
            before = standing = 0
            while standing < 50:  # nothing more comes: it is held back
                before = len(marks.lines())
                time.sleep(0.02)
                standing = standing + 1 if len(marks.lines()) == before else 0
            assert before < 3 * count
            kill_process(pid)
        return number(task.data[:2])

    stages = [Apply(fans_out, "fans out", workers=1), Apply(consumes, "consumes", workers=1)]
    # Queues are cut to a few blocks, so that the second stage soon holds the first one back.
    outcome = run(stages, numbers(3), fusion=False, max_block_bytes=50_000)
    wanted = [(n, part) for n in range(3) for part in range(count)]
    assert sorted(values(outcome.tasks)) == wanted
    assert deaths(outcome) == 1
    assert len({task.task_id for task in outcome.tasks}) == len(wanted)


def poison(task: Number) -> Number:
    if task.data == 13:
        kill_this_process()
    return task


@pytest.mark.parametrize("fusion", [True, False], ids=["fused", "each by itself"])
def test_a_batch_that_kills_every_worker_ends_the_run_by_name(fusion: bool) -> None:
    stages = [Apply(passed_on, "before"), Apply(poison, "poison")]
    with pytest.raises(StageFailed) as caught:
        run(stages, numbers(40), fusion=fusion)
    message = str(caught.value)
    assert '"poison"' in message
    assert "0_13" in message
    assert "its process ended unexpectedly" in message


@pytest.mark.parametrize("fusion", [True, False], ids=["fused", "each by itself"])
def test_an_ignored_batch_that_kills_every_worker_is_the_only_one_lost(
    fusion: bool, node_id: str
) -> None:
    stages = [Apply(passed_on, "before"), Apply(poison, "poison"), Apply(passed_on, "after")]
    outcome = run(stages, numbers(40), fusion=fusion, ignore_failures=True)
    assert sorted(values(outcome.tasks)) == [n for n in range(40) if n != 13]
    (letter,) = outcome.report.dead_letters
    assert letter.stage == "poison"
    assert letter.error == "WorkerDied"
    assert letter.task_ids == (["0_13"] if fusion else ["0_13_0"])
    assert letter.node == node_id


def test_a_poisoned_batch_costs_the_tasks_of_its_batch_and_no_neighbour() -> None:
    def batch(tasks: list[Number]) -> list[Number]:
        for task in tasks:
            poison(task)
        return tasks

    stages = [ApplyBatch(batch, "poison", batch_size=5)]
    outcome = run(stages, numbers(42), ignore_failures=True)
    assert sorted(values(outcome.tasks)) == [n for n in range(42) if not 10 <= n < 15]
    (letter,) = outcome.report.dead_letters
    assert letter.task_ids == [f"0_{n}" for n in range(10, 15)]


def test_workers_that_all_die_in_setup_end_the_run(marks: Marks) -> None:
    def setup(_: Any) -> None:
        marks.log("started")
        kill_this_process()

    with pytest.raises(WorkersKeepDying) as caught:
        run([Apply(passed_on, "hopeless", setup=setup)], numbers(5))
    assert 'stage "hopeless"' in str(caught.value)
    assert 3 <= len(marks.lines()) <= 6


def test_a_dead_worker_comes_back_with_one_core_too(marks: Marks) -> None:
    def dies_once(task: Number) -> Number:
        if task.data == 5 and marks.first("died"):
            kill_this_process()
        return task

    outcome = run(
        [Apply(passed_on, "before"), Apply(dies_once, "dies once")],
        numbers(30),
        fusion=False,
        cpu_allocation_percentage=TWO_CPUS / 2,
    )
    assert sorted(values(outcome.tasks)) == list(range(30))
