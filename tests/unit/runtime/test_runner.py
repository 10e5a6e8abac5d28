"""A stage is called as it asked, its outputs are named by rule, its figures are true."""

from __future__ import annotations

import logging
import pickle
import time
from collections.abc import Iterator
from typing import Any

import pytest

from curator_executor.api import FailedTask, NoneTask, ProcessingStage, Task
from tests.unit.runtime.hosting import Doc, Upper, Words, ask, host_of, roots, run


class Each(ProcessingStage[Doc, Doc]):
    """Batches, and what a function makes of a batch."""

    name = "each"

    def __init__(self, function: Any, batch_size: int) -> None:
        self.function, self.batch_size = function, batch_size
        self.sizes: list[int] = []

    def process(self, task: Doc) -> Doc:
        raise NotImplementedError

    def process_batch(self, tasks: list[Doc]) -> Any:
        self.sizes.append(len(tasks))
        return self.function(tasks)


class Once(ProcessingStage[Doc, Any]):
    """What a function makes of a task."""

    name = "once"

    def __init__(self, function: Any, **attributes: Any) -> None:
        self.function = function
        for name, value in attributes.items():
            setattr(self, name, value)

    def process(self, task: Doc) -> Any:
        return self.function(task)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    return waited


# Ids -----------------------------------------------------------------------------------------


def test_one_output_is_child_zero() -> None:
    assert run(Upper(), tasks=roots("a", "b")).ids == ["0_0_0", "0_1_0"]


def test_fan_out_numbers_the_children() -> None:
    assert run(Words(), tasks=roots("a b", "c")).ids == ["0_0_0", "0_0_1", "0_1_0"]


def test_filtered_slots_keep_their_numbers() -> None:
    stage = Once(lambda task: [None, Doc(data=1), NoneTask(), Doc(data=2)])
    assert run(stage, tasks=roots("x")).ids == ["0_0_1", "0_0_3"]


def test_batch_with_an_output_per_input_names_each_after_its_own() -> None:
    stage = Each(lambda tasks: [Doc(data=task.data) for task in tasks], 3)
    assert run(stage, tasks=roots("a", "b", "c")).ids == ["0_0_0", "0_1_0", "0_2_0"]


def test_batch_that_filters_by_none_names_the_others_after_their_own() -> None:
    stage = Each(lambda tasks: [task if task.data != "b" else None for task in tasks], 3)
    assert run(stage, tasks=roots("a", "b", "c")).ids == ["0_0_0", "0_2_0"]


def test_batch_that_merges_gives_ids_that_start_with_r() -> None:
    stage = Each(lambda tasks: [Doc(data="".join(task.data for task in tasks))], 3)
    answer = run(stage, tasks=roots("a", "b", "c"))
    assert answer.data == ["abc"]
    assert answer.ids == ["r" + answer.keys[0].hex()]


def test_default_batch_names_fan_out_after_its_own_input() -> None:
    stage = Words()
    stage.batch_size = 2
    answer = run(stage, tasks=roots("a b", "c"))
    assert answer.ids == ["0_0_0", "0_0_1", "0_1_0"]


def test_source_names_after_content_where_it_can() -> None:
    class File(Doc):
        def get_deterministic_id(self) -> str | None:
            return self.data or None

    stage = Once(lambda _: [File(data=d) for d in ("x", "y", "x", "")], is_source_stage=True)
    assert run(stage, tasks=roots("")).ids == ["0_0_x", "0_0_y", "0_0_2", "0_0_3"]


def test_task_emitted_twice_gets_two_ids() -> None:
    def twice(task: Doc) -> list[Doc]:
        return [task, task]

    answer = run(Once(twice), tasks=roots("a"))
    assert (answer.ids, answer.data) == (["0_0_0", "0_0_1"], ["a", "a"])
    assert len(set(answer.keys)) == 2


def test_object_that_a_stage_uses_again_for_each_output_is_written_as_it_was() -> None:
    """The outputs of a call wait to be written together; by then the object has moved on."""

    class Reuses(ProcessingStage[Doc, Doc]):
        name = "reuses"

        def __init__(self) -> None:
            self.result = Doc()

        def process(self, task: Doc) -> Doc:
            self.result.data = task.data.upper()
            return self.result

    answer = run(Reuses(), tasks=roots("a", "b", "c"))
    assert (answer.data, answer.ids) == (["A", "B", "C"], ["0_0_0", "0_1_0", "0_2_0"])


