"""What cannot run is refused before a worker starts; what goes wrong later names its stage."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest

from curator_executor import Resources, XennaExecutor
from curator_executor.core.errors import DoesNotFit, InvalidPipeline, StageFailed
from tests.integration.marks import Marks
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

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("on_ray")]


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        (Resources(cpus=100.0), ["needs 100 CPUs", "offers 2"]),
        (Resources(cpus=1.0, gpus=1.0), ["needs 1 GPUs", "offers 0"]),
        (Resources(cpus=1.0, memory=2**50), ["bytes of memory"]),
    ],
    ids=["cores", "gpu", "memory"],
)
def test_a_stage_that_fits_no_node_is_refused_before_any_worker_starts(
    marks: Marks, resources: Resources, words: list[str]
) -> None:
    stages: list[Any] = [
        Apply(passed_on, "modest", setup=lambda _: marks.set("started")),
        Apply(passed_on, "greedy", resources=resources),
    ]
    executor = XennaExecutor({"cpu_allocation_percentage": TWO_CPUS})
    with pytest.raises(DoesNotFit) as caught:
        executor.execute(stages, numbers(3))
    assert [word for word in ['stage "greedy"', *words] if word not in str(caught.value)] == []
    assert not marks.is_set("started")


def test_a_stage_that_cannot_be_pickled_is_refused_by_name() -> None:
    stage = Apply(passed_on, "locked")
    stage.spec = {}
    stage.__dict__["lock"] = threading.Lock()
    with pytest.raises(InvalidPipeline, match='stage "locked" cannot be sent to a worker') as error:
        run([Apply(passed_on), stage], numbers(3))
    assert "setup()" in str(error.value)


@pytest.mark.parametrize("stages", [[], ["no stage"], [Apply(passed_on, batch_size=0)]])
def test_what_is_no_pipeline_is_refused(stages: list[Any]) -> None:
    with pytest.raises(InvalidPipeline):
        run(stages, numbers(3))


@pytest.mark.parametrize("fusion", [True, False], ids=["fused", "each by itself"])
def test_a_result_that_is_no_task_is_refused_by_stage_and_task(fusion: bool) -> None:
    stages = [Apply(passed_on, "before"), Apply(lambda task: task.data, "wrong")]
    with pytest.raises(StageFailed, match="returned int, wanted") as caught:
        run(stages, numbers(1), fusion=fusion)
    assert isinstance(caught.value.__cause__, TypeError)
    assert '"wrong"' in str(caught.value)
    assert "0_0_0" in str(caught.value)


def test_a_batch_result_that_is_no_list_is_refused() -> None:
    stage = ApplyBatch(lambda tasks: tasks[0], "wrong", batch_size=2)
    with pytest.raises(StageFailed, match="a list of tasks"):
        run([stage], numbers(4))


@pytest.mark.parametrize("fusion", [True, False], ids=["fused", "each by itself"])
def test_an_output_that_cannot_be_pickled_names_its_stage_and_task(fusion: bool) -> None:
    def with_lock(task: Number) -> Number:
        return number(threading.Lock()) if task.data == 3 else task

    stages = [Apply(passed_on, "before"), Apply(with_lock, "locks")]
    with pytest.raises(StageFailed, match="pickle") as caught:
        run(stages, numbers(8), fusion=fusion)
    assert '"locks"' in str(caught.value)
    assert "0_3" in str(caught.value)


def test_an_ignored_output_that_cannot_be_pickled_costs_only_its_batch() -> None:
    def with_lock(task: Number) -> Number:
        return number(threading.Lock()) if task.data == 3 else task

    outcome = run([Apply(with_lock, "locks")], numbers(20), ignore_failures=True)
    assert sorted(values(outcome.tasks)) == [n for n in range(20) if n != 3]
    (letter,) = outcome.report.dead_letters
    assert (letter.stage, letter.task_ids) == ("locks", ["0_3"])


def test_an_exception_that_cannot_be_pickled_still_ends_the_run_with_its_text() -> None:
    def raises(task: Number) -> Number:
        error = ValueError("holds a lock")
        error.__dict__["lock"] = threading.Lock()
        raise error

    with pytest.raises(StageFailed, match="ValueError: holds a lock"):
        run([Apply(raises, "raises")], numbers(3))


def test_system_exit_in_a_stage_fails_its_batch() -> None:
    def leaves(task: Number) -> Number:
        raise SystemExit(3)

    with pytest.raises(StageFailed):
        run([Apply(leaves, "leaves")], numbers(3))


def test_each_stage_has_its_own_environment_variables() -> None:
    def read(name: str) -> Any:
        return lambda task: number((task.data, os.environ.get(name, "unset")))

    stages = [
        Apply(read("FLAVOUR"), "a", runtime_env={"env_vars": {"FLAVOUR": "sweet"}}),
        Apply(read("FLAVOUR"), "b", runtime_env={"env_vars": {"FLAVOUR": "sour"}}),
        Apply(read("FLAVOUR"), "c"),
    ]
    outcome = run(stages, numbers(4))
    assert sorted(values(outcome.tasks)) == [(((n, "sweet"), "sour"), "unset") for n in range(4)]
