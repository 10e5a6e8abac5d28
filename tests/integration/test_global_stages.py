"""Global stages see every task before they emit. What they hold is never lost in silence."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from curator_executor import Resources
from curator_executor.core.errors import DoesNotFit, StageFailed
from tests.integration.marks import Marks, kill_this_process
from tests.integration.pieces import (
    TWO_CPUS,
    Apply,
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


class SortsInMemory(Apply):
    """Gives its tasks out in falling order; keeps them in the process."""

    is_global_stage = True

    def __init__(self, marks: Marks, die_at: int | None = None, emits: int = 1) -> None:
        super().__init__(passed_on, "sort")
        self.marks = marks
        self.die_at = die_at
        self.emits = emits
        self.tasks: list[Number] = []

    def process(self, task: Number) -> None:
        self.marks.log("taken in")
        if task.data == self.die_at and self.marks.first("died"):
            kill_this_process()
        self.tasks.append(task)

    def finish(self) -> Iterator[Number]:
        for task in sorted(self.tasks, key=lambda each: -each.data):
            if self.emits == 1:
                yield task
            else:
                yield from (number((task.data, part, "x" * 5_000)) for part in range(self.emits))


class SortsInScratch(Apply):
    """The same with a file per task in `scratch_dir`, so that another worker finds them."""

    is_global_stage = True
    keeps_state_in_scratch = True

    def __init__(self, marks: Marks, die_in: str, at: int) -> None:
        super().__init__(passed_on, "sort")
        self.marks = marks
        self.die_in = die_in
        self.at = at

    def process(self, task: Number) -> None:
        if self.die_in == "process" and task.data == self.at and self.marks.first("died"):
            kill_this_process()
        (Path(self.scratch_dir) / f"{task.data:06}").write_bytes(pickle.dumps(task.data))

    def finish(self) -> Iterator[Number]:
        for position, path in enumerate(sorted(Path(self.scratch_dir).iterdir(), reverse=True)):
            if self.die_in == "finish" and position == self.at and self.marks.first("died"):
                kill_this_process()
            yield number(pickle.loads(path.read_bytes()))


@pytest.mark.parametrize("mode", ["streaming", "batch"])
def test_a_global_stage_emits_in_its_own_order_after_its_last_input(
    marks: Marks, mode: str
) -> None:
    stages = [Apply(passed_on, "before"), SortsInMemory(marks), Apply(passed_on, "after")]
    outcome = run(stages, numbers(80), execution_mode=mode, max_workers_per_stage=1)
    assert values(outcome.tasks) == list(range(79, -1, -1))
    assert [entry.stage_name for entry in outcome.tasks[0]._stage_perf][-1] == "after"
    assert len({task._lineage_key for task in outcome.tasks}) == 80


@pytest.mark.parametrize(("die_in", "at"), [("process", 41), ("finish", 30)])
@pytest.mark.parametrize("mode", ["streaming", "batch"])
def test_a_global_stage_with_its_state_in_scratch_survives_its_worker(
    marks: Marks, die_in: str, at: int, mode: str
) -> None:
    stages = [
        Apply(passed_on, "before"),
        SortsInScratch(marks, die_in, at),
        Apply(passed_on, "after", workers=1),
    ]
    outcome = run(stages, numbers(80), execution_mode=mode, max_block_bytes=2_000)
    assert values(outcome.tasks) == list(range(79, -1, -1))
    assert outcome.report.stages[1].workers_died == 1


def test_a_global_stage_that_loses_its_state_ends_the_run_and_says_what_helps(
    marks: Marks,
) -> None:
    stages = [Apply(passed_on, "before"), SortsInMemory(marks, die_at=60)]
    with pytest.raises(StageFailed) as caught:
        run(stages, numbers(80), fusion=False)
    assert '"sort" lost its worker' in str(caught.value)
    assert "keeps_state_in_scratch" in str(caught.value)


def test_a_global_stage_keeps_its_state_while_stages_take_turns(marks: Marks) -> None:
    """1. Five stages of one core share one core. 2. The global stage's worker is the only one that
    has what it took in. 3. While others have their turn its state must stay, also half-way
    through its output.
    """
    before = [Apply(passed_on, f"before {n}") for n in range(2)]
    after = [Apply(passed_on, f"after {n}") for n in range(2)]
    for cpus in (TWO_CPUS, TWO_CPUS / 2):
        outcome = run(
            [*before, SortsInMemory(marks, emits=50), *after],
            numbers(60),
            fusion=False,
            cpu_allocation_percentage=cpus,
            max_block_bytes=2_000,
        )
        wanted = [(n, part) for n in range(60) for part in range(50)]
        assert sorted(value[:2] for value in values(outcome.tasks)) == wanted


def test_a_global_stage_keeps_its_state_while_a_larger_stage_needs_its_core(marks: Marks) -> None:
    """1. The global stage has one core of two and is in the middle of its output. 2. Its queue is
    full, and the stage behind it needs both cores. 3. Whatever happens then, nothing is lost.
    """
    stages = [
        Apply(passed_on, "before"),
        SortsInMemory(marks, emits=50),
        Apply(lambda task: number(task.data[:2]), "large", resources=Resources(cpus=2.0)),
    ]

    outcome = run(stages, numbers(60), fusion=False, max_block_bytes=2_000)
    wanted = [(n, part) for n in range(60) for part in range(50)]
    assert sorted(values(outcome.tasks)) == wanted


def test_a_global_stage_that_its_feeder_has_no_room_beside_is_refused_at_once(
    marks: Marks,
) -> None:
    """Its state would hold one core for ever while the stage before it needs both."""
    large = Apply(passed_on, "large", resources=Resources(cpus=2.0))
    with pytest.raises(DoesNotFit, match=r'"sort" keeps .* while "large" goes on'):
        run([large, SortsInMemory(marks)], numbers(60), fusion=False)
    assert marks.lines() == []
    outcome = run([large, SortsInMemory(marks)], numbers(60), execution_mode="batch")
    assert values(outcome.tasks) == list(range(59, -1, -1))


def test_a_global_stage_that_raises_in_finish_ends_the_run_with_its_exception(
    marks: Marks,
) -> None:
    def finish(_: Any) -> Iterator[Number]:
        yield number(1)
        raise ZeroDivisionError("in finish")

    stage = Apply(lambda task: None, "fails", finish=finish, is_global_stage=True)
    with pytest.raises(StageFailed) as caught:
        run([Apply(passed_on), stage], numbers(5))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert '"fails"' in str(caught.value)


def test_a_global_stage_without_input_still_finishes(marks: Marks) -> None:
    stages = [Apply(lambda task: None, "drops all"), SortsInMemory(marks)]
    assert run(stages, numbers(10)).tasks == []