def test_object_that_a_generator_yields_again_is_written_as_it_was() -> None:
    def rows(task: Doc) -> Iterator[Doc]:
        out = Doc()
        for word in task.data.split():
            out.data = word
            yield out

    answer = run(Once(rows), tasks=roots("a b c"))
    assert (answer.data, answer.ids) == (["a", "b", "c"], ["0_0_0", "0_0_1", "0_0_2"])


# Lineage -------------------------------------------------------------------------------------


def test_lineage_key_is_the_same_when_a_task_is_made_again() -> None:
    first, second = (run(Words(), tasks=roots("a b", "c d"), worker=n) for n in (1, 2))
    assert first.keys == second.keys
    assert len(set(first.keys)) == 4


def test_lineage_key_tells_stages_parents_and_positions_apart() -> None:
    other = Words()
    other.name = "other"
    keys = [
        *run(Words(), tasks=roots("a b", "a b")).keys,
        *run(other, tasks=roots("a b", "a b")).keys,
    ]
    assert len(set(keys)) == 8


@pytest.mark.parametrize("per_call", [1, 2, 5])
@pytest.mark.parametrize("block_bytes", [1, 10**9])
def test_lineage_does_not_depend_on_calls_and_blocks(per_call: int, block_bytes: int) -> None:
    tasks = roots(*("a b c", "d", "", "e f", "g"))
    whole = run(Words(), tasks=tasks)
    parts = ask(host_of(Words(), block_bytes=block_bytes), tasks, per_call=per_call)
    assert (parts.keys, parts.ids, parts.data) == (whole.keys, whole.ids, whole.data)


def test_lineage_of_a_merge_depends_on_the_order_of_its_inputs() -> None:
    stage = Each(lambda tasks: [Doc()], 2)
    tasks = roots("a", "b")
    one, other = run(stage, tasks=tasks), run(stage, tasks=tasks[::-1])
    assert one.keys != other.keys


def test_generator_and_list_give_the_same_tasks() -> None:
    listed = run(Once(lambda t: [Doc(data=w) for w in t.data.split()]), tasks=roots("a b"))
    yielded = run(Once(lambda t: (Doc(data=w) for w in t.data.split())), tasks=roots("a b"))
    assert (yielded.ids, yielded.keys, yielded.data) == (listed.ids, listed.keys, listed.data)


# Figures -------------------------------------------------------------------------------------


def test_figures_of_one_to_one() -> None:
    answer = run(Upper(), tasks=roots("a", "b", items=5))
    (stats,) = answer.tasks[0]._stage_perf
    assert (stats.stage_name, stats.num_items_processed) == ("upper", 5)
    assert stats.process_time > 0
    figures = answer.figures()
    assert (figures.tasks_in, figures.tasks_out, figures.items, figures.batches) == (2, 2, 10, 2)


def test_figures_of_a_batch_are_those_of_the_whole_batch() -> None:
    stage = Each(lambda tasks: tasks, 4)
    answer = run(stage, tasks=roots(*"abcdef", items=3))
    assert [task._stage_perf[0].num_items_processed for task in answer.tasks] == [12] * 4 + [6] * 2
    assert answer.figures().batches == 2


def test_figures_of_what_is_filtered_still_count() -> None:
    answer = run(Once(lambda task: None), tasks=roots("a", "b"))
    figures = answer.figures()
    assert answer.tasks == []
    assert (figures.tasks_in, figures.tasks_out, figures.filtered) == (2, 0, 2)


def test_figures_of_a_generator_count_its_input_once() -> None:
    answer = run(Words(), Once(lambda t: iter([t, t])), tasks=roots("a b"))
    assert [len(task._stage_perf) for task in answer.tasks] == [2] * 4
    figures = answer.figures(1)
    assert (figures.tasks_in, figures.tasks_out, figures.batches) == (2, 4, 2)


def test_generator_shares_its_time_between_its_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = run(Once(lambda t: (Doc(data=n) for n in range(3))), tasks=roots("a"))
    per_output = [task._stage_perf[0].process_time for task in answer.tasks]
    report = answer.reports[0].figures[0]
    assert sum(per_output) <= report.process_s
    assert all(seconds > 0 for seconds in per_output)


def test_fused_stages_have_a_figure_each_in_order() -> None:
    upper = Upper()
    answer = run(Words(), upper, tasks=roots("a b"))
    assert [s.stage_name for s in answer.tasks[0]._stage_perf] == ["words", "upper"]
    assert (answer.figures(0).tasks_out, answer.figures(1).tasks_in) == (2, 2)


