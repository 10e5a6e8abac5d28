"""The six options do what they say, and what is no option is refused."""

from __future__ import annotations

import itertools
import logging
import os
import time
from typing import Any

import pytest

from curator_api.progress import ProgressSnapshot, RunReport
from curator_executor import XennaExecutor
from curator_executor.core.errors import StageFailed
from curator_executor.core.sizing import usable_cpus
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

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("on_ray")]


# execution_mode ------------------------------------------------------------------------------


def test_streaming_starts_a_stage_before_the_one_before_is_done(marks: Marks) -> None:
    def first(task: Number) -> Number:
        if task.data == 9:
            marks.wait("the second stage has a task")
        return task

    def second(task: Number) -> Number:
        marks.set("the second stage has a task")
        return task

    outcome = run([Apply(first, "first"), Apply(second, "second")], numbers(10), fusion=False)
    assert sorted(values(outcome.tasks)) == list(range(10))


def test_batch_mode_finishes_a_stage_before_the_next_begins(marks: Marks) -> None:
    def logged(name: str) -> Apply:
        def process(task: Number) -> Number:
            marks.log(f"{name}")
            return task

        return Apply(process, name)

    run([logged("a"), logged("b"), logged("c")], numbers(30), execution_mode="batch")
    assert marks.lines() == ["a"] * 30 + ["b"] * 30 + ["c"] * 30


def test_batch_mode_returns_outputs_in_input_order(marks: Marks) -> None:
    def uneven(task: Number) -> Number:
        time.sleep((task.data * 7 % 5) * 0.004)
        return task

    def fan_out(task: Number) -> list[Number]:
        return [number((task.data, part)) for part in range(task.data % 4)]

    def without_ones(task: Number) -> Number | None:
        time.sleep((task.data[0] % 3) * 0.002)
        return None if task.data[1] == 1 else task

    def reversed_pace(tasks: list[Number]) -> list[Number]:
        time.sleep((100 - tasks[0].data[0]) * 0.0002)
        return tasks

    stages = [
        Apply(uneven, "uneven"),
        Apply(fan_out, "fan out"),
        Apply(without_ones, "filter"),
        ApplyBatch(reversed_pace, "batched", batch_size=3),
    ]
    outcome = run(
        stages,
        numbers(90),
        execution_mode="batch",
        cpu_allocation_percentage=FOUR_CPUS,
        target_call_s=0.02,
    )
    wanted = [(n, part) for n in range(90) for part in range(n % 4) if part != 1]
    assert values(outcome.tasks) == wanted
    assert outcome.report.stages[0].workers_started > 1


# ignore_failures -----------------------------------------------------------------------------


def explode_on_nine(tasks: list[Number]) -> list[Number]:
    if any(task.data == 9 for task in tasks):
        raise BrokenError("nine is not for me")
    return tasks


def test_an_ignored_failure_costs_only_its_batch_and_is_kept_as_a_dead_letter(
    node_id: str,
) -> None:
    stages = [
        ApplyBatch(explode_on_nine, "picky", batch_size=4),
        Apply(passed_on, "after"),
    ]
    outcome = run(stages, numbers(22), ignore_failures=True)
    assert sorted(values(outcome.tasks)) == [n for n in range(22) if n not in (8, 9, 10, 11)]
    (letter,) = outcome.report.dead_letters
    assert (letter.stage, letter.error, letter.message) == (
        "picky",
        "BrokenError",
        "nine is not for me",
    )
    assert letter.task_ids == ["0_8", "0_9", "0_10", "0_11"]
    assert "in explode_on_nine" in letter.traceback
    assert letter.node == node_id
    assert outcome.report.stages[0].progress.failed == 4
    assert outcome.report.stages[1].progress.failed == 0


