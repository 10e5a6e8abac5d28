"""`setup_on_node`, `setup` and `teardown` are called when they should be, and retries are fresh."""

from __future__ import annotations

import logging
import os
from typing import Any

import pytest

from curator_executor import XennaExecutor
from curator_executor.core.errors import SetupFailed, StageFailed
from tests.integration.marks import Marks
from tests.integration.pieces import (
    FOUR_CPUS,
    TWO_CPUS,
    Apply,
    ApplyBatch,
    BrokenError,
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


def logged_life(marks: Marks, name: str) -> dict[str, Any]:
    """Hooks that write to the log who was called in which process."""

    def hook(what: str) -> Any:
        return lambda _: marks.log(f"{what} {name} {os.getpid()}")

    return {what: hook(what) for what in ("setup_on_node", "setup", "teardown")}


def every_setup_is_torn_down(marks: Marks) -> bool:
    started = sorted(line.split(" ", 1)[1] for line in marks.lines("setup "))
    ended = sorted(line.split(" ", 1)[1] for line in marks.lines("teardown "))
    return bool(started) and started == ended


@pytest.mark.parametrize("fusion", [True, False], ids=["fused", "each by itself"])
@pytest.mark.parametrize("mode", ["streaming", "batch"])
def test_every_stage_that_is_set_up_is_torn_down_once_in_the_same_process(
    marks: Marks, fusion: bool, mode: str
) -> None:
    stages = [Apply(passed_on, name, **logged_life(marks, name)) for name in ("a", "b", "c")]
    run(stages, numbers(30), fusion=fusion, execution_mode=mode)
    assert every_setup_is_torn_down(marks)
    for name in ("a", "b", "c"):
        mine = [line for line in marks.lines() if f" {name} " in line]
        assert len([line for line in mine if line.startswith("setup_on_node")]) == 1
        assert mine[0].startswith("setup_on_node")


def test_a_node_is_prepared_once_and_before_any_setup_of_the_stage(marks: Marks) -> None:
    life = logged_life(marks, "many")

    def all_are_there(task: Number) -> Number:
        marks.wait_for_lines("setup ", 4)
        return task

    run(
        [Apply(all_are_there, "many", workers=4, **life)],
        numbers(30),
        cpu_allocation_percentage=FOUR_CPUS,
    )
    assert [line.split()[0] for line in marks.lines()][:2] == ["setup_on_node", "setup"]
    assert len(marks.lines("setup_on_node ")) == 1
    assert len(marks.lines("setup ")) == 4
    assert every_setup_is_torn_down(marks)


def test_teardown_runs_when_a_stage_fails(marks: Marks) -> None:
    def explode(task: Number) -> Number:
        if task.data == 11:
            raise BrokenError("eleven")
        return task

    stages = [
        Apply(passed_on, "a", **logged_life(marks, "a")),
        Apply(explode, "b", **logged_life(marks, "b")),
    ]
    with pytest.raises(StageFailed):
        run(stages, numbers(30), fusion=False)
    assert every_setup_is_torn_down(marks)


def test_a_teardown_that_raises_is_logged_and_fails_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def teardown(_: Any) -> None:
        raise BrokenError("cannot close")

    with caplog.at_level(logging.WARNING, logger="curator_executor"):
        outcome = run([Apply(passed_on, "rude", teardown=teardown)], numbers(5))
    assert sorted(values(outcome.tasks)) == list(range(5))
    lines = [r.getMessage() for r in caplog.records if "teardown" in r.getMessage()]
    assert any("rude" in line and "cannot close" in line for line in lines), caplog.text


def test_a_teardown_that_raises_is_logged_when_the_worker_changes_stage(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def teardown(_: Any) -> None:
        raise BrokenError("cannot close")

    stages = [Apply(passed_on, "rude", teardown=teardown), Apply(passed_on, "after")]
    with caplog.at_level(logging.WARNING, logger="curator_executor"):
        run(stages, numbers(5), execution_mode="batch", cpu_allocation_percentage=TWO_CPUS / 2)
    lines = [r.getMessage() for r in caplog.records if "cannot close" in r.getMessage()]
    assert lines


def test_a_setup_that_fails_ends_the_run_with_its_exception(marks: Marks) -> None:
    def setup(_: Any) -> None:
        raise BrokenError("no model here")

    stages: list[Any] = [
        Apply(passed_on, "fine", **logged_life(marks, "fine")),
        Apply(passed_on, "needs a model", setup=setup),
    ]
    with pytest.raises(SetupFailed) as caught:
        XennaExecutor({"cpu_allocation_percentage": TWO_CPUS, "fusion": False}).execute(
            stages, numbers(5)
        )
    assert type(caught.value.__cause__) is BrokenError
    assert 'stage "needs a model": setup failed' in str(caught.value)
    assert "no model here" in str(caught.value)
    assert not marks.lines("setup ") or every_setup_is_torn_down(marks)


def test_setup_is_tried_as_often_as_the_stage_says_and_the_node_is_prepared_once(
    marks: Marks,
) -> None:
    def setup(_: Any) -> None:
        marks.log("setup")
        if len(marks.lines("setup")) < 3:
            raise BrokenError("not yet")

    stage = Apply(
        passed_on,
        "slow starter",
        setup=setup,
        setup_on_node=lambda _: marks.log("node prepared"),
        spec={"num_setup_attempts_python": 3},
        workers=1,
    )
    outcome = run([stage], numbers(5))
    assert sorted(values(outcome.tasks)) == list(range(5))
    assert marks.lines() == ["node prepared", "setup", "setup", "setup"]


def test_a_setup_that_fails_in_every_attempt_says_how_many() -> None:
    def setup(_: Any) -> None:
        raise BrokenError("never")

    stage = Apply(passed_on, "hopeless", setup=setup, spec={"num_setup_attempts_python": 2})
    with pytest.raises(SetupFailed, match="in 2 attempts"):
        run([stage], numbers(5))


@pytest.mark.parametrize("fusion", [True, False], ids=["fused", "each by itself"])
def test_a_batch_is_tried_again_on_a_fresh_copy_of_its_input(marks: Marks, fusion: bool) -> None:
    def spoils(tasks: list[Number]) -> list[Number]:
        for task in tasks:
            task.data.append("seen")
            if task.data[0] == 7 and len(marks.lines("tried 7")) < 2:
                marks.log("tried 7")
                raise BrokenError("once more")
        return tasks

    stages = [
        Apply(lambda task: number([task.data]), "before"),
        ApplyBatch(spoils, "spoils", spec={"num_run_attempts_python": 3}, batch_size=2),
    ]
    outcome = run(stages, numbers(10), fusion=fusion)
    assert sorted(values(outcome.tasks)) == [[n, "seen"] for n in range(10)]
    assert outcome.report.stages[1].progress.retried == 4


def test_a_batch_that_fails_in_every_attempt_says_how_many() -> None:
    def explode(task: Number) -> Number:
        raise BrokenError("always")

    with pytest.raises(StageFailed, match="failed in 2 attempts"):
        run([Apply(explode, "bad", spec={"num_run_attempts_python": 2})], numbers(3))


def test_a_fan_out_that_raises_half_way_goes_on_where_it_was(marks: Marks) -> None:
    def yields(task: Number) -> Any:
        for part in range(20):
            if part == 10 and task.data == 2 and marks.first("raised"):
                raise BrokenError("half-way")
            yield number((task.data, part))

    stage = Apply(yields, "yields", spec={"num_run_attempts_python": 2})
    outcome = run([stage, Apply(passed_on)], numbers(4))
    wanted = [(n, part) for n in range(4) for part in range(20)]
    assert sorted(values(outcome.tasks)) == wanted


def test_a_fan_out_that_fails_half_way_keeps_what_was_passed_on_and_says_how_much() -> None:
    def yields(task: Number) -> Any:
        for part in range(20):
            if part == 10 and task.data == 2:
                raise BrokenError("half-way")
            yield number((task.data, part))

    outcome = run([Apply(yields, "yields")], numbers(4), ignore_failures=True)
    wanted = [(n, part) for n in range(4) for part in range(20) if n != 2 or part < 10]
    assert sorted(values(outcome.tasks)) == wanted
    (letter,) = outcome.report.dead_letters
    assert (letter.task_ids, letter.emitted) == (["0_2"], 10)


def test_a_second_run_works_after_a_failed_one() -> None:
    def explode(task: Number) -> Number:
        raise BrokenError("always")

    with pytest.raises(StageFailed):
        run([Apply(explode)], numbers(3))
    assert sorted(values(run([Apply(passed_on)], numbers(3)).tasks)) == [0, 1, 2]