def test_merge_counts_a_shared_batch_once() -> None:
    words = run(Words(), tasks=roots("a b", "c", items=7)).tasks
    merged = run(Each(lambda tasks: [Doc()], 3), tasks=words, names=("words", "each"), indexes=(1,))
    (first, second) = merged.tasks[0]._stage_perf
    assert (first.stage_name, first.num_items_processed) == ("words", 14)
    assert (second.stage_name, second.num_items_processed) == ("each", 3)


def test_figures_that_a_task_came_with_stay_in_front() -> None:
    tasks = roots("a")
    tasks[0].__dict__["_perf_prior"] = ("earlier",)
    (earlier, own) = run(Upper(), tasks=tasks).tasks[0]._stage_perf
    assert (earlier, own.stage_name) == ("earlier", "upper")


def test_custom_metrics_reach_the_outputs_of_their_own_batch() -> None:
    class Counts(ProcessingStage[Doc, Doc]):
        name = "counts"

        def process(self, task: Doc) -> Doc:
            self._log_metric("length", len(task.data))
            return task

    answer = run(Counts(), tasks=roots("a", "bbb"))
    assert [t._stage_perf[0].custom_metrics for t in answer.tasks] == [
        {"length": 1.0},
        {"length": 3.0},
    ]
    assert answer.figures().metrics == {"length": 4.0}


def test_dropped_and_kept_reach_the_report() -> None:
    class Filters(ProcessingStage[Doc, Doc]):
        name = "filters"

        def process(self, task: Doc) -> Doc | None:
            if len(task.data) < 2:
                self._log_dropped("short", sample=task.data)
                return None
            self._log_kept(sample=task.data)
            return task

    (figures,) = run(Filters(), tasks=roots("a", "bb", "c")).reports[0].figures
    assert (figures.dropped, figures.kept) == ({"short": 2}, 1)
    assert (figures.kept_samples, figures.dropped_samples) == (
        ["bb"],
        [("short", "a"), ("short", "c")],
    )


# Batches -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("tasks", "sizes"), [(7, [7]), (20, [7, 7, 6]), (6, [6])])
def test_batches_have_exactly_their_size(tasks: int, sizes: list[int]) -> None:
    host = host_of(Each(lambda batch: batch, 7))
    ask(host, roots(*range(tasks)))
    assert host.stages[0].sizes == sizes


def test_instance_with_its_own_process_batch_is_called_by_it() -> None:
    stage = Upper()
    stage.process_batch = Each(lambda tasks: [Doc(data="mine")], 1).process_batch  # type: ignore[method-assign]
    assert run(stage, tasks=roots("a")).data == ["mine"]


def test_process_batch_may_return_any_iterable() -> None:
    assert run(Each(tuple, 2), tasks=roots("a", "b", "c")).data == ["a", "b", "c"]
    assert run(Each(iter, 2), tasks=roots("a", "b", "c")).data == ["a", "b", "c"]
    assert run(Each(iter, 1), tasks=roots("a", "b")).data == ["a", "b"]


def test_generators_in_a_batch_are_taken_to_their_end() -> None:
    stage = Once(lambda task: (Doc(data=word) for word in task.data.split()), batch_size=2)
    answer = run(stage, tasks=roots("a b", "c"))
    assert (answer.data, answer.ids) == (["a", "b", "c"], ["0_0_0", "0_0_1", "0_1_0"])


# Failures ------------------------------------------------------------------------------------


class FailsOnce(ProcessingStage[Doc, Doc]):
    """Spoils its input, then raises, a number of times."""

    name = "fails"

    def __init__(self, times: int, batch_size: int = 1) -> None:
        self.left, self.batch_size = times, batch_size

    def process(self, task: Doc) -> Doc:
        task.data += "!"
        if self.left:
            self.left -= 1
            raise ValueError("not now")
        return task


def test_retry_gets_a_fresh_copy_of_its_input(pauses: list[float]) -> None:
    answer = run(FailsOnce(2), tasks=roots("a"), attempts=(3,))
    assert (answer.data, answer.errors, answer.figures().retried) == (["a!"], [], 2)
    assert pauses == [0.2, 0.4]


def test_fused_retry_gets_a_fresh_copy_of_its_input(pauses: list[float]) -> None:
    assert run(Words(), FailsOnce(1), tasks=roots("a"), attempts=(1, 2)).data == ["a!"]


def test_pauses_between_attempts_have_a_limit(pauses: list[float]) -> None:
    run(FailsOnce(9), tasks=roots("a"), attempts=(10,))
    assert pauses[-1] == 16.0