def test_a_failure_ends_the_run_with_the_users_own_exception_as_its_cause(node_id: str) -> None:
    stages: list[Any] = [Apply(passed_on, "before"), ApplyBatch(explode_on_nine, "picky")]
    with pytest.raises(StageFailed) as caught:
        XennaExecutor({"cpu_allocation_percentage": TWO_CPUS}).execute(stages, numbers(22))
    cause = caught.value.__cause__
    assert type(cause) is BrokenError
    assert cause.args == ("nine is not for me",)
    message = str(caught.value)
    assert 'stage "picky"' in message
    assert "0_9_0" in message
    assert node_id[:12] in message
    assert "in explode_on_nine" in message


# max_workers_per_stage, cpu_allocation_percentage --------------------------------------------


def crowd(marks: Marks, wanted: int) -> Apply:
    """A stage whose tasks wait until so many workers are there; their outputs are process ids."""

    def process(task: Number) -> Number:
        if marks.first(f"worker.{os.getpid()}"):
            marks.log("worker")
        marks.wait_for_lines("worker", wanted, 45)
        return number(os.getpid())

    return Apply(process, "crowd")


def test_max_workers_per_stage_is_reached_and_not_passed(marks: Marks) -> None:
    stages = [crowd(marks, 3), Apply(lambda task: number((task.data, os.getpid())), "second")]
    outcome = run(
        stages,
        numbers(60),
        max_workers_per_stage=3,
        cpu_allocation_percentage=1.0,
        fusion=False,
    )
    pairs = values(outcome.tasks)
    assert len({first for first, _ in pairs}) == 3
    assert len({second for _, second in pairs}) <= 3


def test_a_quarter_of_eight_cores_is_two_workers(marks: Marks) -> None:
    outcome = run([crowd(marks, 2)], numbers(40), cpu_allocation_percentage=0.25)
    assert len(set(values(outcome.tasks))) == 2
    assert outcome.report.stages[0].workers_started == 2


@pytest.mark.parametrize(
    ("cpus", "share", "usable"),
    [(1, 0.95, 1), (2, 0.95, 2), (8, 0.95, 8), (8, 0.25, 2), (64, 0.5, 32), (0, 0.95, 0)],
)
def test_a_node_gives_its_share_to_the_nearest_core_and_at_least_one(
    cpus: int, share: float, usable: int
) -> None:
    assert usable_cpus(cpus, share) == usable


# autoscale_interval_s ------------------------------------------------------------------------


class WantedWorkers:
    """A sink that notes how many workers a stage is to have, and when that changed."""

    def __init__(self, stage: int, marks: Marks) -> None:
        self.stage = stage
        self.marks = marks
        self.seen: list[tuple[float, int]] = []

    def publish(self, snapshot: ProgressSnapshot) -> None:
        wanted = snapshot.stages[self.stage].workers.wanted
        if not self.seen or self.seen[-1][1] != wanted:
            self.seen.append((snapshot.elapsed_s, wanted))
        if self.marks.is_set("slow from now on") and wanted >= 2:
            self.marks.set("rebalanced")

    def close(self, report: RunReport) -> None:
        pass


def test_workers_move_to_what_became_the_slowest_stage_after_the_interval(marks: Marks) -> None:
    """The cost of the stages flips in the middle of the run: at first "early" is slow, then "late".

    The source goes on until the late stage has got a second worker, so the test ends as soon as
    the executor has noticed, and fails if it never does.
    """

    def source(_: Any) -> Any:
        for position in range(1_000):
            if marks.is_set("rebalanced"):
                return
            time.sleep(0.02)
            yield number(position)
        raise TimeoutError("no rebalance in 1,000 tasks")

    def early(task: Number) -> Number:
        if not marks.is_set("slow from now on"):
            time.sleep(0.05)
        return task

    def late(task: Number) -> Number:
        if task.data >= 40:
            if marks.first("slow from now on"):
                marks.set("flipped at", str(time.monotonic()))
            time.sleep(0.05)
        return task

    sink = WantedWorkers(2, marks)
    stages = [Apply(source, "source"), Apply(early, "early"), Apply(late, "late")]
    outcome = run(
        stages,
        fusion=False,
        cpu_allocation_percentage=FOUR_CPUS,
        autoscale_interval_s=4,
        sinks=[sink],
    )
    assert marks.is_set("rebalanced")
    assert len(outcome.tasks) >= 40
    moved = [d for d in outcome.report.decisions if d.stage == "late" and d.at_s > 1]
    assert moved, outcome.report.decisions
    assert moved[0].reason


