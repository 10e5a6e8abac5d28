"""More stages than cores: they take turns, and nobody waits for ever."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from curator_executor import Resources
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

pytestmark = [
    pytest.mark.integration,
    pytest.mark.usefixtures("on_ray"),
    pytest.mark.timeout(240),
]
ONE_CPU = TWO_CPUS / 2


def plus_one(name: str) -> Apply:
    def process(task: Number) -> Number:
        task.data += 1
        return task

    return Apply(process, name)


def test_seven_stages_of_one_core_share_two_cores() -> None:
    stages = [plus_one(f"stage {position}") for position in range(7)]
    outcome = run(stages, numbers(500), fusion=False)
    assert sorted(values(outcome.tasks)) == [n + 7 for n in range(500)]
    assert len(outcome.report.stages) == 7
    assert all(not stage.progress.fused_with for stage in outcome.report.stages)


def test_seven_stages_share_one_core_with_batches_that_do_not_divide() -> None:
    def as_they_come(tasks: list[Number]) -> list[Number]:
        return [number(task.data + 1) for task in tasks]

    sizes = [3, 1, 7, 2, 5, 4, 11]
    stages = [ApplyBatch(as_they_come, f"by {size}", batch_size=size) for size in sizes]
    outcome = run(stages, numbers(101), fusion=False, cpu_allocation_percentage=ONE_CPU)
    assert sorted(values(outcome.tasks)) == [n + 7 for n in range(101)]


@pytest.mark.parametrize("cpus", [ONE_CPU, TWO_CPUS], ids=["one core", "two cores"])
def test_a_generator_that_is_held_back_lends_its_core(marks: Marks, cpus: float) -> None:
    """1. The source yields far more than the queues hold. 2. It is held back in the middle of its
    only task. 3. Six stages must work off the queues in its core before it can go on, without
    starting again.
    """

    def source(_: Any) -> Iterator[Number]:
        marks.log("source started")
        for position in range(3_000):
            yield number((position, "x" * 2_000))

    stages = [Apply(source, "source")]
    stages += [Apply(passed_on, f"stage {position}") for position in range(5)]
    stages += [Apply(lambda task: number(task.data[0]), "last")]
    outcome = run(stages, fusion=False, cpu_allocation_percentage=cpus, max_block_bytes=1_000)
    assert sorted(values(outcome.tasks)) == list(range(3_000))
    assert marks.lines() == ["source started"]


def test_stages_of_different_size_take_turns() -> None:
    """A worker of one core cannot become one of two: the first has to end."""
    stages = [
        Apply(passed_on, "small", resources=Resources(cpus=1.0)),
        Apply(passed_on, "large", resources=Resources(cpus=2.0)),
        Apply(passed_on, "small again", resources=Resources(cpus=1.0)),
        Apply(passed_on, "half", resources=Resources(cpus=0.5)),
    ]
    outcome = run(stages, numbers(200), fusion=False)
    assert sorted(values(outcome.tasks)) == list(range(200))


def test_a_stage_that_needs_no_core_runs() -> None:
    stages = [Apply(passed_on, "free", resources=Resources(cpus=0.0)), Apply(passed_on, "after")]
    outcome = run(stages, numbers(50), fusion=False, max_workers_per_stage=2)
    assert sorted(values(outcome.tasks)) == list(range(50))


def test_workers_pinned_beyond_the_cores_take_what_there_is() -> None:
    stages = [Apply(passed_on, "pinned", workers=6), Apply(passed_on, "after")]
    outcome = run(stages, numbers(50), fusion=False)
    assert sorted(values(outcome.tasks)) == list(range(50))