def test_last_attempt_tells_everything(pauses: list[float]) -> None:
    answer = run(FailsOnce(9, batch_size=2), tasks=roots("a", "b"), attempts=(2,))
    (error,) = answer.errors
    assert (error.stage, error.tasks, error.task_ids) == (0, 2, ("0_0", "0_1"))
    assert (error.error, error.message, error.attempts) == ("ValueError", "not now", 2)
    assert 'raise ValueError("not now")' in error.traceback
    cause = pickle.loads(error.cause)
    assert isinstance(cause, ValueError)
    assert [task.data for task in pickle.loads(error.inputs)] == ["a", "b"]


def test_metrics_of_a_failed_attempt_are_forgotten(pauses: list[float]) -> None:
    class Counts(FailsOnce):
        def process(self, task: Doc) -> Doc:
            self._log_metric("seen", 1)
            self._log_dropped("none")
            return super().process(task)

    answer = run(Counts(1), tasks=roots("a"), attempts=(2,))
    assert answer.figures().metrics == {"seen": 1.0}
    assert answer.reports[0].figures[0].dropped == {"none": 1}


class Stutters(ProcessingStage[Doc, Doc]):
    """Yields words; raises at the third one, once."""

    name = "stutters"
    raised = False

    def process(self, task: Doc) -> Iterator[Doc]:
        for word in task.data.split():
            if word == "c" and not self.raised:
                self.raised = True
                raise ValueError("half-way")
            yield Doc(data=word)


def test_generator_that_raises_half_way_goes_on_where_it_was(pauses: list[float]) -> None:
    answer = run(Stutters(), tasks=roots("a b c d"), attempts=(2,))
    assert (answer.data, answer.ids) == (["a", "b", "c", "d"], [f"0_0_{n}" for n in range(4)])


def test_generator_that_gives_up_half_way_says_how_many_it_had_emitted() -> None:
    def half(task: Doc) -> Iterator[Doc]:
        yield Doc(data=1)
        yield Doc(data=2)
        raise ValueError("half-way")

    answer = run(Once(half), tasks=roots("a", "b"), ignore_failures=(True,))
    assert answer.data == [1, 2, 1, 2]
    assert [error.emitted for error in answer.errors] == [2, 2]


def test_retry_that_fails_at_once_is_an_attempt_too(pauses: list[float]) -> None:
    """A generator raised; the next attempt raises before it makes a generator."""

    class Worse(ProcessingStage[Doc, Doc]):
        name = "worse"
        calls = 0

        def process(self, task: Doc) -> Iterator[Doc]:
            type(self).calls += 1
            if type(self).calls > 1:
                raise ValueError("worse")
            return iter(self._rows())

        def _rows(self) -> Iterator[Doc]:
            yield Doc(data=1)
            raise ValueError("bad")

    answer = run(Worse(), tasks=roots("a"), attempts=(3,))
    (error,) = answer.errors
    assert (error.message, error.attempts, error.emitted) == ("worse", 3, 1)


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (5, "stage once: process() returned int, wanted a Task"),
        ("text", "process() returned str, wanted a Task"),
        ([Doc(), {}], "process() returned dict, wanted a Task"),
        (FailedTask(), "stage once returned a FailedTask for task 0_0"),
    ],
)
def test_result_that_is_no_task_fails_the_batch(result: Any, text: str) -> None:
    (error,) = run(Once(lambda task: result), tasks=roots("a")).errors
    assert text in error.message


@pytest.mark.parametrize("result", [None, Doc()])
def test_process_batch_that_returns_no_list_fails_the_batch(result: Any) -> None:
    (error,) = run(Each(lambda tasks: result, 2), tasks=roots("a", "b")).errors
    assert "process_batch() returned" in error.message
    assert "wanted a list of tasks" in error.message


def test_input_that_lacks_what_the_stage_asks_for_fails(caplog: pytest.LogCaptureFixture) -> None:
    class Needs(Upper):
        name = "needs"

        def inputs(self) -> tuple[list[str], list[str]]:
            return ["size"], []

    with caplog.at_level(logging.ERROR):
        (error,) = run(Needs(), tasks=roots("a")).errors
    assert "failed validation for stage needs" in error.message
    assert "task 0_0 lacks size" in caplog.text


def test_exception_that_cannot_be_pickled_is_still_told() -> None:
    class Stubborn(Exception):
        def __reduce__(self) -> Any:
            raise TypeError("no")

    def fail(task: Task[Any]) -> None:
        raise Stubborn("it is stubborn")

    (error,) = run(Once(fail), tasks=roots("a")).errors
    assert (error.error, error.message, error.cause) == ("Stubborn", "it is stubborn", b"")