def test_once_stages_are_timed_scaling_happens_at_the_interval_and_not_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from curator_executor.core import scaling, turns

    times: list[float] = []
    scale = scaling.scale

    def recorded(state: Any, now: float) -> Any:
        if state.pools[0].samples > turns.FIRST_TIMINGS:
            times.append(now)
        return scale(state, now)

    monkeypatch.setattr(scaling, "scale", recorded)

    def slow(task: Number) -> Number:
        time.sleep(0.05)
        return task

    run(
        [Apply(slow, "slow", workers=1)],
        numbers(120),
        autoscale_interval_s=2,
        target_call_s=0.05,
    )
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert gaps, times
    assert all(2.0 <= gap < 4.0 for gap in gaps)


# logging_interval ----------------------------------------------------------------------------


class CountsProgress(logging.Handler):
    """Notes when progress was logged; sets a mark at the third line."""

    def __init__(self, marks: Marks) -> None:
        super().__init__()
        self.marks = marks
        self.times: list[float] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith("progress"):
            self.times.append(record.created)
            if len(self.times) == 3:
                self.marks.set("three lines")


def test_progress_is_logged_every_logging_interval(marks: Marks) -> None:
    def until_logged(task: Number) -> Number:
        marks.wait("three lines")
        return task

    handler = CountsProgress(marks)
    logger = logging.getLogger("curator_executor")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        run([Apply(until_logged)], numbers(1), logging_interval=1)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    assert len(handler.times) >= 3
    gaps = [b - a for a, b in zip(handler.times, handler.times[1:], strict=False)][:2]
    assert all(0.9 <= gap <= 3.0 for gap in gaps), gaps


# What is refused -----------------------------------------------------------------------------


def test_leaving_out_the_head_node_is_refused() -> None:
    with pytest.raises(ValueError, match="ignore_head_node"):
        XennaExecutor(ignore_head_node=True)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"execution_mod": "batch"}, ["'execution_mod'", "'execution_mode'"]),
        ({"max_worker_per_stage": 1}, ["'max_workers_per_stage'"]),
        ({"execution_mode": "Streeming"}, ["'Streeming'", "'streaming'", "'batch'"]),
        ({"logging_interval": 0}, ["logging_interval", "above 0", "0"]),
        ({"ignore_failures": "yes"}, ["ignore_failures", "True or False", "'yes'"]),
        ({"max_workers_per_stage": 0}, ["max_workers_per_stage", "None", "0"]),
        ({"max_workers_per_stage": 1.5}, ["max_workers_per_stage", "whole", "1.5"]),
        ({"cpu_allocation_percentage": 95}, ["cpu_allocation_percentage", "at most 1", "95"]),
        ({"autoscale_interval_s": -1}, ["autoscale_interval_s", "above 0", "-1"]),
    ],
)
def test_a_bad_option_is_refused_with_its_name_and_what_is_right(
    config: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        XennaExecutor(config)
    assert [word for word in words if word not in str(caught.value)] == []


def test_without_tasks_a_run_starts_from_one_empty_task() -> None:
    def describe(task: Any) -> Number:
        return number((type(task).__name__, task.task_id))

    executor = XennaExecutor({"cpu_allocation_percentage": TWO_CPUS})
    no_tasks: list[list[Any] | None] = [None, []]
    for nothing in no_tasks:
        assert values(executor.execute([Apply(describe)], nothing)) == [("EmptyTask", "0")]
